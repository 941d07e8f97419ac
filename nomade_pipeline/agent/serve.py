"""Running the agent until it is told to stop: lock, signals, configuration, health door."""

from __future__ import annotations

import errno
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from nomade_pipeline import __version__, clock
from nomade_pipeline.agent.health import HealthDoor
from nomade_pipeline.agent.host import HostProbe
from nomade_pipeline.agent.journal import Journal, Repeats
from nomade_pipeline.agent.lock import AgentLock, AlreadyRunningError
from nomade_pipeline.agent.service import WRITER, Agent
from nomade_pipeline.agent.wakeups import RELOAD, STOP, Wakeups
from nomade_pipeline.collectors.base import Collector
from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.config.settings import Config
from nomade_pipeline.config.watch import ConfigWatcher

# How often the configuration file and the threads are looked at.
LOOK_SECONDS = 5.0
FINE, FAILED, REFUSED = 0, 1, 2
# Without a lock because the disk is full, or its file system has none, an agent samples all the same.
_NO_OBSTACLE = (errno.ENOSPC, errno.EDQUOT, errno.ENOLCK, errno.EOPNOTSUPP)


def serve(
    config_path: Optional[Path],
    collectors: Sequence[Collector],
    *,
    interval: Optional[int] = None,
    always: bool = False,
    writer: str = WRITER,
    environment: Optional[Mapping[str, str]] = None,
    probe: Optional[HostProbe] = None,
    wakeups: Optional[Wakeups] = None,
) -> int:
    """Sample this host until SIGTERM or SIGINT.

    Args:
        config_path: the configuration file; None searches for it.
        collectors: those that may run.
        interval: seconds between samples, in place of the configuration's.
        always: run them whether enabled or not.
        writer: name of the spool's writer, `agent` or `monitor`: each may run once on a host.
        environment: variables in place of the process's own.
        probe: the host.
        wakeups: how to be stopped; without it the process's signals are caught.

    Returns:
        The exit status: 0 after a clean end, 1 when samples could not be stored, 2 when it did not
        start (faulty configuration, another agent).
    """
    try:
        watcher = ConfigWatcher(config_path, environment, strict=False, check_seconds=LOOK_SECONDS)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return REFUSED
    requests = wakeups or Wakeups()
    if wakeups is None:
        requests.catch_signals()
    try:
        agent = partial(Agent, interval=interval, always=always, writer=writer)
        return _Session(watcher, collectors, agent, writer, probe or HostProbe(), requests).run()
    finally:
        if wakeups is None:
            requests.close()


class _Session:
    """One life of the agent in this process."""

    def __init__(
        self,
        watcher: ConfigWatcher,
        collectors: Sequence[Collector],
        agent: Callable[..., Agent],
        writer: str,
        probe: HostProbe,
        requests: Wakeups,
    ) -> None:
        config = watcher.current()
        self.watcher = watcher
        self.requests = requests
        self.config = config
        self.journal = Journal(
            config.paths.agent_log(config.general.host, writer), config.general.log_level, stream=sys.stderr
        )
        self.repeats = Repeats()
        self.writer = writer
        self.lock = AgentLock(config.paths.agent_lock(config.general.host, writer))
        self.locked = False
        self.door: Optional[HealthDoor] = None
        self.probe = probe
        self.switch: Optional[threading.Thread] = None
        self.agent = agent(config, collectors, probe, self.journal)

    def run(self) -> int:
        """Run until asked to stop; return the exit status."""
        try:
            self._take_lock()
        except AlreadyRunningError as error:
            print(error, file=sys.stderr)
            return REFUSED
        except OSError as error:
            print(f"the spool cannot be written: {error}; check the owner of the data folder", file=sys.stderr)
            return FAILED
        self._open_door()
        self._tell_warnings()
        self.journal.info(
            "the agent started",
            version=__version__,
            host=self.config.general.host,
            config=self.config.source,
            collectors=self.agent.running,
        )
        self.agent.start()
        self._watch_the_pipeline()
        began = clock.monotonic()
        while STOP not in (request := self.requests.wait(LOOK_SECONDS)):
            if not self._look(RELOAD in request):
                break
        return self._end(began)

    def _end(self, began: float) -> int:
        lost = self.agent.stop()
        if self.door is not None:
            self.door.close()
        if lost:
            self.journal.error("the agent ends with readings that could not be stored", runs=lost)
        self.journal.info("the agent stopped", seconds=round(clock.monotonic() - began, 1))
        self.journal.close()
        self.lock.release()
        return FAILED if lost else FINE

    def _take_lock(self) -> None:
        """Take the lock of the spool; a full disk is no reason not to sample.

        Raises:
            AlreadyRunningError: another agent writes this spool.
            OSError: the spool's folder cannot be made or written.
        """
        try:
            self.lock.take()
        except OSError as error:
            if error.errno not in _NO_OBSTACLE:
                raise
            if self.repeats.due("lock", str(error), clock.monotonic())[0]:
                self.journal.error("the agent runs without its lock and tries again", problem=str(error))
        else:
            self.locked = True

    def _look(self, reload: bool) -> bool:  # noqa: FBT001 - private, called in one place
        """Look after configuration, lock and threads; False when this agent must end."""
        config = self.watcher.reload() if reload else self.watcher.current()
        if reload:
            self.repeats.cleared("config")
        problem = self.watcher.problem
        if problem is not None and self.repeats.due("config", problem, clock.monotonic())[0]:
            self.journal.error(problem)
        if config is not self.config:
            self._change_to(config)
        if not self.locked:
            try:
                self._take_lock()
            except (AlreadyRunningError, OSError) as error:
                self.journal.error("the agent ends: it cannot have the spool for itself", problem=str(error))
                return False
        self.agent.mind()
        self._watch_the_pipeline()
        return True

    def _watch_the_pipeline(self) -> None:
        """Let the dead-man's switch run where it is wanted; elsewhere its modules are not even imported."""
        is_running = self.switch is not None and self.switch.is_alive()
        if is_running or not self.config.deadman.enabled or self.writer != WRITER:
            return
        from nomade_pipeline.agent.deadman import start

        self.switch = start(lambda: self.config, self.probe, self.journal)

    def _change_to(self, config: Config) -> None:
        """Take over a new configuration; a new data folder or host only with the lock that belongs to it."""
        before, self.config = self.config, config
        path = config.paths.agent_lock(config.general.host, self.writer)
        if path != self.lock.path:
            lock = AgentLock(path)
            try:
                lock.take()
            except (AlreadyRunningError, OSError) as error:
                self.journal.error("the new data folder or host is not used, nor is the new file", problem=str(error))
                return
            self.lock.release()
            self.lock, self.locked = lock, True
        self.agent.apply(config)
        self.journal.set_level(config.general.log_level)
        if config.monitor.port != before.monitor.port:
            self._open_door()
        self._tell_warnings()
        self.journal.info("the configuration changed", config=config.source, collectors=self.agent.running)

    def _open_door(self) -> None:
        """Answer health requests where the configuration says so."""
        if self.door is not None:
            self.door.close()
            self.door = None
        port = self.config.monitor.port
        if not port:
            return
        try:
            self.door = HealthDoor(port, self._health)
        except OSError as error:
            self.journal.error("health requests are not answered", port=port, problem=str(error))

    def _health(self) -> dict[str, object]:
        return {**self.agent.health(), "config_problem": self.watcher.problem}

    def _tell_warnings(self) -> None:
        for warning in self.config.warnings:
            self.journal.warning(warning)

"""The dead-man's switch: the agent tells people, by itself, that the pipeline evaluates no alerts any more.

It needs neither Dagster nor the database, and remembers in a file beside the spool what it has told, so that a restart
repeats nothing. Imported only where the configuration asks for it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from nomade_pipeline import clock
from nomade_pipeline.agent.journal import Journal, Repeats
from nomade_pipeline.agent.silence import EMAIL, Memory, Step, decide
from nomade_pipeline.collectors.slurm_commands import daemons
from nomade_pipeline.config.deadman_settings import DeadmanSettings
from nomade_pipeline.config.secret import Secret, SecretError
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import LiveProbe, Probe
from nomade_pipeline.store.heartbeat import Heartbeat, last_beat
from nomade_pipeline.store.replace import replace_text
from nomade_pipeline.tables.contract import is_simulated
from nomade_pipeline.transport.failure import DeliveryError

# How long one target may take.
SEND_SECONDS = 30.0
# The heartbeat is looked at this often, and more often where the patience is short.
LONGEST_PAUSE = 30.0
_NAME = "deadman"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


def start(config: Callable[[], Config], probe: LiveProbe, journal: Journal) -> threading.Thread:
    """Watch the heartbeat in a thread of its own, since sending may take its time; it ends when it is switched off.

    Args:
        config: gives the configuration of the moment.
        probe: the host; stopped with the agent.
        journal: the log.
    """
    switch = Switch(probe, journal)

    def watch() -> None:
        while (present := config()).deadman.enabled and not probe.stopping.is_set():
            switch.look(present)
            probe.stopping.wait(min(LONGEST_PAUSE, present.deadman.after_minutes * 60.0 / 4))

    thread = threading.Thread(target=watch, name=_NAME, daemon=True)
    thread.start()
    return thread


def is_mine(config: Config, beat: Optional[Heartbeat], probe: Probe) -> bool:
    """Whether the agent of this host is one that watches; nobody is told of a cluster that is not real."""
    host = config.general.host
    if is_simulated(config.general.cluster_name):
        return False
    if config.deadman.hosts:
        return _short(host) in map(_short, config.deadman.hosts)
    return (beat is not None and _short(beat.host) == _short(host)) or "slurmctld" in daemons(probe)


def _short(host: str) -> str:
    return host.split(".", maxsplit=1)[0].lower()


class Switch:
    """Looks at the heartbeat and tells.

    Args:
        probe: the host.
        journal: the log.
    """

    def __init__(self, probe: Probe, journal: Journal) -> None:
        self._probe = probe
        self._journal = journal
        self._repeats = Repeats()

    def look(self, config: Config) -> None:
        """Look once; what goes wrong is in the log."""
        beat = self._beat(config.paths.heartbeat)
        if not is_mine(config, beat, self._probe):
            return
        now = clock.now()
        path = config.paths.agent_state(config.general.host, "agent", _NAME)
        kept = _remembered(path)
        before = kept or Memory(clock.to_text(now))
        step = decide(config.deadman, before, beat, self._up_since(now), config.general.cluster_name, now)
        after = self._tell(step, config, now)
        if after != kept:
            self._remember(path, after)

    def _beat(self, path: Path) -> Optional[Heartbeat]:
        """Return the newest heartbeat; one that cannot be read is none."""
        try:
            return last_beat(path)
        except (OSError, ValueError) as error:
            self._complain("the heartbeat of the pipeline cannot be read", str(error))
            return None

    def _tell(self, step: Step, config: Config, now: datetime) -> Memory:
        """Tell the targets of a step; return what to remember."""
        memory = step.memory
        for name in step.targets:
            try:
                send(name, config, step)
            except DeliveryError as error:
                self._complain(f"{name} could not be told that the pipeline is {step.news}", str(error))
                continue
            self._journal.warning(f"told that the pipeline is {step.news}", target=name)
            memory = memory.after_telling(step.news, name, now)
        return memory

    def _up_since(self, now: datetime) -> datetime:
        try:
            return now - timedelta(seconds=float(self._probe.read("/proc/uptime").split()[0]))
        except (OSError, ValueError, IndexError):
            return _LONG_AGO

    def _remember(self, path: Path, memory: Memory) -> None:
        try:
            replace_text(path, json.dumps(asdict(memory)))
        except OSError as error:
            self._complain("after a restart the silence of the pipeline may be told again", f"{path}: {error.strerror}")

    def _complain(self, event: str, problem: str) -> None:
        if self._repeats.due(event, problem, clock.monotonic())[0]:
            self._journal.error(event, problem=problem)


def _remembered(path: Path) -> Optional[Memory]:
    """Return what was kept, None when it is not there or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told = tuple((str(name), clock.to_text(clock.from_text(time))) for name, time in kept["told"])
        times = [clock.from_text(time) for time in (kept["watched_since"], kept["silent_since"]) if time is not None]
        return Memory(clock.to_text(times[0]), kept["silent_since"], told)
    return None


def send(name: str, config: Config, step: Step) -> None:
    """Send what a step tells to one of the targets.

    Raises:
        DeliveryError: it was not taken.
    """
    if name == EMAIL:
        _mail(config.deadman, step)
    else:
        _post(Secret(config.deadman.webhook, config.deadman.webhook_file), step.text, config.general.proxy)


def _mail(settings: DeadmanSettings, step: Step) -> None:
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import format_datetime

    from nomade_pipeline.transport.smtp import send_mail, server_of

    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = step.subject
    mail["From"] = settings.email_from
    mail["To"] = ", ".join(settings.email_to)
    mail["Date"] = format_datetime(clock.now())
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(step.text + "\n")
    send_mail(server_of(settings), settings.email_from, settings.email_to, bytes(mail), SEND_SECONDS)


def _post(address: Secret, text: str, proxy: str) -> None:
    from nomade_pipeline.transport.http import Way, ask, check_accepted, url_fault

    try:
        url = address.read()
    except SecretError as error:
        raise DeliveryError(str(error)) from error
    fault = url_fault(url)
    if fault is not None:
        raise DeliveryError(f"the address of the webhook {fault}")
    body = json.dumps({"text": text}).encode("ascii")
    headers = {"Content-Type": "application/json"}
    answer = ask("POST", url, seconds=SEND_SECONDS, body=body, headers=headers, way=Way(proxy))
    check_accepted("the webhook", answer, address.hide(answer.body.decode("utf-8", "replace")))

"""The resident agent: one thread a collector, one that writes the spool, one that minds the rest.

Collectors never touch the disk and never wait for each other; a spool that hangs or is full delays
the writing, not the sampling.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence

from nomade_pipeline import __version__, clock
from nomade_pipeline.agent.delivery import Delivered, Delivery
from nomade_pipeline.agent.health import CollectorState, judge
from nomade_pipeline.agent.host import HostProbe
from nomade_pipeline.agent.journal import Journal, Repeats
from nomade_pipeline.agent.keeping import Keeper, recall
from nomade_pipeline.agent.once import settings_of
from nomade_pipeline.agent.pace import FAILED, SKIPPED, Pace
from nomade_pipeline.agent.runs import RunReport, log_reading, run_collector
from nomade_pipeline.collectors.base import Collector, Reading
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import Interrupted
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.operations import COLLECTION_LOG

WRITER = "agent"
# While the spool cannot be written it is tried again this often, and with every new sample.
RETRY_SECONDS = 15.0
# A service manager waits longer than this before it kills.
STOP_SECONDS = 5.0
_LONGEST_REJECT = 200
# Two remarks that differ in a count are the same.
_DIGITS = re.compile(r"\d+")
# Name of the writing thread; no collector can be called so.
_SPOOL = "the spool"


class Agent:
    """Samples a host until it is stopped.

    Args:
        config: what to sample; `apply` replaces it.
        collectors: those that may run; which do is in the configuration.
        probe: the host; stopped with the agent.
        journal: the log.
        interval: seconds between samples of every collector, in place of the configuration's.
        always: run the collectors whether enabled or not, because they were asked for by name.
        writer: name of the spool's writer, `agent` or `monitor`.
    """

    def __init__(
        self,
        config: Config,
        collectors: Sequence[Collector],
        probe: HostProbe,
        journal: Journal,
        *,
        interval: Optional[int] = None,
        always: bool = False,
        writer: str = WRITER,
    ) -> None:
        self._writer = writer
        collectors = [collector.fresh() for collector in collectors]
        self._collectors = {collector.name: collector for collector in collectors}
        self._probe = probe
        self._journal = journal
        self._interval = interval
        self._always = always
        self._changed = threading.Condition()
        self._generation = 0
        self._arrived = threading.Condition()
        self._fresh = False
        self._closing = False
        self._repeats = Repeats()
        # Bounded, as the thread that logs them may hang on a dead file system.
        self._finished: Deque[RunReport] = deque(maxlen=100)
        self._jobs: Dict[str, Callable[[], None]] = {
            _SPOOL: self._deliver,
            **{each.name: partial(self._sample, each) for each in collectors},
        }
        self._threads: Dict[str, threading.Thread] = {}
        self._began = clock.monotonic()
        self.delivery = Delivery()
        self._keeper = Keeper(probe)
        self.states: Dict[str, CollectorState] = {}
        self._take_over(config)

    def _take_over(self, config: Config) -> None:
        general = config.general
        self._config = config
        self._spool = SpoolWriter(config.paths.spool, general.cluster_name, general.host, self._writer)
        for collector in self._collectors.values():
            state = self.states.setdefault(collector.name, CollectorState(60, clock.monotonic()))
            enabled, state.interval = self._wants(collector, config)
            if enabled and not state.enabled:
                state.since = clock.monotonic()
            state.enabled = enabled

    def _wants(self, collector: Collector, config: Config) -> tuple[bool, int]:
        """Return whether a collector runs, and its interval in seconds."""
        settings = settings_of(config, collector)
        return self._always or settings.enabled, self._interval or settings.interval

    def apply(self, config: Config) -> None:
        """Take over a changed configuration: each collector follows with its next run."""
        with self._changed:
            self._take_over(config)
            self._generation += 1
            self._changed.notify_all()

    def start(self) -> None:
        """Start sampling, with what collectors remember of the agent before this one."""
        for collector in self._collectors.values():
            problem = recall(collector, self._state_path(self._config, collector), self._probe)
            if problem is not None:
                self._journal.warning(problem)
        self.mind()

    def _state_path(self, config: Config, collector: Collector) -> Path:
        return config.paths.agent_state(config.general.host, self._writer, collector.name)

    def mind(self) -> None:
        """Start each thread that does not run; one that died of an error is told and replaced."""
        for name, job in self._jobs.items():
            thread = self._threads.get(name)
            if thread is not None and thread.is_alive():
                continue
            if thread is not None:
                self._journal.error("a thread of the agent ended and is started again", thread=name)
            self._threads[name] = threading.Thread(target=job, name=name, daemon=True)
            self._threads[name].start()

    def stop(self) -> int:
        """End runs under way, store what waits and return the number of runs that could not be stored."""
        self._probe.stop()
        with self._changed:
            self._changed.notify_all()
        deadline = clock.monotonic() + STOP_SECONDS
        writer = self._threads.pop(_SPOOL, None)
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - clock.monotonic()))
        with self._arrived:
            self._closing = True
            self._arrived.notify_all()
        if writer is not None:
            writer.join(max(1.0, deadline - clock.monotonic()))
        return self.delivery.waiting

    # Sampling: one thread a collector.

    def _sample(self, collector: Collector) -> None:
        """Run one collector in its rhythm until the agent stops."""
        pace = Pace(collector.spans_interval)
        seen = self._generation
        while not self._probe.stopping.is_set():
            with self._changed:
                config, spool, generation = self._config, self._spool, self._generation
                enabled, interval = self._wants(collector, config)
            if generation != seen:
                pace.forget()
                seen = generation
            step = pace.step(clock.now().timestamp(), clock.monotonic(), interval)
            if not enabled:
                self._pause(seen, interval)
            elif (step.wait == 0.0 or self._pause(seen, step.wait)) and step.measure:
                self._run(collector, pace, config, spool, step.measure, interval)

    def _pause(self, seen: int, seconds: float) -> bool:
        """Let time pass; False when the configuration changed or the agent stops in the meantime."""
        with self._changed:
            return not self._changed.wait_for(
                lambda: self._generation != seen or self._probe.stopping.is_set(), seconds
            )

    def _run(
        self, collector: Collector, pace: Pace, config: Config, spool: SpoolWriter, seconds: int, interval: int
    ) -> None:
        """Run a collector once and pass on what it gave; an interrupted run leaves no trace."""
        try:
            report = run_collector(collector, self._probe, settings_of(config, collector), seconds)
        except Interrupted:
            return
        pace.after(report.outcome, clock.monotonic())
        rest = pace.rest(report.seconds, collector.load_budget, interval, clock.monotonic())
        self.states[collector.name].note(report, clock.monotonic())
        self._keeper.note(collector, self._state_path(config, collector))
        self.delivery.add(spool, (*report.readings, log_reading(report, self._writer, interval + rest)))
        with self._arrived:
            self._finished.append(report)
            self._fresh = True
            self._arrived.notify_all()

    # Writing: one thread, the only one that touches spool and log once the agent runs.

    def _deliver(self) -> None:
        """Store what arrives until the agent closes, then once more."""
        while True:
            with self._arrived:
                pause = RETRY_SECONDS if self.delivery.waiting else None
                self._arrived.wait_for(lambda: self._fresh or self._closing, pause)
                self._fresh, closing = False, self._closing
            while self._finished:
                self._tell_of_run(self._finished.popleft())
            self._keep()
            self._tell_of_delivery(self.delivery.flush())
            if closing:
                return

    def _keep(self) -> None:
        """Write what collectors remember, and tell if that fails."""
        problem = self._keeper.flush()
        if problem is None:
            self._repeats.cleared("memory")
        elif self._repeats.due("memory", problem, clock.monotonic())[0]:
            self._journal.error("after a restart counters of jobs may begin anew", problem=problem)

    def _tell_of_run(self, report: RunReport) -> None:
        """Log how a run went; a fault that repeats is told once an hour."""
        fields = {name: value for name, value in report.to_dict().items() if value is not None}
        subject = f"run of {report.collector}"
        if report.outcome == FAILED:
            due, unsaid = self._repeats.due(subject, f"{report.category}: {report.message}", clock.monotonic())
            if due:
                trace = {"trace": report.trace} if report.trace else {}
                self._journal.error("a collector failed", **fields, repeated=unsaid, **trace)
        elif report.outcome == SKIPPED:
            due, _ = self._repeats.due(f"skip of {report.collector}", str(report.message), clock.monotonic())
            if due:
                self._journal.info("a collector has nothing to collect", **fields)
        else:
            failures = self._repeats.cleared(subject)
            if failures:
                self._journal.info("a collector works again", collector=report.collector, failures=failures)
            self._repeats.cleared(f"skip of {report.collector}")
            self._journal.debug("a collector ran", **fields)
            remark = f"remark of {report.collector}"
            if report.message is None:
                self._repeats.cleared(remark)
            elif self._repeats.due(remark, _DIGITS.sub("#", report.message), clock.monotonic())[0]:
                self._journal.warning("a collector could not do everything", **fields)
        for rejected in report.rejected[:1]:
            due, unsaid = self._repeats.due(f"reject of {report.collector}", rejected.reason, clock.monotonic())
            if due:
                text = rejected.text[:_LONGEST_REJECT]
                self._journal.warning(
                    "output could not be read", **fields, reason=rejected.reason, text=text, repeated=unsaid
                )

    def _tell_of_delivery(self, delivered: Delivered) -> None:
        """Log what became of readings that could not be stored."""
        for reason in delivered.refused:
            due, unsaid = self._repeats.due("refused", reason, clock.monotonic())
            if due:
                self._journal.error("a reading is no good and was given up", reason=reason, repeated=unsaid)
        if delivered.dropped:
            for collector in self._collectors.values():
                collector.forget()
            self._journal.error("too many readings wait; the oldest were given up", readings=delivered.dropped)
        if delivered.problem is not None:
            due, unsaid = self._repeats.due("storage", delivered.problem, clock.monotonic())
            if due:
                problem, waiting = delivered.problem, delivered.waiting
                self._journal.error("readings wait in memory", problem=problem, waiting=waiting, repeated=unsaid)
        elif self._repeats.cleared("storage"):
            self._journal.info("readings that waited are stored", rows=delivered.rows)
            self._confess()

    def _confess(self) -> None:
        """Record in the collection log how many readings were given up while the spool could not be written."""
        lost, self.delivery.dropped_total = self.delivery.dropped_total, 0
        if not lost:
            return
        now = clock.now()
        report = RunReport(
            collector="agent",
            started_time=now,
            ended_time=now,
            outcome=FAILED,
            seconds=0.0,
            category="storage",
            message=f"{lost} readings were given up while the spool could not be written",
        )
        reading = log_reading(report, self._writer, 0.0)
        self.delivery.add(self._spool, (Reading(COLLECTION_LOG.name, reading.rows, now, 0.0),))
        self.delivery.flush()

    def health(self) -> Dict[str, Any]:
        """Return the agent's health for JSON."""
        about = {
            "version": __version__,
            "host": self._config.general.host,
            "cluster": self._config.general.cluster_name,
            "uptime_seconds": round(clock.monotonic() - self._began, 1),
            "waiting_runs": self.delivery.waiting,
            "dropped_readings": self.delivery.dropped_total,
        }
        return judge(self.states, clock.monotonic(), self.delivery.problem, about)

    @property
    def running(self) -> List[str]:
        """Names of the collectors that are enabled."""
        return [name for name, state in self.states.items() if state.enabled]

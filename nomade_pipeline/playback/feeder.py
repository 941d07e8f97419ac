"""The replay itself: step by step, the rows of the past go to the spool, Slurm is asked, alerts are judged.

What hosts have measured is fed from the lake as their agents would write it. What Slurm knows is asked for by the real
collectors, which meet the stand-ins.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from nomade_pipeline import clock
from nomade_pipeline.agent.once import settings_of
from nomade_pipeline.agent.runs import log_reading, run_collector
from nomade_pipeline.collectors.base import Collector
from nomade_pipeline.collectors.slurm_collectors import JOBS, NODES, SLURM
from nomade_pipeline.config.deadman_settings import DeadmanSettings
from nomade_pipeline.config.settings import Config
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.partition import close_if_over
from nomade_pipeline.ingest.readings import write_to_spool
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.playback.errors import ReplayError
from nomade_pipeline.playback.queue_answers import HEAD
from nomade_pipeline.playback.replay_clock import ReplayClock
from nomade_pipeline.playback.stand_in import install
from nomade_pipeline.playback.state import FILE_NAME, write_state
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.contract import Table, is_simulated
from nomade_pipeline.tables.nodes import NODE_STATE
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

_SLURM: tuple[Collector, ...] = (SLURM, NODES, JOBS)
_ASKED = {collector.name for collector in _SLURM}
COLLECTOR_SECONDS = 50


@dataclass(frozen=True)
class Plan:
    """What is replayed.

    Attributes:
        lake: where the past lies.
        source: the cluster whose past it is.
        cluster: its name in the replay, ``replay-…``.
        folder: data folder of the replay.
        start: first replayed moment.
        end: last one.
        step: replayed time between two looks.
        speed: replayed seconds a real second; None: one step follows the other at once.
    """

    lake: Lake
    source: str
    cluster: str
    folder: Path
    start: datetime
    end: datetime
    step: timedelta
    speed: float | None

    def __post_init__(self) -> None:
        """Refuse what cannot be replayed.

        Raises:
            ReplayError: the message says why.
        """
        if not is_simulated(self.cluster):
            raise ReplayError(f"cluster {self.cluster!r:.80} could be taken for a real one; call it replay-…")
        if self.start >= self.end:
            raise ReplayError(f"there is nothing between {self.start:%F %R} and {self.end:%F %R} UTC")
        if not any(self.lake.days(table, self.source) for table in RAW_TABLES):
            known = sorted({cluster for table in RAW_TABLES for cluster in self.lake.clusters(table)})
            raise ReplayError(f"the lake has no cluster {self.source!r:.80}; there are {', '.join(known) or 'none'}")
        if self.folder.resolve() == self.lake.root.resolve().parent:
            raise ReplayError(f"a replay needs a data folder of its own; {self.folder} is the one that it reads")


@dataclass
class Replayed:
    """What a replay has done so far.

    Attributes:
        steps: how many.
        fed: rows fed from the lake, by table.
        asked: rows that collectors have read from the stand-ins, by collector.
        told: alerts that were told, all to the dry run.
        problems: what went wrong, each once.
        until: the replayed moment that was reached.
        is_interrupted: somebody ended it before it was done.
    """

    steps: int = 0
    fed: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    until: datetime | None = None
    is_interrupted: bool = False


class ReplayedProbe(LiveProbe):
    """A host on which the stand-ins are Slurm's commands, no daemon runs, and the time is the replay's."""

    def __init__(self, tools: Path, root: Path) -> None:
        super().__init__(root=str(root))
        self._tools = tools

    def which(self, tool: str) -> str | None:
        """See Probe; no other command is there."""
        path = self._tools / tool
        return str(path) if path.exists() else None

    def monotonic(self) -> float:
        """See Probe: what is asked once an hour is asked once a replayed hour."""
        return clock.now().timestamp()


Judge = Callable[[Config, Store, datetime], Counter[str]]


class Feeder:
    """One replay.

    Args:
        plan: what to replay.
        config: settings of collectors and rules.
        judge: evaluates the alert rules at a moment and returns what was told, by kind.
    """

    def __init__(self, plan: Plan, config: Config, judge: Judge) -> None:
        self._plan = plan
        self._judge = judge
        general = replace(config.general, cluster_name=plan.cluster, data_dir=str(plan.folder), host=HEAD)
        # No ping goes out: it would say that the real pipeline is well.
        self._config = replace(config, general=general, deadman=DeadmanSettings())
        self._store = Store.at(plan.folder)
        self._replayed = Replayed()
        # Of each table the rows that were read last, and of which days they are.
        self._kept: dict[str, tuple[date, date, polars.DataFrame]] = {}

    def run(self, progress: Callable[[str, float], None]) -> Replayed:
        """Replay all of the plan.

        Raises:
            ReplayError: the folder holds something else.
            LakeError, SpoolError, DatabaseError, OSError: data cannot be read or written.
        """
        plan = self._plan
        self._prepare()
        self._replayed.until = plan.start
        try:
            self._go_on(progress)
        except KeyboardInterrupt:
            # What was replayed until here is no less true.
            self._replayed.is_interrupted = True
            with clock.set_to(self._replayed.until):
                self._publish(self._replayed.until.date(), self._replayed.until)
        return self._replayed

    def _go_on(self, progress: Callable[[str, float], None]) -> None:
        plan, before, began = self._plan, self._plan.start, time.time()
        while before < plan.end:
            now = self._next_moment(before, began)
            with clock.set_to(now):
                self._step(before, now)
                if now.date() != before.date() or now >= plan.end:
                    self._publish(before.date(), now)
            self._replayed.until = before = now
            progress(f"{now:%F %R} UTC", (now - plan.start) / (plan.end - plan.start))

    def _prepare(self) -> None:
        plan = self._plan
        if plan.folder.exists() and any(plan.folder.iterdir()):
            raise ReplayError(f"{plan.folder} is not empty; give --replace, or another folder with --into")
        plan.folder.mkdir(parents=True, exist_ok=True)
        self._set_clock(plan.start, time.time())
        write_state(plan.folder / FILE_NAME, plan.lake, plan.source, plan.start, plan.end, plan.step)
        empty = plan.folder / "replay-root"
        empty.mkdir(exist_ok=True)
        self._probe = ReplayedProbe(install(plan.folder), empty)
        wanted = [each for each in _SLURM if each is not NODES or plan.lake.days(NODE_STATE, plan.source)]
        self._collectors = [each.fresh() for each in wanted if plan.lake.days(JOB_METRICS, plan.source)]

    def _set_clock(self, moment: datetime, began: float) -> None:
        plan = self._plan
        end = plan.end.timestamp()
        ReplayClock(plan.source, plan.cluster, moment.timestamp(), began, plan.speed or 0.0, end).write(plan.folder)

    def _next_moment(self, before: datetime, began: float) -> datetime:
        """Return the moment of the next step, after waiting for it where the replay has a speed."""
        plan = self._plan
        due = min(before + plan.step, plan.end)
        if plan.speed is None:
            self._set_clock(due, time.time())
            return due
        late = (due - plan.start).total_seconds() / plan.speed - (time.time() - began)
        if late > 0:
            time.sleep(late)
            return due
        # A step that took too long is not made up for: the next one covers more.
        elapsed = timedelta(seconds=(time.time() - began) * plan.speed)
        return min(max(due, plan.start + elapsed), plan.end)

    def _step(self, before: datetime, now: datetime) -> None:
        for table in RAW_TABLES:
            if table.collector not in _ASKED:
                self._feed(table, before, now)
        for collector in self._collectors:
            self._ask(collector)
        self._replayed.told.update(self._judge(self._config, self._store, now))
        self._replayed.steps += 1

    def _feed(self, table: Table, before: datetime, now: datetime) -> None:
        """Feed the rows of a table with ``before < sample_time <= now``."""
        import polars as pl

        plan = self._plan
        rows = self._day_rows(table, before.date(), now.date())
        rows = rows.filter((pl.col("sample_time") > before) & (pl.col("sample_time") <= now))
        if table is COLLECTION_LOG:
            rows = rows.filter(~pl.col("collector").is_in(sorted(_ASKED)))
        if rows.height:
            self._replayed.fed[table.name] += write_to_spool(self._store.spool, plan.cluster, table, rows)

    def _day_rows(self, table: Table, first: date, last: date) -> polars.DataFrame:
        """Return the rows of one day or two; the newest that were read are kept."""
        if table.name not in self._kept or self._kept[table.name][:2] != (first, last):
            begin = clock.start_of(first)
            end = clock.start_of(last) + timedelta(days=1)
            rows = self._plan.lake.read(table, begin, end, clusters=[self._plan.source])
            self._kept[table.name] = (first, last, rows)
        return self._kept[table.name][2]

    def _ask(self, collector: Collector) -> None:
        """Let a collector read the stand-ins, into the spool of the head node."""
        report = run_collector(collector, self._probe, settings_of(self._config, collector), COLLECTOR_SECONDS)
        writer = SpoolWriter(self._store.spool, self._plan.cluster, HEAD)
        interval = self._plan.step.total_seconds()
        # A step stands for the time since the one before.
        spans = [replace(each, interval_seconds=interval if each.interval_seconds else 0.0) for each in report.readings]
        writer.append([*spans, log_reading(report, "agent", interval)])
        self._replayed.asked[collector.name] += report.rows
        if report.message and (problem := f"{collector.name}: {report.message}") not in self._replayed.problems:
            self._replayed.problems.append(problem)

    def _publish(self, day: date, now: datetime) -> None:
        """Publish and roll up a day that is over, or what there is of it at the end."""
        for each in sorted({day, now.date()}):
            for table in RAW_TABLES:
                publish_day(self._store, table, each)
                close_if_over(self._store, table, each)
            roll_up_day(self._store, each)

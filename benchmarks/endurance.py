"""Agent and ingest for a week of cycles at an accelerated clock: is a row lost, does memory grow?

The real agent, spool, ingest, rollups and retention run; only time is faster, so the rate tools (whose
interval cannot be) are replaced by one recorded answer each, given after the accelerated interval. The
ingest is one process for the whole week, in an installation it is a new one each time: what it does not
give back adds up here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Iterator, Sequence

from benchmarks.report import Report
from nomade_pipeline import clock
from nomade_pipeline.agent.host import HostProbe
from nomade_pipeline.agent.journal import Journal
from nomade_pipeline.agent.service import Agent
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.config.load import environment_with, load_config
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import Completed, LiveProbe
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import SpoolWriter, spool_files

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 7
# What runs meanwhile on the machine may mount more; five real seconds would be a blink of the accelerated clock.
SETTINGS = {"NOMADE_COLLECTORS__DISK__FILESYSTEMS": "/", "NOMADE_COLLECTORS__DISK__STATFS_TIMEOUT": "600"}
TOOLS = ("iostat", "mpstat", "vmstat")
# At this speed a second of the machine's is one minute: even when other programs hold it up, runs end in time.
LEDGER_FACTOR = 60
EVERY_SECONDS = 900.0
# When `maintenance_daily` runs.
RETENTION_AFTER = timedelta(hours=1, minutes=40)
# The first tenth fills caches. After the third day a day has been closed and the spool holds as much as
# retention leaves in it: from then on the work is the same every day.
WARM_UP_HOURS = DAYS * 24 / 10
SETTLED_HOURS = 72.0

# Simulated hours and resident MB.
Series = list[tuple[float, float]]


class SpedUpAgent(Agent):
    """The agent, whose pauses are as fast as its clock."""

    factor = 1.0

    def _pause(self, seen: int, seconds: float) -> bool:
        return super()._pause(seen, seconds / self.factor)


class SpedUpProbe(HostProbe):
    """The host, whose rate tools answer with a recording after the accelerated interval."""

    factor = 1.0
    answers: dict[tuple[str, bool], str]

    def run(self, argv: Sequence[str], timeout: float) -> Completed:
        """Answer for a rate tool; run anything else."""
        if argv[0] not in TOOLS:
            return super().run(argv, timeout * self.factor)
        asks_version = "-V" in argv
        # All of them end in the interval and the number of reports; the agent asks for less than a
        # minute when it begins late.
        seconds = 0.0 if asks_version else float(argv[-2])
        self.wait(seconds)
        return Completed(tuple(argv), 0, self.answers[argv[0], asks_version], "", seconds)

    def wait(self, seconds: float) -> None:
        """Let accelerated time pass."""
        super().wait(seconds / self.factor)


def config_of(folder: Path) -> Config:
    """Return the configuration of both processes."""
    return load_config(None, environment_with({**SETTINGS, "NOMADE_GENERAL__DATA_DIR": str(folder)}))


def record_answers() -> dict[tuple[str, bool], str]:
    """Run each rate tool once for a second and keep what it prints."""
    probe = LiveProbe()
    commands = {
        ("iostat", False): ("iostat", "-xy", "-k", "-o", "JSON", "1", "1"),
        ("mpstat", False): ("mpstat", "-P", "ALL", "-o", "JSON", "1", "1"),
        ("vmstat", False): ("vmstat", "-n", "-w", "-S", "K", "1", "2"),
        **{(tool, True): (tool, "-V") for tool in TOOLS},
    }
    return {key: probe.run(argv, 10).stdout for key, argv in commands.items()}


@dataclass
class Race:
    """A span of simulated time that agent and ingest have run through.

    Attributes:
        store: what they left.
        written: rows that the agent gave to the spool, by table.
        agent, ingest: memory of both processes.
    """

    store: Store
    written: dict[str, int] = field(default_factory=dict)
    agent: Series = field(default_factory=list)
    ingest: Series = field(default_factory=list)


def run(minutes: float | None = None) -> list[Report]:
    """Run the week in so many real minutes (NOMADE_BENCH_MINUTES, else 30), and a third of that for the ledger."""
    minutes = minutes or float(os.environ.get("NOMADE_BENCH_MINUTES", "30"))
    with _race(minutes * 60, timedelta(days=DAYS)) as race:
        week = _week(race, minutes)
    part = minutes / 3
    hours = part * LEDGER_FACTOR / 60
    with _race(part * 60, timedelta(hours=hours)) as race:
        title = f"{hours:.3g} hours of cycles in {part:.3g} minutes (clock × {LEDGER_FACTOR})"
        return [week, _ledger(race, title)]


@contextlib.contextmanager
def _race(seconds: float, span: timedelta) -> Iterator[Race]:
    """Let agent and ingest run through a simulated span in so many real seconds; what they left goes afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="nomade-endurance-"))
    factor, origin = span.total_seconds() / seconds, time.monotonic()
    argv = [sys.executable, "-m", "benchmarks.endurance", str(folder), str(factor), str(origin)]
    agent = subprocess.Popen(argv)
    race = Race(Store.at(folder))
    try:
        with clock.sped_up(factor, START, origin):
            _ingest_until(START + span, race, agent.pid, factor)
        race.written = json.loads((folder / "agent.json").read_text())
        agent.wait(30)
        yield race
    finally:
        agent.kill()
        shutil.rmtree(folder)


def _ingest_until(end: datetime, race: Race, pid: int, factor: float) -> None:
    """Do what the schedules do until a simulated moment, then stop the agent and take what it wrote last."""
    pipeline = Pipeline(race.store)
    while clock.now() < end:
        pipeline.cycle()
        hours = (clock.now() - START).total_seconds() / 3600
        race.agent.append((hours, _rss_mb(pid)))
        race.ingest.append((hours, _rss_mb(os.getpid())))
        time.sleep((EVERY_SECONDS - clock.now().timestamp() % EVERY_SECONDS) / factor)
    os.kill(pid, signal.SIGTERM)
    # Runs later than this are not owed: the agent has been told to stop.
    with clock.set_to(clock.now()):
        while not (race.store.paths.root / "agent.json").exists():
            time.sleep(0.1)
        pipeline.finish()


class Pipeline:
    """What Dagster's schedules do: the ingest, the closing of yesterday, retention once a day."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.settings = config_of(store.paths.root).retention
        self.closed: set[date] = set()
        self.retained: set[date] = set()

    def cycle(self) -> None:
        """Do what is due now."""
        from nomade_pipeline.ingest.partition import days_to_ingest
        from nomade_pipeline.retention import apply

        now = clock.now()
        yesterday = now.date() - timedelta(days=1)
        self._ingest({*days_to_ingest(now), *({yesterday} - self.closed)})
        if now.date() not in self.retained and now >= clock.start_of(now.date()) + RETENTION_AFTER:
            apply(self.store, self.settings)
            self.retained.add(now.date())

    def finish(self) -> None:
        """Ingest all that the spool holds once more: what the agent wrote last."""
        self._ingest({file.hour.date() for file in spool_files(self.store.spool)})

    def _ingest(self, days: set[date]) -> None:
        from nomade_pipeline.ingest.day import publish_day
        from nomade_pipeline.ingest.partition import close_if_over, is_over
        from nomade_pipeline.ingest.rollup import roll_up_day
        from nomade_pipeline.tables.catalog import RAW_TABLES

        for day in sorted(days):
            now = clock.now()
            for table in RAW_TABLES:
                publish_day(self.store, table, day)
                close_if_over(self.store, table, day)
            roll_up_day(self.store, day)
            if is_over(day, now):
                self.closed.add(day)


def _week(race: Race, minutes: float) -> Report:
    """Return what became of the rows and the memory."""
    from nomade_pipeline.tables.catalog import RAW_TABLES

    factor = DAYS * 24 * 60 / minutes
    report = _ledger(race, f"A week of cycles in {minutes:g} minutes (clock × {factor:.0f})")
    lake = race.store.lake
    stored = {
        table.name: sum(lake.count(table, "local", day) for day in lake.days(table, "local")) for table in RAW_TABLES
    }
    for name, rows in race.written.items():
        report.add(f"rows of {name}: written / in the lake / lost", f"{rows} / {stored[name]} / {rows - stored[name]}")
    for name, series in (("agent", race.agent), ("ingest", race.ingest)):
        report.add(f"{name}: resident memory, MB, median of each day", " / ".join(_daily_medians(series)))
        report.add(f"{name}: slope after the first tenth, MB a simulated day", _slope(series, WARM_UP_HOURS))
        report.add(f"{name}: slope after the third day, MB a simulated day", _slope(series, SETTLED_HOURS))
    return report


def _ledger(race: Race, what: str) -> Report:
    """Return which runs were owed and which came."""
    report = Report(f"{what}: agent → spool → ingest → rollups", ("what", "figure"))
    for row in race.store.rollups.rows(_LEDGER):
        figures = " / ".join(str(row[name]) for name in ("expected", "received", "failed", "quarantined"))
        report.add(f"ledger of {row['collector']}: expected / received / failed / quarantined", figures)
        report.add(f"{row['collector']}: longest run, simulated seconds", row["longest"])
    return report


# A run that lasts longer than its interval passes over the next one.
_LEDGER = """
SELECT collector, sum(expected) AS expected, sum(received) AS received, sum(failed) AS failed,
       sum(quarantined) AS quarantined,
       (SELECT max(seconds) FROM collection_log WHERE collection_log.collector = ledger.collector) AS longest
FROM ledger GROUP BY collector HAVING sum(expected) > 0"""


def _daily_medians(series: Series) -> list[str]:
    """Return the median of each simulated day."""
    days = (([value for hours, value in series if hours // 24 == day]) for day in range(DAYS))
    return [f"{median(values):.1f}" for values in days if values]


def _slope(series: Series, since_hours: float) -> float:
    """Return the least-squares slope in MB a day of (hours, MB)."""
    import numpy as np

    hours, values = np.array([point for point in series if point[0] >= since_hours]).T
    return float(np.polyfit(hours / 24, values, 1)[0])


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _be_the_agent(folder: Path, factor: float, origin: float) -> None:
    """Run the agent at an accelerated clock until SIGTERM, then tell how many rows it gave to the spool."""
    import threading

    from nomade_pipeline.collectors.registry import COLLECTORS

    written: dict[str, int] = {}
    append = SpoolWriter.append

    def counting(self: SpoolWriter, readings: Sequence[Reading]) -> int:
        rows = append(self, readings)
        for reading in readings:
            written[reading.table] = written.get(reading.table, 0) + len(reading.rows)
        return rows

    SpoolWriter.append = counting
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    config = config_of(folder)
    probe = SpedUpProbe()
    probe.factor, probe.answers = factor, record_answers()
    with clock.sped_up(factor, START, origin):
        agent = SpedUpAgent(config, COLLECTORS, probe, Journal(folder / "agent.log", config.general.log_level))
        agent.factor = factor
        agent.start()
        done.wait()
        agent.stop()
    (folder / "agent.tmp").write_text(json.dumps(written))
    (folder / "agent.tmp").rename(folder / "agent.json")


if __name__ == "__main__":
    _be_the_agent(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))

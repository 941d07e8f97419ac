"""Agent and ingest for a week of cycles at an accelerated clock: is a row lost, does memory grow?

The real agent, spool, ingest and rollups run; only time is faster, so the rate tools (whose interval
cannot be) are replaced by one recorded answer each, given after the accelerated interval.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Sequence

from benchmarks.report import Report
from nomade_pipeline import clock
from nomade_pipeline.agent.host import HostProbe
from nomade_pipeline.agent.journal import Journal
from nomade_pipeline.agent.service import Agent
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.config.load import environment_with, load_config
from nomade_pipeline.probes import Completed, LiveProbe
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import SpoolWriter

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 7
TOOLS = ("iostat", "mpstat", "vmstat")
# The first tenth fills caches; growth after it is a leak.
WARM_UP = 0.1

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
        if not asks_version:
            self.wait(60.0)
        return Completed(tuple(argv), 0, self.answers[argv[0], asks_version], "", 60.0)

    def wait(self, seconds: float) -> None:
        """Let accelerated time pass."""
        super().wait(seconds / self.factor)


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


def run(minutes: float | None = None) -> list[Report]:
    """Run the week in so many real minutes (NOMADE_BENCH_MINUTES, else 30)."""
    minutes = minutes or float(os.environ.get("NOMADE_BENCH_MINUTES", "30"))
    folder = Path(tempfile.mkdtemp(prefix="nomade-endurance-"))
    factor = DAYS * 86400 / (minutes * 60)
    origin = time.monotonic()
    argv = [sys.executable, "-m", "benchmarks.endurance", str(folder), str(factor), str(origin)]
    agent = subprocess.Popen(argv)
    try:
        with clock.sped_up(factor, START, origin):
            memory, ingest_memory = _ingest_until_the_end(folder, agent.pid)
        written = json.loads((folder / "agent.json").read_text())
        agent.wait(30)
        return [_report(folder, minutes, factor, written, memory, ingest_memory)]
    finally:
        agent.kill()
        shutil.rmtree(folder)


def _ingest_until_the_end(folder: Path, pid: int) -> tuple[Series, Series]:
    """Ingest as the schedules would until the week is over; return the memory of both processes over time."""
    from nomade_pipeline.ingest.partition import days_to_ingest

    store = Store.at(folder)
    agent_memory, own_memory = [], []
    end = START + timedelta(days=DAYS)
    stopped = False
    closed: set[date] = set()
    while True:
        now = clock.now()
        if now >= end and not stopped:
            os.kill(pid, signal.SIGTERM)
            stopped = True
            while not (folder / "agent.json").exists():
                time.sleep(0.1)
        _ingest(store, days_to_ingest(now), closed, now)
        if stopped:
            _ingest(store, [START.date() + timedelta(days=day) for day in range(DAYS + 1)], closed, now)
            return agent_memory, own_memory
        hours = (now - START).total_seconds() / 3600
        agent_memory.append((hours, _rss_mb(pid)))
        own_memory.append((hours, _rss_mb(os.getpid())))
        time.sleep(max(0.0, 900 / (DAYS * 86400) * 60))


def _ingest(store: Store, days: list[date], closed: set[date], now: datetime) -> None:
    from nomade_pipeline.ingest.day import publish_day
    from nomade_pipeline.ingest.partition import is_over
    from nomade_pipeline.ingest.rollup import roll_up_day
    from nomade_pipeline.tables.catalog import RAW_TABLES

    for day in days:
        for table in RAW_TABLES:
            publish_day(store, table, day)
            if is_over(day, now) and day not in closed:
                for cluster in store.lake.clusters(table):
                    store.lake.close_day(table, cluster, day)
        roll_up_day(store, day)
        if is_over(day, now):
            closed.add(day)


def _report(
    folder: Path, minutes: float, factor: float, written: dict[str, int], memory: Series, ingest_memory: Series
) -> Report:
    from nomade_pipeline.tables.catalog import RAW_TABLES

    store = Store.at(folder)
    report = Report(
        f"A week of cycles in {minutes:g} minutes (clock × {factor:.0f}): agent → spool → ingest → rollups",
        ("what", "figure"),
    )
    stored = {
        table.name: sum(store.lake.count(table, "local", day) for day in store.lake.days(table, "local"))
        for table in RAW_TABLES
    }
    for name, rows in written.items():
        report.add(f"rows of {name}: written / in the lake / lost", f"{rows} / {stored[name]} / {rows - stored[name]}")
    totals = store.rollups.rows(
        "SELECT sum(expected) AS e, sum(received) AS r, sum(failed) AS f, sum(quarantined) AS q FROM ledger"
    )[0]
    report.add("ledger: expected / received / failed / quarantined", " / ".join(str(totals[key]) for key in "erfq"))
    for name, series in (("agent", memory), ("ingest", ingest_memory)):
        report.add(f"{name}: resident memory at the end, MB", series[-1][1])
        report.add(f"{name}: memory slope after the first tenth, MB a simulated day", _slope(series))
    return report


def _slope(series: Series) -> float:
    """Return the least-squares slope in MB a day of (hours, MB)."""
    import numpy as np

    kept = [point for point in series if point[0] >= WARM_UP * DAYS * 24]
    hours, values = np.array(kept).T
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
    config = load_config(None, environment_with({"NOMADE_GENERAL__DATA_DIR": str(folder)}))
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

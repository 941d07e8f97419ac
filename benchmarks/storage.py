"""Bytes a node and day, ingest speed, and how both grow with the number of hosts."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.report import Report

DAY = datetime(2026, 3, 5, tzinfo=UTC)

# SUPReMM's published figure for one node and day, compressed (Evans et al. 2014).
SUPREMM_MB = 8.7
GOAL_MB = 2.0


def run() -> list[Report]:
    """Measure one host's day, then a day of more and more hosts, each in a process of its own."""
    return [_node_day(), _scaling()]


def _measure(hosts: int, minutes: int) -> dict[str, float]:
    """Run one ingest in a fresh process and return what it measured."""
    folder = tempfile.mkdtemp(prefix="nomade-bench-")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.storage", folder, str(hosts), str(minutes)],
            capture_output=True,
            text=True,
            check=True,
        )
        result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    finally:
        shutil.rmtree(folder)
    return result


def _node_day() -> Report:
    day = _measure(1, 1440)
    report = Report(
        "Bytes a node and day: 64 cores, 8 devices, 4 file systems, every 60 s, after the day is closed",
        ("what", "MB", "against SUPReMM (8.7 MB)", "goal"),
    )
    report.add(
        "Parquet, all tables",
        day["lake_bytes"] / 1e6,
        f"{SUPREMM_MB * 1e6 / day['lake_bytes']:.1f} × smaller",
        f"≤ {GOAL_MB} MB",
    )
    report.add("of it mpstat", day["mpstat_bytes"] / 1e6, "", "")
    report.add("spool (kept 72 h)", day["spool_bytes"] / 1e6, "", "")
    report.add("SQLite rollups", day["database_bytes"] / 1e6, "", "")
    return report


def _scaling() -> Report:
    report = Report(
        "24 hours of hosts through spool → ingest → rollups → closed day, one process",
        ("hosts", "rows", "ingest s", "rollup s", "close s", "rows/s", "peak MB", "s a host"),
        notes=[
            "Linear in hosts when the last column does not grow.",
            "Peak memory is one hour of all hosts; closing a day works in parts of a million rows.",
        ],
    )
    for hosts in (25, 50, 100):
        got = _measure(hosts, 1440)
        total = got["ingest_seconds"] + got["rollup_seconds"] + got["close_seconds"]
        report.add(
            hosts,
            f"{got['rows']:,.0f}",
            got["ingest_seconds"],
            got["rollup_seconds"],
            got["close_seconds"],
            f"{got['rows'] / total:,.0f}",
            got["peak_mb"],
            total / hosts,
        )
    return report


def _ingest(folder: Path, hosts: int, minutes: int) -> dict[str, float]:
    """Write a spool, ingest it, and return times, sizes and the peak of memory."""
    from benchmarks.synthetic import CLUSTER, write_spool
    from nomade_pipeline import clock
    from nomade_pipeline.ingest.day import publish_day
    from nomade_pipeline.ingest.rollup import roll_up_day
    from nomade_pipeline.store.home import Store
    from nomade_pipeline.tables.catalog import RAW_TABLES

    pid = os.fork()
    if pid == 0:
        # In a child, so that the writing does not count as the ingest's memory.
        write_spool(folder / "spool", hosts, DAY, minutes)
        os._exit(0)
    os.waitpid(pid, 0)
    store = Store.at(folder)
    rows = 0
    with clock.set_to(DAY + timedelta(days=1, minutes=20)):
        store.rollups.rows("SELECT 1")
        began = time.perf_counter()
        for table in RAW_TABLES:
            rows += publish_day(store, table, DAY.date()).rows
        ingested = time.perf_counter()
        roll_up_day(store, DAY.date())
        rolled = time.perf_counter()
        for table in RAW_TABLES:
            store.lake.close_day(table, CLUSTER, DAY.date())
        closed = time.perf_counter()
    return {
        "rows": rows,
        "ingest_seconds": ingested - began,
        "rollup_seconds": rolled - ingested,
        "close_seconds": closed - rolled,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "lake_bytes": _size(folder / "lake"),
        "mpstat_bytes": _size(folder / "lake" / "raw" / "mpstat"),
        "spool_bytes": _size(folder / "spool"),
        "database_bytes": _size(folder / "nomade.db"),
    }


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    print(json.dumps(_ingest(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

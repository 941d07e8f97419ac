"""What a simulated history costs: jobs a second, host-minutes a second, bytes on the disk.

``python -m benchmarks workload``: CPU seconds of one process; the lake's compression and reading back included.
"""

from __future__ import annotations

import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Report
from nomade_pipeline.store.home import Store
from nomade_pipeline.workload.fates import Draws, chances
from nomade_pipeline.workload.history import history_of
from nomade_pipeline.workload.scenario import Scenario
from nomade_pipeline.workload.write import write_history

END = datetime(2026, 3, 5, tzinfo=UTC)
# Jobs, hosts, days.
HISTORIES = ((2_000, 8, 7), (20_000, 40, 7), (100_000, 100, 30))
WRITTEN = ((600, 8, 1), (10_000, 100, 1))


def run() -> list[Report]:
    """Measure scheduling alone, then a day with all its rows."""
    return [_histories(), _rows()]


def _scenario(jobs: int, hosts: int, days: int) -> Scenario:
    return Scenario.ending(END, days, cluster="sim-bench", jobs=jobs, hosts=hosts, seed=1)


def _histories() -> Report:
    columns = ("jobs", "hosts", "days", "history, CPU-s", "jobs/s", "true chances, CPU-s")
    report = Report("Simulated histories: users, jobs, outcomes, scheduling with backfill", columns)
    for size in HISTORIES:
        scenario = _scenario(*size)
        began = time.process_time()
        history = history_of(scenario)
        seconds = time.process_time() - began
        began = time.process_time()
        chances(history.jobs, Draws.one_each(scenario, size[0]))
        report.add(*size, seconds, f"{size[0] / seconds:,.0f}", time.process_time() - began)
    return report


def _rows() -> Report:
    columns = ("jobs", "hosts", "rows", "CPU-s", "host-minutes/s", "rows/s", "lake, MB", "bytes/row", "peak memory, MB")
    report = Report("One simulated day with all its rows, into the lake", columns)
    for size in WRITTEN:
        history = history_of(_scenario(*size))
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            rows = write_history(Store.at(folder), history, lambda _what, _share: None).rows.total()
            seconds = time.process_time() - began
            stored = sum(file.stat().st_size for file in Path(folder, "lake").rglob("*.parquet"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        minutes = size[1] * size[2] * 1440
        report.add(
            size[0], size[1], f"{rows:,}", seconds, f"{minutes / seconds:,.0f}", f"{rows / seconds:,.0f}", stored / 1e6,
            stored / rows, f"{peak:,.0f}",
        )  # fmt: skip
    report.notes.append("Peak memory is the process's, so a larger row covers the smaller ones before it.")
    return report

"""What a back-test of a month costs: 200 file systems, a sample a minute."""

from __future__ import annotations

import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.disk_days import publish_disk_rows
from benchmarks.report import Report
from nomade_pipeline.alerts.backtest import backtest
from nomade_pipeline.alerts.shipped import shipped_rules
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import DISK

if TYPE_CHECKING:
    from nomade_pipeline.store.lake import Lake

END, DAYS, BEFORE = datetime(2026, 4, 10, tzinfo=UTC), 30, 8
FILE_SYSTEMS, GB = 200, 10**9


def run() -> list[Report]:
    """Back-test each shipped rule on file systems over a month."""
    folder = Path(tempfile.mkdtemp(prefix="nomade-backtest-"))
    try:
        lake = Store.at(folder).lake
        for day in range(DAYS + BEFORE):
            _publish(lake, day)
        return [_report(lake)]
    finally:
        shutil.rmtree(folder)


def _report(lake: Lake) -> Report:
    report = Report(f"Back-test of {DAYS} days of {FILE_SYSTEMS} file systems, a sample a minute",
                    ("rule", "episodes", "seconds", "CPU seconds"))  # fmt: skip
    rules = shipped_rules(Config())
    for rule in rules:
        if rule.table != DISK.name:
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        found = backtest(lake, Config(), rules, rule, END - timedelta(days=DAYS), END)
        seconds = time.perf_counter() - wall, time.process_time() - cpu
        report.add(rule.name, len(found.episodes), *(f"{each:.1f}" for each in seconds))
    return report


def _publish(lake: Lake, day: int) -> None:
    """Write a day: each file system goes up and down by a wave of its own, and one of ten fills."""
    import polars as pl

    begin = END - timedelta(days=DAYS + BEFORE - day)
    minutes = np.arange(1440)
    rng = np.random.default_rng(day)
    numbers = np.arange(FILE_SYSTEMS)
    past = day + minutes / 1440
    used = 400 + 10 * np.sin(2 * np.pi * past[None, :] + numbers[:, None]) + rng.standard_normal((FILE_SYSTEMS, 1440))
    used += np.where(numbers % 10 == 0, 1.0, 0.0)[:, None] * 12 * past[None, :]
    times = [begin + timedelta(minutes=int(minute)) for minute in minutes]
    rows = pl.DataFrame(
        {
            "filesystem_id": np.repeat([f"n{number}:/d" for number in numbers], 1440),
            "host": np.repeat([f"n{number}" for number in numbers], 1440),
            "sample_time": times * FILE_SYSTEMS,
            "used_bytes": used.ravel() * GB,
            "available_bytes": (1000 - used.ravel()) * GB,
            "used_percent": used.ravel() / 10,
        }
    ).with_columns(path=pl.lit("/d"), interval_seconds=60.0)
    publish_disk_rows(lake, rows)

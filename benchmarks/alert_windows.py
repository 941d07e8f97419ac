"""Which window the rules on filling file systems need: false alarms and lead, by the back-test over simulated weeks."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.disk_days import publish_disk_rows
from benchmarks.report import Report
from nomade_pipeline.alerts.backtest import Episode, backtest
from nomade_pipeline.alerts.policy import DAY
from nomade_pipeline.alerts.shipped import shipped_rules
from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.home import Store

if TYPE_CHECKING:
    from nomade_pipeline.store.lake import Lake

START, DAYS, LOOKED_AT = datetime(2026, 3, 2, tzinfo=UTC), 14, 7
MINUTES = 5
GB = 10**9
RULES = ("disk-forecast", "disk-acceleration")
WINDOWS = (1, 3, 7)
# Those that become full; an alert on any other is false.
FILLING = ("line", "quadratic", "exponential")


def run() -> list[Report]:
    """Back-test a week on a second week of each shape, after one in which nobody looked."""
    folder = Path(tempfile.mkdtemp(prefix="nomade-windows-"))
    try:
        lake = Store.at(folder).lake
        shapes = _shapes()
        _publish(lake, shapes)
        return [_report(lake, rule, list(shapes)) for rule in RULES]
    finally:
        shutil.rmtree(folder)


def _report(lake: Lake, name: str, shapes: list[str]) -> Report:
    columns = [f"{days} d" for days in WINDOWS]
    report = Report(f"`{name}` by window: alerts in a week, and days before the file system was 85 % full",
                    ("file system of 1 TB", "is full", *columns))  # fmt: skip
    found = {days: _told(lake, name, days) for days in WINDOWS}
    for shape in shapes:
        cells = (_cell([each for each in found[days] if each.subject == f"n1:/{shape}"]) for days in WINDOWS)
        report.add(shape, "yes" if shape in FILLING else "no", *cells)
    report.notes.append(
        "In brackets how long before 85 % were passed. The second of two weeks is back-tested. A file system that is "
        "cleaned each night looks like one that fills until it is cleaned."
    )
    return report


def _told(lake: Lake, name: str, days: int) -> tuple[Episode, ...]:
    rules = {rule.name: rule for rule in shipped_rules(Config())}
    rule = replace(rules[name], window_seconds=days * DAY)
    begin, end = START + timedelta(days=LOOKED_AT), START + timedelta(days=DAYS)
    return backtest(lake, Config(), [*rules.values()], rule, begin, end).episodes


def _cell(episodes: list[Episode]) -> str:
    leads = [each.lead_seconds / DAY for each in episodes if each.lead_seconds is not None]
    return f"{len(episodes)}" + (f" ({max(leads):.1f} d)" if leads else "")


def _shapes() -> dict[str, Floats]:
    """Return the used space in GB of each file system, a value each five minutes."""
    rng = np.random.default_rng(0)
    days = np.arange(0, DAYS, MINUTES / 1440)
    noise = 0.1 * rng.standard_normal((12, len(days)))
    workday = np.where(days % 7 < 5, 1.0, -0.3) * np.clip(np.sin(2 * np.pi * days), 0, 1)
    jobs = sum(
        size * ((days >= begin) & (days < begin + length))
        for begin, length, size in zip(
            rng.uniform(0, DAYS, 60), rng.exponential(0.7, 60), rng.uniform(5, 40, 60), strict=True
        )
    )
    shapes = {
        "flat": 500 + 0 * days,
        "daily wave of ± 5 GB": 500 + 5 * np.sin(2 * np.pi * days),
        "daily wave of ± 50 GB": 500 + 50 * np.sin(2 * np.pi * days),
        "working days, 20 GB": 500 + 20 * workday,
        "working days, 100 GB": 500 + 100 * workday,
        "jobs that come and go": 500 + jobs,
        "random walk": 500 + np.cumsum(0.3 * rng.standard_normal(len(days))),
        "cleaned each night, 100 GB": 400 + 100 * (days % 1),
        "line": 300 + 55 * days,
        "quadratic": 300 + 4.5 * days**2,
        "exponential": 300 + 5 * np.exp(days / 2.7),
    }
    return {name: np.clip(used + each, 0, 999) for (name, used), each in zip(shapes.items(), noise, strict=False)}


def _publish(lake: Lake, shapes: dict[str, Floats]) -> None:
    import polars as pl

    for name, used in shapes.items():
        times = [START + timedelta(minutes=MINUTES * number) for number in range(len(used))]
        rows = pl.DataFrame({"sample_time": times, "used_percent": used / 10}).with_columns(
            host=pl.lit("n1"),
            path=pl.lit(f"/{name}"),
            filesystem_id=pl.lit(f"n1:/{name}"),
            interval_seconds=60.0 * MINUTES,
            used_bytes=pl.Series(used * GB),
            available_bytes=pl.Series((1000 - used) * GB),
        )
        publish_disk_rows(lake, rows)

"""What a person reads of a trend: only what is significant, both dates, and what is not known."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from support.installation import nomade
from support.rows import T0, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.cli.trend_screen import GIGABYTES, limit_text, trend_lines
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.status.trends import trend_of
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.slurm_queue import SLURM_QUEUE

DAYS = [-7 + hour / 24 for hour in range(169)]


def trend(*coefficients: float, limit: float | None = 1000e9) -> dict[str, Any]:
    """Return the trend of a polynomial in GB and days at its newest hour."""
    values = [sum(each * day**power for power, each in enumerate(coefficients)) * 1e9 for day in DAYS]
    found = trend_of([T0 + timedelta(days=day) for day in DAYS], values, 7 * 86400, limit, "clean-up in progress")
    assert found is not None
    return found


def test_where_growth_accelerates_both_dates_are_shown() -> None:
    text = limit_text(trend(600, 20, 2))
    assert "in 10.0 days" in text
    assert "at this acceleration; in 20.0 days at the present rate" in text


def test_growth_that_slows_down_before_the_limit_is_not_full_but_would_be_at_the_present_rate() -> None:
    assert limit_text(trend(600, 4, -1)) == "not within a year; in 100.0 days at the present rate"


def test_a_disk_that_is_cleaned_up_is_told_with_its_word() -> None:
    lines = [click.unstyle(line) for line in trend_lines(trend(600, -4), GIGABYTES, "Full")]
    assert "declining (clean-up in progress): -4.00 ± 0.00 GB/day" in lines[0]
    assert any("not within a year" in line for line in lines)


def test_a_line_has_no_acceleration_and_what_has_no_limit_no_date() -> None:
    lines = trend_lines(trend(600, 4, limit=None), GIGABYTES, "Full")
    assert not any("Acceleration" in line or "Full" in line for line in lines)
    assert any("In 7 days    628.00 GB" in line for line in lines)


@pytest.mark.parametrize("count", [0, 3])
def test_of_too_few_readings_nothing_is_said(count: int) -> None:
    times = [T0 + timedelta(hours=hour) for hour in range(count)]
    found = trend_of(times, [1.0] * count, 86400, 10.0, "")
    assert "too few readings" in trend_lines(found, GIGABYTES, "Full")[0]


def test_the_queue_tells_how_its_waiting_jobs_move(tmp_path: Path) -> None:
    for hour in range(12):
        row = data_of(SLURM_QUEUE, partition="gpu", pending_jobs=500 - 10 * hour)
        spool(tmp_path / "spool", reading_of(SLURM_QUEUE, T0 - timedelta(hours=11 - hour), row, interval=3600.0))
    store = Store.at(tmp_path)
    with clock.set_to(T0 + timedelta(minutes=1)):
        for day in (T0.date() - timedelta(days=1), T0.date()):
            publish_day(store, SLURM_QUEUE, day)
            roll_up_day(store, day)
        screen = nomade("queue", "--trend", root=tmp_path).stdout
        (row,) = nomade("queue", "--trend", "--json", root=tmp_path).json
        nothing = nomade("queue", "--trend", "--partition", "cpu", root=tmp_path)
    assert "declining (draining normally): -240.0 ± 0.0 jobs/day" in screen
    assert row["rate_per_day"] == pytest.approx(-240)
    assert nothing.status == 3

"""Rows that break their contract are told apart, each with its first reason."""

from __future__ import annotations

import dataclasses
import math
from datetime import timedelta

import pytest
from support.rows import T0, frame_of, row_of

from nomade_pipeline.quality.contract import check
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.system import DISK, IOSTAT_CPU


@pytest.mark.parametrize("table", RAW_TABLES, ids=lambda table: table.name)
def test_a_valid_row_of_every_table_passes(table):
    checked = check(frame_of(table, [row_of(table)]), table, T0)
    assert checked.reasons() == {}
    assert checked.good.height == 1


@pytest.mark.parametrize("table", RAW_TABLES, ids=lambda table: table.name)
def test_a_row_passes_with_null_wherever_its_contract_allows_it(table):
    empty = {column.name: None for column in table.columns if column.nullable}
    assert check(frame_of(table, [row_of(table, **empty)]), table, T0).reasons() == {}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"path": None}, "path is missing"),
        ({"interval_seconds": -1.0}, "interval_seconds is below 0"),
        ({"used_percent": 100.01}, "used_percent is above 100"),
        ({"used_percent": -0.01}, "used_percent is below 0"),
        ({"used_percent": math.nan}, "used_percent is not finite"),
        ({"statfs_seconds": math.inf}, "statfs_seconds is not finite"),
        ({"statfs_seconds": 1e39}, "statfs_seconds is not finite"),
        ({"status": "mended"}, "status is none of ok, absent, hung, automount, denied, error"),
        ({"source": ""}, "source is none of"),
        ({"sample_time": T0 + timedelta(minutes=5, milliseconds=1)}, "sample_time is in the future"),
        ({"path": None, "used_percent": 200.0}, "path is missing"),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused_with_the_reason(values, reason):
    checked = check(frame_of(DISK, [row_of(DISK, path="/good"), row_of(DISK, **values)]), DISK, T0)
    assert checked.good["path"].to_list() == ["/good"]
    (found,) = checked.reasons()
    assert found.startswith(reason)


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_a_range_includes_its_ends(percent):
    assert check(frame_of(DISK, [row_of(DISK, used_percent=percent)]), DISK, T0).good.height == 1


def test_a_clock_that_is_a_little_ahead_is_believed():
    row = row_of(IOSTAT_CPU, sample_time=T0 + timedelta(minutes=5))
    assert check(frame_of(IOSTAT_CPU, [row]), IOSTAT_CPU, T0).good.height == 1


def test_nothing_is_lost_between_good_and_bad():
    rows = [row_of(DISK, path=str(number), used_percent=float(number)) for number in range(0, 200, 7)]
    checked = check(frame_of(DISK, rows), DISK, T0)
    assert checked.good.height + checked.bad.height == len(rows)
    assert checked.reasons() == {"used_percent is above 100": checked.bad.height}


def test_extra_columns_are_passed_through_and_an_empty_frame_is_fine():
    import polars as pl

    frame = frame_of(DISK, [row_of(DISK)]).with_columns(pl.lit(3).alias("_file"))
    assert check(frame, DISK, T0).good["_file"].to_list() == [3]
    assert check(frame[:0], DISK, T0).good.height == 0


def test_a_table_without_any_rule_passes_everything_but_the_future():
    free = dataclasses.replace(
        IOSTAT_CPU,
        columns=tuple(
            dataclasses.replace(
                c, minimum=None, maximum=None, allowed=(), null=None if c.name in IOSTAT_CPU.key else "free"
            )
            for c in IOSTAT_CPU.columns
        ),
    )
    assert check(frame_of(free, [row_of(free, user_percent=-5.0, source="new")]), free, T0).good.height == 1

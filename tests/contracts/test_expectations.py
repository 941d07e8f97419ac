"""The Great Expectations suites say what the contracts say; one table stands for all, the import is slow."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import polars as pl
import pytest
from support.needs import REPOSITORY
from support.rows import at, frame_of, row_of

from nomade_pipeline.quality.expectations import SuiteResult, suite_for, validate
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.system import DISK

GOOD = [row_of(DISK, path=path, sample_time=at(minute)) for path in ("/", "/home") for minute in (1, 2)]


def judge(*rows: dict) -> SuiteResult:
    return validate(DISK, frame_of(DISK, [*GOOD, *rows]))


def test_good_rows_pass_every_expectation():
    result = judge()
    assert result.success
    assert result.failed == ()
    assert result.evaluated == len(suite_for(DISK).expectations) > 20


def test_null_passes_wherever_the_contract_allows_it():
    assert judge(row_of(DISK, **{column.name: None for column in DISK.columns if column.nullable})).success


def test_an_empty_partition_passes():
    assert validate(DISK, frame_of(DISK, [])).success


@pytest.mark.parametrize(
    ("row", "expectation", "detail"),
    [
        ({"path": None}, "expect_column_values_to_not_be_null(path)", "1 of 5"),
        ({"used_percent": 100.5}, "expect_column_values_to_be_between(used_percent)", "1 of 5: 100.5"),
        ({"total_bytes": -1}, "expect_column_values_to_be_between(total_bytes)", "1 of 5: -1"),
        ({"status": "mended"}, "expect_column_values_to_be_in_set(status)", "1 of 5: mended"),
        (
            {"path": "/", "sample_time": at(1)},
            "expect_compound_columns_to_be_unique(cluster, host, path, sample_time)",
            "2 of 5: ",
        ),
    ],
)
def test_a_broken_contract_is_named_with_what_was_found(row, expectation, detail):
    result = judge(row_of(DISK, **row))
    assert not result.success
    ((found, found_detail),) = result.failed
    assert found == expectation
    assert found_detail.startswith(detail)


def test_several_faults_are_all_reported():
    assert len(judge(row_of(DISK, status="mended", used_percent=-1.0)).failed) == 2


@pytest.mark.parametrize(
    ("frame", "detail"),
    [
        (frame_of(DISK, GOOD).drop("message"), "'missing': ['message']"),
        (frame_of(DISK, GOOD).with_columns(pl.lit(1).alias("invented")), "'unexpected': ['invented']"),
    ],
    ids=["missing", "unexpected"],
)
def test_another_set_of_columns_fails(frame, detail):
    result = validate(DISK, frame)
    assert not result.success
    assert dict(result.failed)["expect_table_columns_to_match_set()"].count(detail) == 1


def test_every_table_has_a_suite_with_its_key_and_its_columns():
    for table in RAW_TABLES:
        kinds = [type(expectation).__name__ for expectation in suite_for(table).expectations]
        assert kinds[:2] == ["ExpectTableColumnsToMatchSet", "ExpectCompoundColumnsToBeUnique"]
        assert kinds.count("ExpectColumnValuesToNotBeNull") == sum(not column.nullable for column in table.columns)
        assert kinds.count("ExpectColumnValuesToBeInSet") == sum(bool(column.allowed) for column in table.columns)


def test_a_rule_that_is_taken_out_of_the_contract_leaves_the_suite():
    free = dataclasses.replace(
        DISK, columns=tuple(dataclasses.replace(column, minimum=None, maximum=None) for column in DISK.columns)
    )
    assert validate(free, frame_of(DISK, [row_of(DISK, used_percent=500.0)])).success


def test_nothing_is_written_to_the_terminal_and_no_analytics_are_sent():
    code = (
        "import os, sys; sys.path.insert(0, 'tests')\n"
        "from support.rows import frame_of, row_of\n"
        "from nomade_pipeline.quality.expectations import validate\n"
        "from nomade_pipeline.tables.system import DISK\n"
        "assert validate(DISK, frame_of(DISK, [row_of(DISK)])).success\n"
        "assert not validate(DISK, frame_of(DISK, [row_of(DISK, status='x')])).success\n"
        "assert os.environ['GX_ANALYTICS_ENABLED'] == 'false'\n"
        "assert 'posthog' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

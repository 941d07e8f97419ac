"""Every table contract keeps the house rules, and every schema made from it agrees with the others."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Callable

import polars as pl
import pytest
from support.needs import REPOSITORY
from support.rows import frame_of, row_of

from nomade_pipeline.quality import dictionary
from nomade_pipeline.store.database import create_table_statement
from nomade_pipeline.store.parquet import content_hash, read_parquet, write_parquet
from nomade_pipeline.store.schema import arrow_schema, conform, polars_schema
from nomade_pipeline.tables.catalog import LAKE_TABLES, RAW_TABLES, lake_table_named, raw_table_named
from nomade_pipeline.tables.contract import COMMON, RECEIVED_TIME, Column, Table
from nomade_pipeline.tables.features import QUANTITY
from nomade_pipeline.tables.rollups import ROLLUP_TABLES

TABLES = (*LAKE_TABLES, *ROLLUP_TABLES)
NUMBERS = ("int32", "int64", "float32", "float64")
SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

# The suffix of a quantity's name says its unit; the longest suffix that fits counts.
UNITS = {
    "_per_second": None,
    "_bytes_per_second": "bytes/s",
    "_bytes_per_operation": "bytes",
    "_bytes": "bytes",
    "_seconds": "seconds",
    "_percent": "percent",
    "_ratio": "ratio",
    "_watts": "watts",
    "_celsius": "celsius",
    "_hertz": "hertz",
    "_time": "UTC",
}

tables = pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.layer}-{table.name}")
raw_tables = pytest.mark.parametrize("table", RAW_TABLES, ids=lambda table: table.name)


def wanted_unit(name: str) -> str | None:
    found = [suffix for suffix in UNITS if name.endswith(suffix) or name == suffix[1:]]
    if not found:
        return None
    unit = UNITS[max(found, key=len)]
    return "1/s" if unit is None else unit


def broken(table: Table, rule: Callable[[Column], bool]) -> list[str]:
    """Return the names of the columns that do not keep a rule."""
    return [column.name for column in table.columns if not rule(column)]


@tables
def test_a_column_is_named_in_snake_case_and_described_in_a_sentence(table: Table):
    assert not broken(table, lambda column: SNAKE.fullmatch(column.name) is not None)
    assert not broken(table, lambda column: column.description.endswith("."))


@tables
def test_the_unit_is_the_one_that_the_name_says(table: Table):
    assert not broken(table, lambda column: column.name in QUANTITY or wanted_unit(column.name) in (None, column.unit))


@tables
def test_a_column_in_a_base_unit_says_so_in_its_name(table: Table):
    base = {"bytes", "seconds", "percent", "watts", "celsius", "hertz", "ratio", "bytes/s"}
    assert not broken(
        table, lambda column: column.name in QUANTITY or column.unit not in base or wanted_unit(column.name)
    )


@tables
def test_a_number_has_a_unit_and_a_text_has_none(table: Table):
    names_or_mixed = {"series_id", "sum", "integral", "min", "max", "last", "cpu", "gpu_index"}
    assert not broken(table, lambda column: column.type not in ("text", "bool", "date") or not column.unit)
    assert not broken(table, lambda column: column.type not in NUMBERS or column.unit or column.name in names_or_mixed)


@tables
def test_ranges_closed_sets_and_decimals_fit_the_type(table: Table):
    assert not broken(table, lambda column: not column.allowed or column.type == "text")
    assert not broken(table, lambda column: len(set(column.allowed)) == len(column.allowed))
    assert not broken(table, lambda column: (column.minimum, column.maximum) == (None, None) or column.type in NUMBERS)
    assert not broken(table, lambda column: None in (column.minimum, column.maximum) or column.minimum < column.maximum)
    assert not broken(table, lambda column: column.decimals is None or column.type in ("float32", "float64"))
    assert not broken(table, lambda column: column.unit != "percent" or column.minimum == 0)


@tables
def test_what_null_means_is_said_or_null_is_forbidden(table: Table):
    assert not broken(table, lambda column: column.null != "")
    assert not broken(table, lambda column: column.name not in table.key or not column.nullable)


@tables
def test_a_table_is_named_and_described_and_its_key_is_of_its_columns(table: Table):
    assert SNAKE.fullmatch(table.name)
    assert table.description.endswith(".")
    assert table.key
    assert set(table.key) <= set(table.column_names)
    assert len(set(table.key)) == len(table.key)
    assert table.version >= 1


def test_names_of_tables_are_unique_within_their_layer():
    for found in (LAKE_TABLES, ROLLUP_TABLES):
        assert len({table.name for table in found}) == len(found)


@raw_tables
def test_a_raw_table_has_the_common_columns_and_the_key_that_sorts_it(table: Table):
    assert table.columns[: len(COMMON)] == COMMON
    assert table.columns[-1] == RECEIVED_TIME
    place = ("cluster",) if table.own_time else ("cluster", "host")
    moment = () if table.own_time else ("sample_time",)
    assert table.key == (*place, *table.subject, *moment)
    assert table.collector


@raw_tables
def test_the_own_time_of_a_record_is_never_null_and_a_record_is_not_rolled_up_as_a_sample(table: Table):
    if table.own_time:
        assert table.column(table.own_time).type == "time"
        assert not table.column(table.own_time).nullable
        assert not table.measures


@raw_tables
def test_only_numbers_are_rolled_up_and_their_series_have_names(table: Table):
    assert all(column.type in ("int32", "int64", "float32", "float64") for column in table.measures)
    assert all(table.column(name).type in ("text", "int32", "int64") for name in table.rollup_by)
    # Readings of one series never share a moment, or they would be counted twice.
    assert (
        not table.measures or {"host", *table.subject} <= set(table.rollup_by) or table.rollup_by == ("filesystem_id",)
    )


@raw_tables
def test_a_raw_table_is_found_by_its_name(table: Table):
    assert raw_table_named(table.name) is table


@tables
def test_a_table_of_the_lake_is_found_by_its_name(table: Table):
    if table in LAKE_TABLES:
        assert lake_table_named(table.name) is table


def test_an_unknown_raw_table_is_an_error_that_lists_the_known_ones():
    with pytest.raises(KeyError, match="no raw table 'nonsense'; there are disk, iostat"):
        raw_table_named("nonsense")


@tables
def test_polars_arrow_and_sql_schemas_agree(table: Table):
    from_polars = pl.DataFrame(schema=polars_schema(table)).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    from_contract = arrow_schema(table)
    assert from_polars.names == from_contract.names == list(table.column_names)
    for ours, theirs in zip(from_contract, from_polars, strict=True):
        assert str(ours.type) == str(theirs.type).removeprefix("large_")
    sql = re.findall(r'^    "(\w+)" (\w+)( NOT NULL)?,?$', create_table_statement(table), re.MULTILINE)
    assert [name for name, _, _ in sql] == list(table.column_names)
    classes = {"TEXT": {"text", "time", "date"}, "INTEGER": {"bool", "int32", "int64"}, "REAL": {"float32", "float64"}}
    for (name, kind, not_null), column in zip(sql, table.columns, strict=True):
        assert column.type in classes[kind], name
        assert bool(not_null) != column.nullable
        assert from_contract.field(name).nullable == column.nullable


@raw_tables
def test_a_row_comes_back_from_parquet_as_it_was(table: Table, tmp_path):
    empty = {column.name: None for column in table.columns if column.nullable}
    frame = frame_of(table, [row_of(table, host="a"), row_of(table, host="b", **empty)])
    write_parquet(table, frame, tmp_path / "file")
    found = conform(read_parquet((tmp_path / "file").read_bytes()), table)
    assert found.equals(frame)
    assert found.schema == frame.schema
    assert content_hash(found) == content_hash(frame)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"columns": (Column("a", "text", "A."), Column("a", "text", "A."))}, "declared twice"),
        ({"columns": (Column("a", "varchar", "A."),)}, "unknown type varchar"),
        ({"columns": (Column("a", "text", "A.", null="unknown"),)}, "a key is never null"),
        ({"layer": "raw", "key": ("b",)}, "b is not a column"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        Table(
            **{
                "name": "t",
                "layer": "rollup",
                "description": "T.",
                "columns": (Column("a", "text", "A."),),
                "key": ("a",),
                **changes,
            }
        )


def test_the_data_dictionary_is_up_to_date():
    found = (REPOSITORY / dictionary.PATH).read_text(encoding="utf-8")
    assert found == dictionary.render(), f"run: python -m nomade_pipeline.quality.dictionary > {dictionary.PATH}"


def test_the_data_dictionary_is_what_its_command_prints():
    done = subprocess.run(
        [sys.executable, "-m", "nomade_pipeline.quality.dictionary"], capture_output=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.decode() == dictionary.render()
    assert done.stderr == b""


@tables
def test_the_data_dictionary_explains_every_table_and_column(table: Table):
    text = dictionary.render()
    anchor = f'<a id="{table.layer}-{table.name}"></a>'.replace("_", "-")
    section = text.split(anchor)[1].split("<a id=")[0]
    for column in table.columns:
        (line,) = [line for line in section.splitlines() if line.startswith(f"| `{column.name}` |")]
        assert column.description.replace("|", "\\|").replace("<", "&lt;") in line
        assert f" {column.type} " in line


def test_no_cell_of_the_data_dictionary_breaks_its_table():
    rows = [line for line in dictionary.render().splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in rows}
    assert widths == {4, 7, 8}

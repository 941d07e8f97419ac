"""SQL over everything: DuckDB views on the lake and the rollups, read-only and cut off from the outside.

Closed days are scanned lazily with filters pushed down to Parquet; open days and rollups are read into
memory. Only the tables that a query names are prepared.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.errors import NoData, SqlError
from nomade_pipeline.store.database import open_readonly
from nomade_pipeline.store.lake import DAY_FILE, Lake
from nomade_pipeline.store.schema import arrow_schema
from nomade_pipeline.store.views import VIEWS
from nomade_pipeline.tables.catalog import LAKE_TABLES
from nomade_pipeline.tables.contract import ROLLUP, Column, Table
from nomade_pipeline.tables.job_rollups import JOB_VIEWS
from nomade_pipeline.tables.rollups import DAILY, HOURLY, ROLLUP_TABLES, SERIES

if TYPE_CHECKING:
    import pyarrow

# A day that is closed during a query moves its files once; five moves in a row are something else.
ATTEMPTS = 5

_LAKE = {table.name: table for table in LAKE_TABLES}


def _view_contract(name: str, description: str, time: Column, source: Table) -> Table:
    """Describe a view of the database as a contract, so that it gets types like a table."""
    named = tuple(SERIES.column(column) for column in ("cluster", "table_name", "host", "subject", "metric"))
    rest = tuple(column for column in source.columns if column.name not in ("series_id", time.name))
    mean = Column("mean", "float64", "Time-weighted mean, or the plain one where no time is covered.")
    place = [column.name for column in rest].index("integral") + 1
    return Table(name, ROLLUP, description, (*named, time, *rest[:place], mean, *rest[place:]), key=())


# The lake's collection_log goes further back than the database's; there is one table of that name.
_ROLLUPS: dict[str, Table] = {
    **{table.name: table for table in ROLLUP_TABLES if table.name not in _LAKE},
    "hourly": _view_contract("hourly", "Hourly rollups with names and means.", HOURLY.column("hour"), HOURLY),
    "daily": _view_contract("daily", "Daily rollups with names and means.", DAILY.column("date"), DAILY),
    **{view.name: view for view in JOB_VIEWS},
}
assert set(VIEWS) <= set(_ROLLUPS)

CATALOG: Mapping[str, Table] = {**_LAKE, **_ROLLUPS}


def run(paths: DataPaths, query: str) -> pyarrow.Table:
    """Run one reading SQL statement and return its result.

    Args:
        paths: the data folder.
        query: a SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE, VALUES or EXPLAIN statement of DuckDB.

    Raises:
        SqlError: the statement is wrong, or does more than read.
        NoData: there is neither lake nor database yet.
        LakeError, DatabaseError: they cannot be read.
    """
    import duckdb

    _require_reading(query)
    if not paths.lake.exists() and not paths.database.exists():
        raise NoData(
            f"there are no tables below {paths.root} yet", "`nomade collect --once`, then `nomade ingest` fill them"
        )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _run_once(paths, query)
        except duckdb.Error as error:
            if attempt < ATTEMPTS and _files_moved(error):
                continue
            raise SqlError(_worded(error)) from error
        except (FileNotFoundError, OSError) as error:
            if attempt == ATTEMPTS:
                raise SqlError(f"a file of the lake cannot be read: {error}") from error
    raise AssertionError("every attempt returns or raises")


def _run_once(paths: DataPaths, query: str) -> pyarrow.Table:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in CATALOG.items():
            # A table that the query does not name is known to SHOW TABLES and DESCRIBE, and empty.
            source = _source(paths, name, table) if mentions(query, name) else arrow_schema(table).empty_table()
            connection.register(name, source)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection.sql(query).to_arrow_table()


def mentions(query: str, name: str) -> bool:
    """Whether a name stands in a query as a word; a column of the same name costs a needless load, no more."""
    return re.search(rf"\b{re.escape(name)}\b", query, re.IGNORECASE) is not None


def _require_reading(query: str) -> None:
    """Refuse anything but one reading statement.

    Raises:
        SqlError: it is several, none, wrong, or does more than read.
    """
    import duckdb

    with duckdb.connect(":memory:") as connection:
        try:
            statements = connection.extract_statements(query)
        except duckdb.Error as error:
            raise SqlError(_worded(error)) from error
    if len(statements) != 1:
        raise SqlError(f"one statement is expected, {len(statements)} were given")
    kind = statements[0].type
    if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise SqlError(f"{kind.name} is not allowed: `nomade sql` only reads; use SELECT, DESCRIBE, SHOW or EXPLAIN")


def _source(paths: DataPaths, name: str, table: Table) -> Any:
    """Return what a view shows: rows, or a dataset that is scanned when the query runs."""
    if table.layer == ROLLUP:
        return rollup_rows(paths.database, name, table)
    return _lake_rows(Lake(paths.lake), table)


def _lake_rows(lake: Lake, table: Table) -> Any:
    """Return a table of the lake as one dataset: closed days as files, open ones as rows in memory."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    schema = arrow_schema(table)
    closed: list[str] = []
    opened = [schema.empty_table()]
    for cluster in lake.clusters(table):
        for day in lake.days(table, cluster):
            if lake.is_closed(table, cluster, day):
                closed.append(str(lake.partition(table, cluster, day) / DAY_FILE))
            else:
                rows = lake.read_day(table, cluster, day).to_arrow()
                columns = [column.cast(field.type) for column, field in zip(rows.columns, schema, strict=True)]
                opened.append(pa.Table.from_arrays(columns, schema=schema))
    in_memory = ds.dataset(pa.concat_tables(opened))
    if not closed:
        return in_memory
    # The schema is the contract's: columns that older files lack are null, and narrower ones are widened.
    files = ds.dataset(closed, schema=schema, format="parquet")
    return ds.dataset([files, in_memory], schema=schema)


def rollup_rows(database: Path, name: str, table: Table) -> pyarrow.Table:
    """Return a table or view of the rollup database with the types of its contract.

    Raises:
        DatabaseError: the database cannot be read.
        SqlError: it is of an older version.
    """
    import pyarrow as pa

    schema = arrow_schema(table)
    if not database.exists():
        return schema.empty_table()
    names = ", ".join(f'"{column}"' for column in table.column_names)
    with closing(open_readonly(database)) as connection:
        connection.row_factory = None
        try:
            rows = connection.execute(f'SELECT {names} FROM "{name}"').fetchall()
        except sqlite3.Error as error:
            raise SqlError(f"{database}: {error}; `nomade migrate` brings it to this version") from error
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [_array(values, field, pa) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Any, field: Any, pa: Any) -> Any:
    """Turn a column as SQLite holds it into the contract's type; times are stored as ISO text."""
    if pa.types.is_timestamp(field.type):
        stripped = [None if value is None else value.rstrip("Z") for value in values]
        return pa.array(stripped, pa.string()).cast(pa.timestamp("ms")).cast(field.type)
    if pa.types.is_date(field.type):
        return pa.array(values, pa.string()).cast(field.type)
    if pa.types.is_boolean(field.type):
        return pa.array([None if value is None else bool(value) for value in values], field.type)
    return pa.array(values, field.type)


def _files_moved(error: Exception) -> bool:
    """Whether a query met a day that was closed or removed under it."""
    return "No such file" in str(error) or "FileNotFoundError" in str(error)


def _worded(error: Exception) -> str:
    """Return DuckDB's message without its advice on tables that are none of ours."""
    lines = [line for line in str(error).splitlines() if line.strip() and not re.search(r'Did you mean "pg_', line)]
    text = "\n".join(lines)
    if "does not exist" in text and "Table with name" in text:
        text += f"\nthere are {', '.join(sorted(CATALOG))}; `nomade tables` tells more"
    return text

"""What the tables hold: rows, days, newest data, from the books of the ingest."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from typing import Any, Mapping

from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.store.database import open_readonly
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.contract import COMPUTED_LAYERS, RAW, ROLLUP, Table


def inventory(paths: DataPaths, catalog: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Return a row for each table: rows, UTC days, newest moment and clusters; null without a database.

    Raises:
        DatabaseError: there is a database and it cannot be read.
    """
    if not paths.database.exists():
        return [_entry(table, name) for name, table in catalog.items()]
    with closing(open_readonly(paths.database)) as connection:
        books = _books(connection)
        lake = Lake(paths.lake)
        count = {RAW: partial(_raw, books), ROLLUP: partial(_rollup, connection)}
        count.update(dict.fromkeys(COMPUTED_LAYERS, partial(_computed, lake)))
        return [count[table.layer](table, name) for name, table in catalog.items()]


def _entry(table: Table, name: str, **known: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"rows": None, "days": None, "newest": None, "clusters": []}
    return {"table": name, "layer": table.layer, **empty, **known, "description": table.description}


def _books(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """Return what the lake holds of each raw table; none in a database of no version."""
    try:
        rows = connection.execute(
            "SELECT table_name, sum(rows) AS rows, count(DISTINCT substr(hour, 1, 10)) AS days, max(hour) AS newest, "
            "group_concat(DISTINCT cluster) AS clusters FROM lake_hours WHERE rows > 0 GROUP BY table_name"
        ).fetchall()
    except sqlite3.OperationalError:
        return {}
    return {row["table_name"]: dict(row) for row in rows}


def _computed(lake: Lake, table: Table, name: str) -> dict[str, Any]:
    """Count the rows of a table that has no books, from the footers of its files."""
    found = [(cluster, day) for cluster in lake.clusters(table) for day in lake.days(table, cluster)]
    if not found:
        return _entry(table, name, rows=0, days=0)
    return _entry(
        table,
        name,
        rows=sum(lake.count(table, cluster, day) for cluster, day in found),
        days=len({day for _, day in found}),
        newest=max(day for _, day in found).isoformat(),
        clusters=sorted({cluster for cluster, _ in found}),
    )


def _raw(books: Mapping[str, dict[str, Any]], table: Table, name: str) -> dict[str, Any]:
    known = books.get(name)
    if known is None:
        return _entry(table, name, rows=0, days=0)
    return _entry(
        table,
        name,
        rows=known["rows"],
        days=known["days"],
        # Books are kept by the hour.
        newest=known["newest"][:13] + "h",
        clusters=sorted(known["clusters"].split(",")),
    )


def _rollup(connection: sqlite3.Connection, table: Table, name: str) -> dict[str, Any]:
    """Count the rows of a table or view of the database."""
    try:
        rows = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
    except sqlite3.OperationalError:
        return _entry(table, name)
    return _entry(table, name, rows=int(rows))

"""Writes to the rollup database: aggregates, latest rows, and the books of the ingest.

Every write replaces what it computes anew, so that doing it again changes nothing.
"""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable

from nomade_pipeline import clock
from nomade_pipeline.store.database import engine_for, migrate
from nomade_pipeline.tables import rollups as contracts
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars
    import sqlalchemy


class Rollups:
    """The rollup database for writing. It is created or migrated at the first use.

    Args:
        path: the SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @cached_property
    def engine(self) -> sqlalchemy.Engine:
        """The engine, on a database of the newest version."""
        migrate(self.path)
        return engine_for(self.path)

    def upsert(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        """Insert rows of a rollup contract; a row with a known key replaces the old one."""
        values = [tuple(row[name] for name in table.column_names) for row in rows]
        if values:
            with self.engine.begin() as connection:
                connection.exec_driver_sql(upsert_statement(table), values)

    def ingested_lengths(self, table_name: str, day: date) -> dict[str, int]:
        """Return the ingested length in bytes of each spool file of a table and UTC day, by path."""
        first, last = day_bounds(day)
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT path, bytes FROM ingested_files WHERE table_name = ? AND hour >= ? AND hour < ?",
                (table_name, first, last),
            )
            return {str(path): int(length) for path, length in rows}

    def booked_hours(self, table_name: str, day: date) -> dict[str, dict[datetime, int]]:
        """Return the rows of each published hour of a table and UTC day, by cluster."""
        first, last = day_bounds(day)
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT cluster, hour, rows FROM lake_hours WHERE table_name = ? AND hour >= ? AND hour < ?",
                (table_name, first, last),
            )
            booked: dict[str, dict[datetime, int]] = {}
            for cluster, hour, count in rows:
                booked.setdefault(str(cluster), {})[clock.from_text(hour)] = int(count)
            return booked

    def record_hours(self, table_name: str, cluster: str, hours: dict[datetime, tuple[str, int]]) -> None:
        """Note what the lake now holds of some hours: content hash and rows."""
        stamp = clock.to_text(clock.now())
        values = [
            (cluster, table_name, clock.to_text(hour), rows, digest, stamp) for hour, (digest, rows) in hours.items()
        ]
        if values:
            with self.engine.begin() as connection:
                connection.exec_driver_sql(_RECORD_HOUR, values)

    def hours_to_roll_up(self, day: date) -> dict[str, list[tuple[str, datetime, str]]]:
        """Return, by table, (cluster, hour, content hash) of a day whose lake content the rollups do not have yet."""
        found: dict[str, list[tuple[str, datetime, str]]] = {}
        for row in self.rows(
            "SELECT table_name, cluster, hour, content_hash FROM lake_hours WHERE hour >= ? AND hour < ? "
            "AND (rolled_up_hash IS NULL OR rolled_up_hash <> content_hash) ORDER BY table_name, cluster, hour",
            day_bounds(day),
        ):
            hour = clock.from_text(row["hour"])
            found.setdefault(row["table_name"], []).append((row["cluster"], hour, row["content_hash"]))
        return found

    def replace_hour(
        self,
        table_name: str,
        cluster: str,
        hour: datetime,
        content_hash: str,
        aggregates: polars.DataFrame,
    ) -> None:
        """Replace the hourly aggregates of an hour, add up its day, and note that it is done.

        Args:
            table_name: the raw table.
            cluster: the cluster of all rows.
            hour: the hour to replace; without aggregates it ends up empty.
            content_hash: what the books said of the hour before the lake was read.
            aggregates: as `analysis.aggregate.hourly_aggregates` returns them.
        """
        text = clock.to_text(hour)
        with self.engine.begin() as connection:
            series = _series_ids(connection, table_name, cluster, aggregates)
            connection.exec_driver_sql(_DELETE_HOUR, (text, cluster, table_name))
            values = [
                (series[row[1], row[2], row[3]], clock.to_text(row[4]), *row[5:]) for row in aggregates.iter_rows()
            ]
            if values:
                connection.exec_driver_sql(upsert_statement(contracts.HOURLY), values)
            _replace_day(connection, table_name, cluster, hour.date())
            connection.exec_driver_sql(_MARK_HOUR, (content_hash, cluster, table_name, text))

    def mark_rolled_up(self, table_name: str, cluster: str, hour: datetime, content_hash: str) -> None:
        """Note that the rollups have what the books said of an hour; see `replace_hour`."""
        self.execute(_MARK_HOUR, (content_hash, cluster, table_name, clock.to_text(hour)))

    def replace_latest(self, table: Table, rows: polars.DataFrame) -> None:
        """Keep the newest row of each thing; an older row than the stored one changes nothing.

        Args:
            table: the raw table's contract.
            rows: as `analysis.aggregate.latest_rows` returns them.
        """
        values = [
            (
                row["cluster"],
                table.name,
                row["host"],
                row["subject"],
                clock.to_text(row["sample_time"]),
                json.dumps({name: _plain(row[name]) for name in table.column_names}),
            )
            for row in rows.iter_rows(named=True)
        ]
        if values:
            with self.engine.begin() as connection:
                statement = upsert_statement(contracts.LATEST)
                connection.exec_driver_sql(f"{statement} WHERE excluded.sample_time >= latest.sample_time", values)

    def replace_collection_log(self, cluster: str, hour: datetime, rows: polars.DataFrame) -> None:
        """Replace the collector runs of an hour."""
        names = contracts.COLLECTION_LOG.column_names
        values = _plain_rows(rows, names)
        with self.engine.begin() as connection:
            connection.exec_driver_sql(
                "DELETE FROM collection_log WHERE cluster = ? AND sample_time >= ? AND sample_time < ?",
                (cluster, clock.to_text(hour), clock.to_text(hour + timedelta(hours=1))),
            )
            if values:
                connection.exec_driver_sql(upsert_statement(contracts.COLLECTION_LOG), values)

    def replace(
        self,
        table: Table,
        condition: str,
        parameters: tuple[Any, ...],
        columns: tuple[str, ...],
        rows: polars.DataFrame,
    ) -> None:
        """Delete the rows of a rollup table that meet a condition, and insert others, in one transaction.

        Args:
            table: the contract.
            condition: SQL with ``?`` for the parameters.
            parameters: its values.
            columns: columns of the table that ``rows`` has; the others become null.
            rows: what takes their place; a row whose key is known elsewhere replaces that one.
        """
        values = _plain_rows(rows, columns)
        with self.engine.begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE {condition}", parameters)
            if values:
                connection.exec_driver_sql(upsert_statement(table, columns), values)

    def run_together(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """Run writing statements with bound parameters in one transaction."""
        with self.engine.begin() as connection:
            for statement, parameters in statements:
                connection.exec_driver_sql(statement, parameters)

    def rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """Return the rows of a query with bound parameters, as dictionaries."""
        with self.engine.connect() as connection:
            result = connection.exec_driver_sql(query, parameters)
            return [dict(row) for row in result.mappings()]

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> int:
        """Run one writing statement with bound parameters; return the number of rows it touched."""
        with self.engine.begin() as connection:
            return int(connection.exec_driver_sql(statement, parameters).rowcount)


def upsert_statement(table: Table, columns: tuple[str, ...] = ()) -> str:
    """Return an INSERT with positional parameters, of all columns or some, that replaces a row of the same key."""
    names = columns or table.column_names
    rest = [name for name in names if name not in table.key]
    marks = ", ".join("?" * len(names))
    quoted = ", ".join(f'"{name}"' for name in names)
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in rest)
    key = ", ".join(f'"{name}"' for name in table.key)
    return f"INSERT INTO {table.name} ({quoted}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {changes}"


def day_bounds(day: date) -> tuple[str, str]:
    """Return the first hour of a UTC day and of the next one, as stored."""
    first = clock.start_of(day)
    return clock.to_text(first), clock.to_text(first + timedelta(days=1))


_RECORD_HOUR = """
INSERT INTO lake_hours (cluster, table_name, hour, rows, content_hash, published_time, rolled_up_hash)
VALUES (?, ?, ?, ?, ?, ?, NULL)
ON CONFLICT (cluster, table_name, hour) DO UPDATE
SET rows = excluded.rows, content_hash = excluded.content_hash, published_time = excluded.published_time
WHERE lake_hours.content_hash <> excluded.content_hash"""

_MARK_HOUR = "UPDATE lake_hours SET rolled_up_hash = ? WHERE cluster = ? AND table_name = ? AND hour = ?"

_DELETE_HOUR = """
DELETE FROM hourly_rollup WHERE hour = ?
AND series_id IN (SELECT series_id FROM series WHERE cluster = ? AND table_name = ?)"""

_DELETE_DAY = """
DELETE FROM daily_rollup WHERE date = ?
AND series_id IN (SELECT series_id FROM series WHERE cluster = ? AND table_name = ?)"""

# `last` is the last of the newest hour.
_ADD_UP_DAY = """
INSERT INTO daily_rollup (series_id, date, count, seconds, sum, integral, min, max, last)
SELECT series_id, ?, sum(count), sum(seconds), sum(sum), sum(integral), min(min), max(max),
       (SELECT newest.last FROM hourly_rollup newest
        WHERE newest.series_id = r.series_id AND newest.hour >= ? AND newest.hour < ?
        ORDER BY newest.hour DESC LIMIT 1)
FROM hourly_rollup r
WHERE hour >= ? AND hour < ? AND series_id IN (SELECT series_id FROM series WHERE cluster = ? AND table_name = ?)
GROUP BY series_id"""


def _replace_day(connection: sqlalchemy.Connection, table_name: str, cluster: str, day: date) -> None:
    first, last = day_bounds(day)
    connection.exec_driver_sql(_DELETE_DAY, (day.isoformat(), cluster, table_name))
    connection.exec_driver_sql(_ADD_UP_DAY, (day.isoformat(), first, last, first, last, cluster, table_name))


def _series_ids(
    connection: sqlalchemy.Connection, table_name: str, cluster: str, aggregates: polars.DataFrame
) -> dict[tuple[str, str, str], int]:
    """Return the number of each (host, subject, metric); new ones are given the next numbers."""
    known = {
        (str(host), str(subject), str(metric)): int(number)
        for number, host, subject, metric in connection.exec_driver_sql(
            "SELECT series_id, host, subject, metric FROM series WHERE cluster = ? AND table_name = ?",
            (cluster, table_name),
        )
    }
    wanted = aggregates.select("host", "subject", "metric").unique(maintain_order=True).iter_rows()
    missing = [name for name in wanted if name not in known]
    if missing:
        highest = connection.exec_driver_sql("SELECT coalesce(max(series_id), 0) FROM series").scalar_one()
        fresh = {name: int(highest) + place for place, name in enumerate(missing, start=1)}
        connection.exec_driver_sql(
            "INSERT INTO series (series_id, cluster, table_name, host, subject, metric) VALUES (?, ?, ?, ?, ?, ?)",
            [(number, cluster, table_name, *name) for name, number in fresh.items()],
        )
        known.update(fresh)
    return known


def _plain_rows(rows: polars.DataFrame, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return columns of rows as SQLite holds them: times as ISO text, as `clock.to_text` writes them."""
    import polars as pl

    times = pl.selectors.datetime()
    return rows.select(columns).with_columns(times.dt.to_string("%Y-%m-%dT%H:%M:%S%.3fZ")).rows()


def _plain(value: Any) -> Any:
    """Return a value as SQLite and JSON hold it: times as ISO text."""
    return clock.to_text(value) if isinstance(value, datetime) else value

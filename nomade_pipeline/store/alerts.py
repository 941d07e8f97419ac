"""The alert engine's tables: state, history, silences, outbox and remembered series.

A tick reads the state, decides and writes within one transaction, which keeps every other writer waiting meanwhile:
what a person does on the command line comes before it or after it and is never overwritten.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.store.rollups import Rollups, upsert_statement
from nomade_pipeline.tables import alerts as contracts
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import sqlalchemy

Row = dict[str, Any]
Key = tuple[str, str, str]

# Cluster and subject.
Place = tuple[str, str]

# A bin's time as the analysis takes it; reading the texts in Python takes many times as long.
_SECONDS = "round((julianday(bin_time) - 2440587.5) * 86400, 3)"

_BY_KEY = "rule = ? AND cluster = ? AND subject = ?"


class AlertStore:
    """The alert engine's tables of a rollup database."""

    def __init__(self, rollups: Rollups) -> None:
        self.rollups = rollups

    @contextmanager
    def transaction(self) -> Iterator[AlertTransaction]:
        """Read and write in one transaction, the only one that writes at this time."""
        with self.rollups.engine.begin() as connection:
            yield AlertTransaction(connection)

    def newest_bins(self, table: str, column: str, places: Iterable[Place]) -> dict[Place, float]:
        """Return the seconds since 1970 UTC of the newest bin of each place, a cluster and a subject, that has any."""
        query = (
            f"SELECT {_SECONDS} FROM alert_window WHERE table_name = ? AND column_name = ? AND cluster = ? "
            "AND subject = ? ORDER BY bin_time DESC LIMIT 1"
        )
        found = self._by_place(query, ((place, (table, column, *place)) for place in places))
        return {place: rows[0][0] for place, rows in found.items() if rows}

    def window(
        self, table: str, column: str, since: datetime, places: Iterable[Place]
    ) -> dict[Place, list[tuple[float, float]]]:
        """Return the remembered series of places: seconds since 1970 UTC and value, by time.

        Args:
            table: raw table.
            column: its column.
            since: first bin.
            places: clusters and subjects.
        """
        query = (
            f"SELECT {_SECONDS}, value FROM alert_window WHERE table_name = ? AND column_name = ? AND cluster = ? "
            "AND subject = ? AND bin_time >= ? ORDER BY bin_time"
        )
        first = clock.to_text(since)
        return self._by_place(query, ((place, (table, column, *place, first)) for place in places))

    def _by_place(self, query: str, wanted: Iterable[tuple[Place, tuple[str, ...]]]) -> dict[Place, list[Any]]:
        """Run a query for each place, past SQLAlchemy's rows: of thousands of places there are a hundred rows each."""
        with closing(self.rollups.engine.raw_connection()) as connection:
            cursor = connection.cursor()
            return {place: cursor.execute(query, parameters).fetchall() for place, parameters in wanted}

    def add_silence(self, silence: Mapping[str, Any]) -> int:
        """Add a silence, given without its number, and return that."""
        with self.rollups.engine.begin() as connection:
            number = _next(connection, "alert_silences", "silence_id")
            _upsert(connection, contracts.ALERT_SILENCES, [{**silence, "silence_id": number}])
            return number

    def end_silence(self, silence_id: int, now: datetime) -> bool:
        """End a silence; return whether it was in force."""
        moment = clock.to_text(now)
        return bool(
            self.rollups.execute(
                "UPDATE alert_silences SET ends_time = ? WHERE silence_id = ? AND ends_time > ?",
                (moment, silence_id, moment),
            )
        )


class AlertTransaction:
    """Reads and writes of one transaction.

    Args:
        connection: on which it has begun.
    """

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def alerts(self, since: datetime) -> list[Row]:
        """Return the rows of all alerts that are not over, or about whose end something may be left to do.

        Args:
            since: of the others those that ended after this are returned.
        """
        return self._rows(
            "SELECT * FROM alerts WHERE state <> 'resolved' OR told_time IS NOT NULL OR resolved_time > ?",
            (clock.to_text(since),),
        )

    def alert(self, key: Key) -> Row | None:
        """Return the row of one alert, None without it."""
        return next(iter(self._rows(f"SELECT * FROM alerts WHERE {_BY_KEY}", key)), None)

    def silences(self, now: datetime) -> list[Row]:
        """Return the silences in force."""
        return self._rows("SELECT * FROM alert_silences WHERE ends_time > ? ORDER BY silence_id", (clock.to_text(now),))

    def next_episode(self) -> int:
        """Return the number of the next episode."""
        return max(_next(self._connection, table, "episode") for table in ("alerts", "alert_events"))

    def save(self, alerts: Sequence[Mapping[str, Any]], dropped: Iterable[Key] = ()) -> None:
        """Store alerts, and drop others."""
        _upsert(self._connection, contracts.ALERTS, alerts)
        keys = list(dropped)
        if keys:
            self._connection.exec_driver_sql(f"DELETE FROM alerts WHERE {_BY_KEY}", keys)

    def log(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Add events to the history, in their order."""
        first = _next(self._connection, "alert_events", "event_id")
        numbered = [{**event, "event_id": number} for number, event in enumerate(events, start=first)]
        _upsert(self._connection, contracts.ALERT_EVENTS, numbered)

    def post(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Put messages into the outbox; one that is there stays as it is."""
        _insert_new(self._connection, contracts.ALERT_OUTBOX, messages)

    def remember(self, bins: Sequence[Mapping[str, Any]]) -> None:
        """Store bins of `alert_window`; one of the same time takes another's place."""
        _upsert(self._connection, contracts.ALERT_WINDOW, bins)

    def forget_bins(self, table: str, column: str, before: datetime) -> None:
        """Drop the bins of a column that no rule looks back to."""
        self._connection.exec_driver_sql(
            "DELETE FROM alert_window WHERE table_name = ? AND column_name = ? AND bin_time < ?",
            (table, column, clock.to_text(before)),
        )

    def _rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        return [dict(row) for row in self._connection.exec_driver_sql(query, parameters).mappings()]


class OutboxStore:
    """The outbox as a deliverer uses it.

    A message that is given out is not given to another deliverer for `lease_seconds`; one that dies meanwhile costs
    so much time, and at most a message that comes twice.

    Args:
        rollups: the database.
        lease_seconds: longer than a deliverer needs.
    """

    def __init__(self, rollups: Rollups, lease_seconds: float = 120.0) -> None:
        self.rollups = rollups
        self.lease = timedelta(seconds=lease_seconds)

    def take_due(self, now: datetime, most: int = 1000) -> list[Row]:
        """Lease and return the messages that are due, the oldest first; dry runs never are."""
        with self.rollups.engine.begin() as connection:
            rows = connection.exec_driver_sql(
                "SELECT * FROM alert_outbox WHERE delivered_time IS NULL AND given_up_time IS NULL AND NOT dry_run "
                "AND next_attempt_time <= ? ORDER BY created_time, message_id LIMIT ?",
                (clock.to_text(now), most),
            ).mappings()
            found = [dict(row) for row in rows]
            until = clock.to_text(now + self.lease)
            leased = [(until, row["message_id"]) for row in found]
            if leased:
                connection.exec_driver_sql("UPDATE alert_outbox SET next_attempt_time = ? WHERE message_id = ?", leased)
            return found

    def add(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Store messages; one whose identifier is known is left as it is."""
        with self.rollups.engine.begin() as connection:
            _insert_new(connection, contracts.ALERT_OUTBOX, messages)

    def give_back(self, message_ids: Iterable[str], now: datetime) -> None:
        """Make messages that were taken and not tried due again."""
        values = [(clock.to_text(now), message_id) for message_id in message_ids]
        if values:
            with self.rollups.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE alert_outbox SET next_attempt_time = ? WHERE message_id = ?", values)

    def delivered(self, message_id: str, now: datetime) -> None:
        """Note that a target has taken a message."""
        self._note("delivered_time = ?", (clock.to_text(now),), message_id)

    def failed(self, message_id: str, problem: str, next_time: datetime) -> None:
        """Note an attempt that failed, and when the next one is due."""
        self._note("error = ?, next_attempt_time = ?", (problem, clock.to_text(next_time)), message_id)

    def given_up(self, message_id: str, now: datetime, problem: str) -> None:
        """Note that a message will not be tried again."""
        self._note("error = ?, given_up_time = ?", (problem, clock.to_text(now)), message_id)

    def _note(self, changes: str, values: tuple[str, ...], message_id: str) -> None:
        self.rollups.execute(
            f"UPDATE alert_outbox SET attempts = attempts + 1, {changes} WHERE message_id = ?", (*values, message_id)
        )


def _next(connection: sqlalchemy.Connection, table: str, column: str) -> int:
    """Return the number after the highest of a column."""
    return int(connection.exec_driver_sql(f"SELECT coalesce(max({column}), 0) + 1 FROM {table}").scalar_one())


def _upsert(connection: sqlalchemy.Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    values = [tuple(row[name] for name in table.column_names) for row in rows]
    if values:
        connection.exec_driver_sql(upsert_statement(table), values)


def _insert_new(connection: sqlalchemy.Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    names = ", ".join(f'"{name}"' for name in table.column_names)
    marks = ", ".join("?" * len(table.columns))
    values = [tuple(row[name] for name in table.column_names) for row in rows]
    if values:
        connection.exec_driver_sql(f"INSERT OR IGNORE INTO {table.name} ({names}) VALUES ({marks})", values)

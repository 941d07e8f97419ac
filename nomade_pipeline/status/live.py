"""The newest reading of every host: from the spool's tail or from the database, whichever is newer.

Standard library only: `nomade status` answers before a data frame library would be imported.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Iterator

from nomade_pipeline import clock
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.database import DatabaseError, open_readonly
from nomade_pipeline.store.spool import Batch
from nomade_pipeline.store.tail import newest_batches
from nomade_pipeline.tables.contract import Table

# One missed sample may be a slow tool; three are an agent that does not run.
STALE_INTERVALS = 3
# Sampling by hand leaves intervals of a few seconds, after which nobody expects the next.
LEAST_INTERVAL = 60.0

SPOOL, DATABASE = "spool", "database"


@dataclass(frozen=True)
class Snapshot:
    """All rows of one table that one host took at one moment.

    Attributes:
        origin: ``spool`` or ``database``.
    """

    table: str
    cluster: str
    host: str
    sample_time: datetime
    interval_seconds: float
    source: str
    rows: tuple[dict[str, Any], ...]
    origin: str

    def age(self, now: datetime) -> float:
        """Return seconds since the sample; negative when the host's clock is ahead."""
        return (now - self.sample_time).total_seconds()

    def is_stale(self, now: datetime, configured_interval: float) -> bool:
        """Whether three samples should have come since."""
        interval = max(self.interval_seconds, configured_interval, LEAST_INTERVAL)
        return abs(self.age(now)) > STALE_INTERVALS * interval


def configured_interval(config: Config, collector: str) -> float:
    """Return the seconds between two samples of a collector in this configuration."""
    return float(getattr(getattr(config.collectors, collector, None), "interval", LEAST_INTERVAL))


class Database:
    """The rollup database as a reader that may be absent or broken sees it.

    Attributes:
        problem: why it cannot be read; None when it can, or when there is none yet.
    """

    def __init__(self, paths: DataPaths) -> None:
        self.path = paths.database
        self.problem: str | None = None
        self._connection: sqlite3.Connection | None = None
        if self.path.exists():
            try:
                self._connection = open_readonly(self.path)
            except DatabaseError as error:
                self.problem = str(error)

    def rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """Return the rows of a query; none, and `problem` says why, when it cannot be run."""
        if self._connection is None:
            return []
        try:
            with closing(self._connection.execute(query, parameters)) as cursor:
                return [dict(row) for row in cursor]
        except sqlite3.Error as error:
            self.problem = f"{self.path}: {error}; `nomade migrate` or `nomade syscheck` tells more"
            return []

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


def newest(paths: DataPaths, database: Database, table: Table) -> list[Snapshot]:
    """Return the newest snapshot of a table for each cluster and host, in their order."""
    found: dict[tuple[str, str], Snapshot] = {}
    for snapshot in (*_from_database(database, table), *_from_spool(paths, table)):
        place = (snapshot.cluster, snapshot.host)
        if place not in found or snapshot.sample_time >= found[place].sample_time:
            found[place] = snapshot
    return [found[place] for place in sorted(found)]


def _from_spool(paths: DataPaths, table: Table) -> Iterator[Snapshot]:
    for batch in newest_batches(paths.spool, table.name):
        yield snapshot_of(batch)


def snapshot_of(batch: Batch) -> Snapshot:
    """Turn a line of the spool into a snapshot; columns it leaves out are null."""
    return Snapshot(
        table=batch.table,
        cluster=batch.cluster,
        host=batch.host,
        sample_time=clock.from_text(batch.sample_time),
        interval_seconds=float(batch.interval_seconds),
        source=batch.source,
        rows=tuple(batch.to_rows()),
        origin=SPOOL,
    )


def _from_database(database: Database, table: Table) -> Iterator[Snapshot]:
    """Yield each host's newest rows; what vanished before them (an unplugged disk) is not among them."""
    query = (
        "SELECT cluster, host, sample_time, row FROM latest l WHERE table_name = ? AND sample_time = "
        "(SELECT max(sample_time) FROM latest m "
        "WHERE m.cluster = l.cluster AND m.table_name = l.table_name AND m.host = l.host) "
        "ORDER BY cluster, host"
    )
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in database.rows(query, (table.name,)):
        groups.setdefault((row["cluster"], row["host"], row["sample_time"]), []).append(json.loads(row["row"]))
    for (cluster, host, sample_time), rows in groups.items():
        yield Snapshot(
            table=table.name,
            cluster=cluster,
            host=host,
            sample_time=clock.from_text(sample_time),
            interval_seconds=float(rows[0]["interval_seconds"]),
            source=rows[0]["source"],
            rows=tuple(rows),
            origin=DATABASE,
        )


def window_start(now: datetime) -> datetime:
    """Return the beginning of the hour 23 hours ago: 24 hours with the present one."""
    return clock.hour_of(now) - timedelta(hours=23)

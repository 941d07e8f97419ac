"""The series that the derived tables are made of: hourly means from the rollups, running jobs from the lake.

Every function takes a moment and returns what was known then, so that a past day comes out the same again.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Sequence

from nomade_pipeline import clock
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.database import DatabaseError, open_readonly
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.nodes import JOB_MONITOR
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, OUTCOME_CLASSES, SUCCESS

if TYPE_CHECKING:
    from nomade_pipeline.analysis.series import Floats, SeriesBatch

DAY, WEEK = 86400.0, 7 * 86400.0
# The mean of an hour of which less is known says little; it lies in the middle of what is known.
LEAST_COVERED_SECONDS = 300.0


@dataclass(frozen=True)
class Reader:
    """Where series are read from: database and lake of one data folder, read-only."""

    paths: DataPaths

    @property
    def lake(self) -> Lake:
        """The lake."""
        return Lake(self.paths.lake)

    def rows(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the rollups; none where there is no database yet.

        Raises:
            DatabaseError: it cannot be read, or is of an older version.
        """
        if not self.paths.database.exists():
            return []
        with closing(open_readonly(self.paths.database)) as connection:
            # Tuples: at ten thousand series the rows of a week are millions.
            connection.row_factory = None
            try:
                return connection.execute(query, parameters).fetchall()
            except sqlite3.Error as error:
                raise DatabaseError(f"{self.paths.database}: {error}; `nomade migrate` brings it up to date") from error


class Name(NamedTuple):
    """What one series is of."""

    cluster: str
    host: str
    subject: str
    metric: str


@dataclass(frozen=True)
class Sources:
    """Series, their names, and the limit of each (NaN for none)."""

    names: list[Name]
    series: SeriesBatch
    limits: Floats


@dataclass(frozen=True)
class Quantity:
    """How a derived table is made.

    Attributes:
        read: returns its series between two moments.
        window_seconds: over which the fit reaches at most.
        ok_word: what it means that it declines or decelerates; the words of the earlier system.
    """

    read: Callable[[Reader, Config, datetime, datetime], Sources]
    window_seconds: float = WEEK
    ok_word: str = ""

    def within(self, source: Reader, config: Config, end: datetime) -> Sources:
        """Return the series of the window before a moment."""
        return self.read(source, config, end - timedelta(seconds=self.window_seconds), end)


def _collected(names: Sequence[Name], times: Sequence[float], values: Sequence[float]) -> Sources:
    """Return the series of a long table, one row a sample."""
    import numpy as np

    from nomade_pipeline.analysis.series import SeriesBatch

    codes: dict[Name, int] = {}
    rows = np.fromiter((codes.setdefault(name, len(codes)) for name in names), np.int64, len(names))
    series = SeriesBatch.from_columns(rows, np.asarray(times, float), np.asarray(values, float), len(codes))
    return Sources(list(codes), series, np.full(len(codes), np.nan))


def hourly(source: Reader, table: str, metrics: Sequence[str], start: datetime, end: datetime) -> Sources:
    """Return hourly means of some quantities of a raw table, each in the middle of what its hour covers."""
    import numpy as np

    from nomade_pipeline.analysis.series import SeriesBatch

    asked = (table, *metrics)
    chosen = f"FROM series WHERE table_name = ? AND metric IN ({', '.join('?' for _ in metrics)})"
    rows = source.rows(
        "SELECT series_id, CAST(strftime('%s', hour) AS INTEGER), seconds, integral / seconds FROM hourly_rollup "
        f"WHERE series_id IN (SELECT series_id {chosen}) AND hour >= ? AND hour < ? AND seconds >= ?",
        (*asked, clock.to_text(clock.hour_of(start)), clock.to_text(end), LEAST_COVERED_SECONDS),
    )
    names = {
        number: Name(*name)
        for number, *name in source.rows(f"SELECT series_id, cluster, host, subject, metric {chosen}", asked)
    }
    numbers, hours, seconds, means = np.array(rows, float).reshape(-1, 4).T
    found, codes = np.unique(numbers, return_inverse=True)
    series = SeriesBatch.from_columns(codes, hours + np.minimum(seconds, 3600.0) / 2, means, len(found))
    return Sources([names[int(number)] for number in found], series, np.full(len(found), np.nan))


def _of(table: str, *metrics: str) -> Callable[[Reader, Config, datetime, datetime], Sources]:
    """Return the reader of some quantities of one raw table that have no limit."""

    def read(source: Reader, _config: Config, start: datetime, end: datetime) -> Sources:
        return hourly(source, table, metrics, start, end)

    return read


def _disk(source: Reader, _config: Config, start: datetime, end: datetime) -> Sources:
    """Return used space and inodes; full is what used and available make together, or all inodes."""
    import numpy as np

    wanted = {"used_bytes", "inodes_used"}
    found = hourly(source, "disk", (*wanted, "available_bytes", "inodes_used_percent"), start, end)
    newest = dict(zip(found.names, found.series.values[:, -1], strict=True))
    limits = np.full(len(newest), np.nan)
    for row, name in enumerate(found.names):
        used, free = newest[name], newest.get(name._replace(metric="available_bytes"))
        share = newest.get(name._replace(metric="inodes_used_percent"))
        if name.metric == "used_bytes" and free is not None:
            limits[row] = used + free
        if name.metric == "inodes_used" and share:
            limits[row] = used / share * 100
    kept = [row for row, name in enumerate(found.names) if name.metric in wanted]
    return Sources([found.names[row] for row in kept], found.series.rows(np.array(kept, int)), limits[kept])


def _gpu(source: Reader, config: Config, start: datetime, end: datetime) -> Sources:
    """Return temperatures; the limit is where they warn."""
    import numpy as np

    found = hourly(source, "gpu", ("temperature_celsius",), start, end)
    return Sources(found.names, found.series, np.full(len(found.names), config.alerts.gpu_temp_warning))


def _failure_rate(source: Reader, _config: Config, start: datetime, end: datetime) -> Sources:
    """Return the share of failed jobs of each hour in which any ended; cancelled ones are neither."""
    failed = " + ".join(f"{OUTCOME_CLASSES[code].lower()}_jobs" for code in FAILED_CLASSES)
    rows = source.rows(
        f"SELECT cluster, CASE dimension WHEN 'partition' THEN name ELSE '' END AS subject, hour, {failed} AS failed, "
        f"{OUTCOME_CLASSES[SUCCESS].lower()}_jobs AS good FROM usage_hourly "
        "WHERE dimension IN ('cluster', 'partition') AND hour >= ? AND hour < ?",
        (clock.to_text(start), clock.to_text(end)),
    )
    ended = [row for row in rows if row[3] + row[4]]
    return _collected(
        [Name(cluster, "", subject, "failed_ratio") for cluster, subject, *_ in ended],
        [clock.from_text(hour).timestamp() + 1800 for _, _, hour, _, _ in ended],
        [failed / (failed + good) for *_, failed, good in ended],
    )


def _job_memory(source: Reader, _config: Config, start: datetime, end: datetime) -> Sources:
    """Return the memory of each job on each host; the limit is that of its cgroup."""
    import numpy as np
    import polars as pl

    columns = ("cluster", "host", "job_id_raw", "sample_time", "memory_bytes", "memory_limit_bytes")
    rows = source.lake.read(JOB_MONITOR, start, end, columns=columns).drop_nulls("memory_bytes").sort("sample_time")
    found = _collected(
        [Name(cluster, host, job, "memory_bytes") for cluster, host, job in rows.select(columns[:3]).iter_rows()],
        (rows["sample_time"].dt.epoch("ms") / 1000).to_list(),
        rows["memory_bytes"].to_list(),
    )
    newest = rows.group_by(columns[:3]).agg(pl.col("memory_limit_bytes").last())
    limits = {tuple(key): limit for *key, limit in newest.iter_rows()}
    told = [limits[name[:3]] for name in found.names]
    return Sources(found.names, found.series, np.array([np.nan if limit is None else limit for limit in told], float))


def _configured(source: Reader, config: Config, start: datetime, end: datetime) -> Sources:
    """Return the quantities that ``[derived] series`` names; the metric is ``table.quantity``."""
    import numpy as np

    from nomade_pipeline.analysis.series import SeriesBatch

    names: list[Name] = []
    parts: list[SeriesBatch] = []
    for wanted in config.derived.series:
        table, metric = wanted.split(".")
        found = hourly(source, table, (metric,), start, end)
        names += [name._replace(metric=wanted) for name in found.names]
        parts.append(found.series)
    return Sources(names, SeriesBatch.joined(parts), np.full(len(names), np.nan))


# Asset to how it is made. A week shows the daily wave; what changes within hours is followed over two days.
QUANTITIES: dict[str, Quantity] = {
    "disk": Quantity(_disk, ok_word="clean-up in progress"),
    "queue": Quantity(_of("slurm_queue", "pending_jobs"), 2 * DAY, "draining normally"),
    "failure_rate": Quantity(_failure_rate, ok_word="issue resolving"),
    "nfs": Quantity(_of("nfs", "read_rtt_seconds", "write_rtt_seconds"), 2 * DAY, "load decreasing"),
    "job_memory": Quantity(_job_memory, DAY, "memory released"),
    "gpu": Quantity(_gpu, 2 * DAY, "cooling down"),
    "series": Quantity(_configured),
}

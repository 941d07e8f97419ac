"""What the stand-ins answer from: jobs and nodes of the replayed days, in an SQLite file beside the replay's data.

The stand-ins are processes of their own that answer within a few hundredths of a second, so they read SQLite with the
standard library and not the lake. Writing needs Polars.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from nomade_pipeline import clock

if TYPE_CHECKING:
    from nomade_pipeline.store.lake import Lake

FILE_NAME = "state.db"
Row = dict[str, Any]

_SCHEMA = """
CREATE TABLE jobs (submit REAL, start REAL, end REAL, row TEXT);
CREATE INDEX jobs_submit ON jobs (submit);
CREATE INDEX jobs_end ON jobs (end);
CREATE TABLE moments (kind TEXT, time REAL, row TEXT);
CREATE INDEX moments_time ON moments (kind, time);
"""
NODE, PARTITION = "node", "partition"
# The end of a job that goes on beyond the data: after all others.
_NEVER = 1e12


def write_state(path: Path, lake: Lake, cluster: str, start: datetime, end: datetime, step: timedelta) -> int:
    """Write what is needed to answer for a stretch of time; return the number of jobs.

    Nodes and partitions are kept once a step: a replay looks no oftener.

    Raises:
        LakeError: a stored file cannot be read.
        OSError: the file cannot be written.
    """
    import polars as pl

    from nomade_pipeline.tables.nodes import NODE_STATE
    from nomade_pipeline.tables.slurm_queue import SLURM_PARTITION

    path.unlink(missing_ok=True)
    jobs = _jobs_between(lake, cluster, start, end)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_SCHEMA)
        database.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?)", map(_job, jobs))
        for kind, table in ((NODE, NODE_STATE), (PARTITION, SLURM_PARTITION)):
            rows = lake.read(table, start - timedelta(hours=1), end + timedelta(seconds=1), clusters=[cluster])
            time = pl.col("sample_time")
            # The last reading of each step, its end included.
            kept = rows.filter(time == time.max().over(time.dt.offset_by("-1ms").dt.truncate(step)))
            values = ((kind, row["sample_time"].timestamp(), _text(row)) for row in kept.iter_rows(named=True))
            database.executemany("INSERT INTO moments VALUES (?, ?, ?)", values)
    return len(jobs)


def _jobs_between(lake: Lake, cluster: str, start: datetime, end: datetime) -> list[Row]:
    """Return the jobs that were submitted before the end and had not ended before the start.

    Those that the accounting does not know, because they go on beyond the data, are taken from the queue.
    """
    import polars as pl

    from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
    from nomade_pipeline.tables.slurm_queue import SLURM_JOB

    last = clock.start_of(max(lake.days(JOB_METRICS, cluster), default=end.date()) + timedelta(days=1))
    told = lake.read(JOB_METRICS, start, max(end, last), clusters=[cluster])
    queued = lake.read(SLURM_JOB, start, end, clusters=[cluster]).filter(pl.col("submit_time").is_not_null())
    newest = queued.sort("sample_time").unique(["job_id_raw", "submit_time"], keep="last", maintain_order=True)
    going_on = newest.join(told, on=["job_id_raw", "submit_time"], how="anti")
    jobs = told.filter(pl.col("submit_time") <= end).sort("submit_time", "job_id_raw").to_dicts()
    return [*jobs, *(_going_on(row, JOB_METRICS.column_names) for row in going_on.iter_rows(named=True))]


def _going_on(row: Row, names: Sequence[str]) -> Row:
    """Return a job of the queue in the columns of the accounting; it has no end."""
    runs = row["state"] == "RUNNING"
    amounts = {name: row[name] for name in ("cpus", "nodes", "memory_bytes", "gpus")}
    known = {
        **{name: row[name] for name in names if name in row},
        **{f"req_{name}": value for name, value in amounts.items()},
        **{f"alloc_{name}": value if runs else None for name, value in amounts.items()},
        "start_time": row["start_time"] if runs else None,
        "end_time": None,
        "steps": 0,
        "time_limit_kind": "unknown",
    }
    return {name: known.get(name) for name in names}


def _job(row: Row) -> tuple[float, float | None, float, str]:
    submit: float = row["submit_time"].timestamp()
    start, end = (None if row[name] is None else row[name].timestamp() for name in ("start_time", "end_time"))
    return submit, start, _NEVER if end is None else end, _text(row)


def _text(row: Row) -> str:
    return json.dumps(row, default=clock.to_text)


@dataclass(frozen=True)
class State:
    """The replayed cluster at one moment.

    Attributes:
        path: the SQLite file.
        moment: seconds since 1970.
    """

    path: Path
    moment: float

    def queued(self) -> list[Row]:
        """Return the jobs that wait or run, in the order of their submission."""
        return list(self._jobs("submit <= ? AND end > ?", self.moment, self.moment))

    def is_running(self, job: Row) -> bool:
        """Whether a job of the queue runs; one that starts at this very moment does not yet."""
        return job["start_time"] is not None and clock.from_text(job["start_time"]).timestamp() < self.moment

    def ended(self, begin: float, end: float) -> list[Row]:
        """Return the jobs that ended from one moment to another, none of them in the future."""
        return list(self._jobs("end >= ? AND end <= ?", begin, min(end, self.moment)))

    def nodes(self) -> list[Row]:
        """Return the nodes as they were last seen."""
        return self._newest(NODE)

    def partitions(self) -> list[Row]:
        """Return the partitions as they were last seen."""
        return self._newest(PARTITION)

    def _newest(self, kind: str) -> list[Row]:
        return list(
            self._rows(
                "SELECT row FROM moments WHERE kind = ?1 AND time = "
                "(SELECT max(time) FROM moments WHERE kind = ?1 AND time <= ?2)",
                (kind, self.moment),
            )
        )

    def _jobs(self, condition: str, *parameters: float) -> Iterator[Row]:
        return self._rows(f"SELECT row FROM jobs WHERE {condition} ORDER BY submit, rowid", parameters)

    def _rows(self, query: str, parameters: Sequence[object]) -> Iterator[Row]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            for (text,) in database.execute(query, parameters).fetchall():
                yield json.loads(text)

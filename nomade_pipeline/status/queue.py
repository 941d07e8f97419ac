"""The queue as it is now: newest readings of the `slurm` collector, put together from the spool's tail.

Standard library only: `nomade status` and `nomade queue` answer before a data frame library would be imported.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.live import Database, Snapshot, configured_interval, newest
from nomade_pipeline.store.spool import Batch
from nomade_pipeline.store.tail import batches_since
from nomade_pipeline.tables import slurm_queue as tables
from nomade_pipeline.tables.contract import Table

Row = Mapping[str, Any]

# A full picture of the queue comes once an hour.
FULL_PICTURE_WITHIN = timedelta(hours=2)
# The columns of `slurm_queue` that count each job once.
COUNTS = ("pending_jobs", "running_jobs", "suspended_jobs", "completing_jobs", "other_jobs")


def newest_by_cluster(config: Config, database: Database, table: Table) -> dict[str, Snapshot]:
    """Return the newest snapshot of a table for each cluster, whichever host took it."""
    found: dict[str, Snapshot] = {}
    for snapshot in newest(config.paths, database, table):
        known = found.get(snapshot.cluster)
        if known is None or snapshot.sample_time >= known.sample_time:
            found[snapshot.cluster] = snapshot
    return found


def queues(config: Config, now: datetime) -> list[dict[str, Any]]:
    """Return the queue of each cluster, as ``nomade queue --json`` prints it.

    Each has ``sample_time``, ``age_seconds``, ``stale``, ``total`` (the row that counts every job once),
    ``partitions`` (queue and nodes of each), ``pending`` (jobs by kind of reason) and ``scheduler``, which
    is None when it was never asked.
    """
    database = Database(config.paths)
    try:
        queue = newest_by_cluster(config, database, tables.SLURM_QUEUE)
        nodes = newest_by_cluster(config, database, tables.SLURM_PARTITION)
        schedulers = newest_by_cluster(config, database, tables.SLURM_SCHEDULER)
        pending = newest_by_cluster(config, database, tables.SLURM_PENDING)
    finally:
        database.close()
    interval = configured_interval(config, "slurm")
    return [
        _queue(
            cluster,
            now,
            interval,
            queue.get(cluster),
            nodes.get(cluster),
            schedulers.get(cluster),
            pending.get(cluster),
        )
        for cluster in sorted({*queue, *schedulers})
    ]


def _queue(
    cluster: str,
    now: datetime,
    interval: float,
    queue: Snapshot | None,
    nodes: Snapshot | None,
    scheduler: Snapshot | None,
    pending: Snapshot | None,
) -> dict[str, Any]:
    about = queue or scheduler
    assert about is not None
    rows = {row["partition"]: row for row in queue.rows} if queue else {}
    beside = {row["partition"]: row for row in nodes.rows} if nodes else {}
    total = rows.pop(tables.WHOLE_CLUSTER, None)
    # A queue in which nothing waits leaves no reading of what waits: the one before is no longer true.
    waits = pending.rows if queue and pending and pending.sample_time == queue.sample_time else ()
    return {
        "cluster": cluster,
        "host": about.host,
        "sample_time": clock.to_text(about.sample_time),
        "age_seconds": round(about.age(now), 1),
        "stale": about.is_stale(now, interval),
        "total": _data(tables.SLURM_QUEUE, total),
        "partitions": [
            {
                **(_data(tables.SLURM_PARTITION, beside.get(name)) or {}),
                **(_data(tables.SLURM_QUEUE, rows.get(name)) or {"partition": name}),
            }
            for name in sorted({*rows, *beside})
        ],
        "pending": [_data(tables.SLURM_PENDING, row) for row in waits],
        "scheduler": _scheduler(scheduler, now, interval),
    }


def _scheduler(snapshot: Snapshot | None, now: datetime, interval: float) -> dict[str, Any] | None:
    if snapshot is None:
        return None
    return {
        "sample_time": clock.to_text(snapshot.sample_time),
        "stale": snapshot.is_stale(now, interval),
        **(_data(tables.SLURM_SCHEDULER, snapshot.rows[0]) or {}),
    }


def _data(table: Table, row: Row | None) -> dict[str, Any] | None:
    """Return a row without the columns that all tables share."""
    return None if row is None else {column.name: row.get(column.name) for column in table.data_columns}


def live_jobs(spool: Path, now: datetime) -> list[dict[str, Any]]:
    """Return the jobs that are in the queue of each cluster, as of its newest reading, sorted by number.

    The newest full picture is brought up to date with the changes after it.
    """
    batches = list(batches_since(spool, tables.SLURM_JOB.name, now - FULL_PICTURE_WITHIN))
    sizes = list(batches_since(spool, tables.SLURM_QUEUE.name, now - FULL_PICTURE_WITHIN))
    jobs: list[dict[str, Any]] = []
    for place in sorted({(batch.cluster, batch.host) for batch in batches}):
        own = [batch for batch in batches if (batch.cluster, batch.host) == place]
        empty_since = _empty_since(batch for batch in sizes if (batch.cluster, batch.host) == place)
        jobs += replayed(own, empty_since)
    by_number = {(job["cluster"], job["job_id_raw"]): job for job in sorted(jobs, key=lambda job: job["sample_time"])}
    return [job for _, job in sorted(by_number.items(), key=lambda item: (item[0][0], _number(item[0][1])))]


def replayed(batches: Iterable[Batch], empty_since: str | None = None) -> list[dict[str, Any]]:
    """Return the jobs of one host's readings after all changes.

    Args:
        batches: readings of `slurm_job`.
        empty_since: ``sample_time`` of the newest reading that found no job; what was told before it is over.
    """
    jobs: dict[str, dict[str, Any]] = {}
    for batch in sorted(batches, key=lambda batch: batch.sample_time):
        jobs = with_changes(jobs, batch.to_rows())
    return [job for job in jobs.values() if empty_since is None or job["sample_time"] > empty_since]


def with_changes(jobs: dict[str, dict[str, Any]], rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the jobs of one host's queue by number after one more reading of `slurm_job`."""
    jobs = {} if rows and rows[0]["kind"] == "full" else jobs
    for row in rows:
        if row["kind"] == "gone":
            jobs.pop(row["job_id_raw"], None)
        else:
            jobs[row["job_id_raw"]] = row
    return jobs


def is_empty(row: Mapping[str, Any]) -> bool:
    """Whether a row of `slurm_queue` counts no job."""
    return not any(row[name] for name in COUNTS)


def _empty_since(batches: Iterable[Batch]) -> str | None:
    """Return the time of the newest reading of a queue without any job, None without one."""
    return max(
        (
            batch.sample_time
            for batch in batches
            for row in batch.to_rows()
            if row["partition"] == tables.WHOLE_CLUSTER and is_empty(row)
        ),
        default=None,
    )


def _number(job_id: str) -> tuple[int, str]:
    return (int(job_id), "") if job_id.isdigit() else (0, job_id)

"""Everything that is known of one job, in the queue or ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping

from nomade_pipeline.analysis.waiting import WORDS, what_would_help
from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.jobs import HINT, job_records, siblings
from nomade_pipeline.status.live import Database
from nomade_pipeline.status.queue import live_jobs, newest_by_cluster, queues
from nomade_pipeline.tables.slurm_queue import SLURM_PRIORITY


def one_job(config: Config, job: str, now: datetime) -> dict[str, Any]:
    """Return what is known of a job, as ``nomade job --json`` prints it.

    ``queue`` is its row in the queue (None when it is not in it), ``runs`` its ended runs, newest first (of
    an array all its tasks), ``siblings`` other runs of the same name or array, ``waiting`` why it waits.

    Raises:
        NoData: nothing is known of it.
    """
    live = next((row for row in live_jobs(config.paths.spool, now) if is_called(row, job)), None)
    runs = job_records(config, job)
    if live is None and not runs:
        raise NoData(f"nothing is known of job {job!r:.60}", HINT)
    like = runs[0] if runs else live
    assert like is not None
    shown = {(run["job_id_raw"], run["submit_time"]) for run in runs}
    related = siblings(config, like) if like["user"] and like["submit_time"] else []
    related = [row for row in related if (row["job_id_raw"], row["submit_time"]) not in shown]
    return {
        "job": job,
        "queue": live,
        "runs": runs,
        "siblings": related,
        "waiting": _waiting(config, live, related, now) if live is not None and live["state"] == "PENDING" else None,
    }


def is_called(row: Mapping[str, Any], job: str) -> bool:
    """Whether a row of the queue is that of a job: by its plain number, its written one, or as a task of an array."""
    if job in (row["job_id_raw"], row["job_id"], row["array_job_id"]):
        return True
    # Waiting tasks of an array are one row.
    return (
        row["array_job_id"] is not None and row["state"] == "PENDING" and job.partition("_")[0] == row["array_job_id"]
    )


def _waiting(config: Config, job: Mapping[str, Any], related: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    """Return the reason in words, the parts of the priority, the expected start and what would shorten the wait."""
    database = Database(config.paths)
    try:
        priorities = newest_by_cluster(config, database, SLURM_PRIORITY).get(job["cluster"])
    finally:
        database.close()
    numbers = {job["job_id_raw"], job["array_job_id"]}
    parts = [row for row in (priorities.rows if priorities else ()) if row["job_id_raw"] in numbers]
    own = [queue for queue in queues(config, now) if queue["cluster"] == job["cluster"]]
    elapsed = [row["elapsed_seconds"] for row in related if row["failure_class"] == 0 and row["elapsed_seconds"]]
    return {
        "reason": job["reason"],
        "in_words": WORDS[job["reason_class"] or "none"],
        "expected_start": job["start_time"],
        "priority_parts": [{c.name: row.get(c.name) for c in SLURM_PRIORITY.data_columns} for row in parts],
        "advice": what_would_help(job, own[0]["partitions"] if own else [], elapsed),
    }

"""Ended jobs from the job table, and who used the cluster how well. Bound SQL on the rollup database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Mapping

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.live import Database
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, OUTCOME_CLASSES

HINT = "`nomade collect` on the head node asks sacct, `nomade ingest` stores it, `nomade backfill` reads the past"


@dataclass(frozen=True)
class Wanted:
    """Which ended jobs are asked for; an empty text is any.

    Attributes:
        state: a state of Slurm, an outcome class, or ``failed`` for all classes that count as failed.
        since: jobs that ended before are left out.
    """

    since: datetime
    user: str = ""
    account: str = ""
    partition: str = ""
    state: str = ""
    name: str = ""
    cluster: str = ""


def _conditions(wanted: Wanted) -> tuple[str, list[Any]]:
    parts, values = ["end_time >= ?"], [clock.to_text(wanted.since)]
    for column in ("user", "account", "partition", "cluster"):
        value = getattr(wanted, column)
        if value:
            parts.append(f'"{column}" = ?')
            values.append(value)
    if wanted.name:
        parts.append("job_name GLOB ?")
        values.append(wanted.name)
    if wanted.state:
        condition, more = _state_condition(wanted.state.upper())
        parts.append(condition)
        values += more
    return " AND ".join(parts), values


def _state_condition(state: str) -> tuple[str, list[Any]]:
    if state == "FAILED":
        return f"failure_class IN ({', '.join('?' * len(FAILED_CLASSES))})", list(FAILED_CLASSES)
    if state in OUTCOME_CLASSES and state not in ("TIMEOUT", "CANCELLED", "NODE_FAIL"):
        return "failure_class = ?", [OUTCOME_CLASSES.index(state)]
    return "state = ?", [state]


def ended_jobs(config: Config, wanted: Wanted, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return the newest ended jobs that are wanted, and how many there are in all.

    Raises:
        NoData: there is no job table yet.
    """
    database = Database(config.paths)
    try:
        condition, values = _conditions(wanted)
        rows = database.rows(
            f"SELECT * FROM jobs WHERE {condition} ORDER BY end_time DESC, job_id_raw LIMIT ?", (*values, limit)
        )
        counted = database.rows(f"SELECT count(*) AS n FROM jobs WHERE {condition}", tuple(values))
        if not rows:
            _require_jobs(config, database)
        return rows, int(counted[0]["n"]) if counted else 0
    finally:
        database.close()


def _require_jobs(config: Config, database: Database) -> None:
    """Tell an empty answer from an empty installation."""
    if database.rows("SELECT 1 FROM jobs LIMIT 1"):
        return
    about = f": {database.problem}" if database.problem else ""
    raise NoData(f"no ended job is known below {config.paths.root}{about}", HINT)


def job_records(config: Config, job: str, cluster: str = "") -> list[dict[str, Any]]:
    """Return the runs of an ended job, newest first; of an array all its tasks.

    Args:
        config: whose data folder.
        job: ``123``, ``123_4`` or ``123+1``.
        cluster: only of this cluster; empty for all.
    """
    database = Database(config.paths)
    try:
        return database.rows(
            "SELECT * FROM jobs WHERE (job_id_raw = ? OR job_id = ? OR array_job_id = ?) AND (? = '' OR cluster = ?) "
            "ORDER BY end_time DESC, job_id_raw",
            (job, job, job, cluster, cluster),
        )
    finally:
        database.close()


def siblings(config: Config, job: Mapping[str, Any], limit: int = 8) -> list[dict[str, Any]]:
    """Return other ended jobs of the same user with the same name or of the same array, newest first."""
    database = Database(config.paths)
    try:
        return database.rows(
            "SELECT * FROM jobs WHERE cluster = ? AND user = ? AND (job_name = ? OR array_job_id = ?) "
            "AND NOT (job_id_raw = ? AND submit_time = ?) ORDER BY end_time DESC LIMIT ?",
            (
                job["cluster"],
                job["user"],
                job["job_name"],
                job["array_job_id"],
                job["job_id_raw"],
                job["submit_time"],
                limit,
            ),
        )
    finally:
        database.close()


def efficiency(config: Config, dimension: str, since: datetime, cluster: str = "") -> list[dict[str, Any]]:
    """Return usage and efficiency by ``user``, ``account``, ``partition``, ``qos`` or ``cluster``, the largest first.

    Each row has the sums of `usage_hourly` and ``failed_ratio``, ``cpu_efficiency_ratio``,
    ``memory_efficiency_ratio``, ``measured_ratio``; a ratio without anything to divide by is None.

    Raises:
        NoData: there is no job table yet.
    """
    database = Database(config.paths)
    try:
        rows = database.rows(
            "SELECT cluster, name, sum(jobs) AS jobs, sum(success_jobs) AS success_jobs, "
            "sum(timeout_jobs + failed_jobs + oom_jobs + segfault_jobs + node_fail_jobs) AS failed_jobs, "
            "sum(cancelled_jobs + dependency_jobs) AS cancelled_jobs, sum(unknown_jobs) AS unknown_jobs, "
            "sum(oom_jobs) AS oom_jobs, sum(timeout_jobs) AS timeout_jobs, "
            "sum(started_jobs) AS started_jobs, sum(measured_jobs) AS measured_jobs, "
            "sum(wait_seconds) AS wait_seconds, "
            "sum(allocated_cpu_seconds) AS allocated_cpu_seconds, sum(allocated_gpu_seconds) AS allocated_gpu_seconds, "
            "sum(efficiency_cpu_seconds) AS cpu_used, sum(efficiency_allocated_cpu_seconds) AS cpu_held, "
            "sum(efficiency_memory_bytes) AS memory_used, sum(efficiency_allocated_memory_bytes) AS memory_held "
            "FROM usage_hourly WHERE dimension = ? AND hour >= ? AND (? = '' OR cluster = ?) "
            "GROUP BY cluster, name ORDER BY allocated_cpu_seconds DESC, name",
            (dimension, clock.to_text(clock.hour_of(since)), cluster, cluster),
        )
        if not rows:
            _require_jobs(config, database)
        return [_with_ratios(row) for row in rows]
    finally:
        database.close()


def _with_ratios(row: Mapping[str, Any]) -> dict[str, Any]:
    def ratio(part: str, whole: float) -> float | None:
        return round(row[part] / whole, 4) if whole else None

    known = row["success_jobs"] + row["failed_jobs"]
    plain = {
        name: value for name, value in row.items() if name not in ("cpu_used", "cpu_held", "memory_used", "memory_held")
    }
    return {
        **plain,
        "failed_ratio": ratio("failed_jobs", known),
        "wait_mean_seconds": ratio("wait_seconds", row["started_jobs"]),
        "cpu_efficiency_ratio": ratio("cpu_used", row["cpu_held"]),
        "memory_efficiency_ratio": ratio("memory_used", row["memory_held"]),
        "measured_ratio": ratio("measured_jobs", row["started_jobs"]),
    }

"""Rollups about jobs and nodes: the job table with what was measured of each job, usage, stretches out of use.

Every hour is replaced as a whole, so that doing it again changes nothing.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from nomade_pipeline import clock
from nomade_pipeline.analysis.aggregate import exact_rows
from nomade_pipeline.analysis.job_usage import job_usage_rows, node_history_rows
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.rollups import day_bounds
from nomade_pipeline.tables.job_rollups import (
    DIMENSIONS,
    JOB_USAGE,
    JOBS,
    JOBS_FROM_ACCOUNTING,
    MONITOR_COLUMNS,
    NODE_HISTORY,
    USAGE_HOURLY,
)
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

    from nomade_pipeline.tables.contract import Table

# Their rollups are joined with each other, so an hour of theirs is done only after `finish_jobs_of_day`.
JOINED_TABLES = (JOB_METRICS, JOB_MONITOR)


def roll_up_jobs_of_hour(store: Store, table: Table, cluster: str, hour: datetime, rows: polars.DataFrame) -> None:
    """Replace what the rollups about jobs and nodes hold of one hour of a raw table; nothing for other tables."""
    bounds = (cluster, clock.to_text(hour), clock.to_text(hour + timedelta(hours=1)))
    if table is JOB_METRICS:
        ended = exact_rows(rows, table)
        store.rollups.replace(JOBS, f"cluster = ? AND {_IN}".format("end_time"), bounds, JOBS_FROM_ACCOUNTING, ended)
    elif table is JOB_MONITOR:
        used = job_usage_rows(exact_rows(rows, table))
        store.rollups.replace(JOB_USAGE, f"cluster = ? AND {_IN}".format("hour"), bounds, JOB_USAGE.column_names, used)
    elif table is NODE_STATE:
        out = node_history_rows(rows)
        store.rollups.replace(
            NODE_HISTORY, f"cluster = ? AND {_IN}".format("hour"), bounds, NODE_HISTORY.column_names, out
        )


_IN = "{0} >= ? AND {0} < ?"


def finish_jobs_of_day(store: Store, day: date) -> None:
    """Join the jobs with what the monitor saw of them, and add up usage, for all days that a day's readings touch."""
    bounds = day_bounds(day)
    ends = store.rollups.rows(f"{_TOUCHED} SELECT DISTINCT substr(end_time, 1, 10) AS day FROM touched", bounds * 2)
    statements: list[tuple[str, tuple[str, ...]]] = [(_JOIN_MONITOR, bounds * 2)]
    for touched in sorted({day.isoformat(), *(row["day"] for row in ends)}):
        hours = day_bounds(date.fromisoformat(touched))
        statements.append(("DELETE FROM usage_hourly WHERE hour >= ? AND hour < ?", hours))
        statements += [(statement, hours) for statement in _USAGE_STATEMENTS]
    store.rollups.run_together(statements)


# Jobs that ended on a day, or of which the monitor has a reading of that day.
_TOUCHED = """
WITH touched AS (
    SELECT * FROM jobs WHERE end_time >= ? AND end_time < ?
    UNION
    SELECT j.* FROM (SELECT DISTINCT cluster, job_id_raw FROM job_usage WHERE hour >= ? AND hour < ?) d
    JOIN jobs j ON j.cluster = d.cluster AND j.job_id_raw = d.job_id_raw
)"""

# A run's readings begin at its start and end with the epilog's, a little after its end; clocks of two hosts may differ.
_SAME_RUN = """u.cluster = j.cluster AND u.job_id_raw = j.job_id_raw AND j.start_time IS NOT NULL
    AND u.last_time >= strftime('%Y-%m-%dT%H:%M:%S', j.start_time, '-120 seconds')
    AND u.first_time <= strftime('%Y-%m-%dT%H:%M:%S', j.end_time, '+120 seconds')
    AND (u.run_start = '' OR u.run_start >= strftime('%Y-%m-%dT%H:%M:%S', j.start_time, '-120 seconds'))"""

# A job's column to the column of job_usage and how the nodes of a job are put together.
_JOINED = {
    "monitor_readings": ("sum(u.readings)", "sum"),
    "monitor_nodes": ("1", "sum"),
    "monitor_cpu_seconds": ("max(u.cpu_seconds)", "sum"),
    "memory_cgroup_peak_bytes": ("max(u.memory_peak_bytes)", "sum"),
    "network_read_bytes": ("max(u.network_read_bytes)", "sum"),
    "network_write_bytes": ("max(u.network_write_bytes)", "sum"),
    "local_read_bytes": ("max(u.local_read_bytes)", "sum"),
    "local_write_bytes": ("max(u.local_write_bytes)", "sum"),
    "read_bytes": ("max(u.read_bytes)", "sum"),
    "write_bytes": ("max(u.write_bytes)", "sum"),
    "write_peak_bytes_per_second": ("max(u.write_peak_bytes_per_second)", "max"),
    "swap_peak_bytes": ("max(u.swap_bytes)", "max"),
    "oom_kills": ("max(u.oom_kills)", "sum"),
    "gpu_memory_peak_bytes": ("max(u.gpu_memory_bytes)", "sum"),
}
assert list(_JOINED) == [column.name for column in MONITOR_COLUMNS]

_BY_NODE = ", ".join(f"{what} AS {name}" for name, (what, _) in _JOINED.items())
_OF_JOB = ", ".join(f"{how}({name}) AS {name}" for name, (_, how) in _JOINED.items())
_JOIN_MONITOR = f"""{_TOUCHED}
UPDATE jobs SET {", ".join(f"{name} = s.{name}" for name in _JOINED)}
FROM (
    SELECT cluster, job_id_raw, submit_time, {_OF_JOB}
    FROM (
        SELECT j.cluster, j.job_id_raw, j.submit_time, {_BY_NODE}
        FROM touched j JOIN job_usage u ON {_SAME_RUN}
        GROUP BY j.cluster, j.job_id_raw, j.submit_time, u.host, u.node
    ) GROUP BY cluster, job_id_raw, submit_time
) s
WHERE jobs.cluster = s.cluster AND jobs.job_id_raw = s.job_id_raw AND jobs.submit_time = s.submit_time"""

# Of running jobs, given as JSON list of number and start: the same sums so far, from the runs that began then.
USAGE_SO_FAR = f"""
SELECT job_id_raw, {_OF_JOB}
FROM (
    SELECT u.job_id_raw, {_BY_NODE}
    FROM (SELECT value ->> 0 AS job_id_raw, value ->> 1 AS start_time FROM json_each(?)) j
    JOIN job_usage u ON u.cluster = ? AND u.job_id_raw = j.job_id_raw
        AND u.last_time >= strftime('%Y-%m-%dT%H:%M:%S', j.start_time, '-120 seconds')
        AND (u.run_start = '' OR u.run_start >= strftime('%Y-%m-%dT%H:%M:%S', j.start_time, '-120 seconds'))
    GROUP BY u.job_id_raw, u.host, u.node
) GROUP BY job_id_raw"""

_MEASURED = "(cpu_seconds IS NOT NULL OR memory_seff_bytes IS NOT NULL OR monitor_readings IS NOT NULL)"

_SUMS = {
    "jobs": "count(*)",
    **{f"{name.lower()}_jobs": f"total(failure_class = {code})" for code, name in enumerate(OUTCOME_CLASSES)},
    "unknown_jobs": "total(failure_class IS NULL)",
    "started_jobs": "total(start_time IS NOT NULL)",
    "measured_jobs": f"total(start_time IS NOT NULL AND {_MEASURED})",
    "wait_seconds": "total(wait_seconds)",
    "elapsed_seconds": "total(elapsed_seconds)",
    "allocated_cpu_seconds": "total(elapsed_seconds * alloc_cpus)",
    "allocated_gpu_seconds": "total(elapsed_seconds * alloc_gpus)",
    "efficiency_cpu_seconds": "total(iif(elapsed_seconds * alloc_cpus > 0, cpu_seconds, NULL))",
    "efficiency_allocated_cpu_seconds": "total(iif(cpu_seconds IS NULL, NULL, elapsed_seconds * alloc_cpus))",
    "efficiency_memory_bytes": "total(iif(alloc_memory_bytes > 0, memory_seff_bytes, NULL))",
    "efficiency_allocated_memory_bytes": "total(iif(memory_seff_bytes IS NULL, NULL, alloc_memory_bytes))",
}
assert ("cluster", "dimension", "name", "hour", *_SUMS) == USAGE_HOURLY.column_names

_HOUR = "substr(end_time, 1, 13) || ':00:00.000Z'"
_INTEGERS = {column.name for column in USAGE_HOURLY.columns if column.type == "int64"}


def _usage_statement(dimension: str) -> str:
    """Return the statement that adds up the jobs of a day by hour and one dimension."""
    name = "''" if dimension == "cluster" else f"coalesce({dimension}, '')"
    sums = ", ".join(f"CAST({sql} AS INTEGER)" if key in _INTEGERS else sql for key, sql in _SUMS.items())
    return f"""
        INSERT INTO usage_hourly SELECT cluster, '{dimension}', {name}, {_HOUR}, {sums}
        FROM jobs WHERE end_time >= ? AND end_time < ? GROUP BY cluster, {name}, {_HOUR}"""


_USAGE_STATEMENTS = [_usage_statement(dimension) for dimension in DIMENSIONS]

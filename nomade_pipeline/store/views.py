"""The views of the rollup database: names and means beside the numbers, for people who write SQL."""

from __future__ import annotations

from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.job_rollups import USAGE_HOURLY
from nomade_pipeline.tables.nodes import NODE_STATE
from nomade_pipeline.tables.outcomes import FAILED_CLASSES
from nomade_pipeline.tables.slurm_queue import SLURM_QUEUE

_MEAN = "CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END"


def _series(rollup: str, time: str) -> str:
    return f"""
        SELECT s.cluster, s.table_name, s.host, s.subject, s.metric, r.{time}, r.count, r.seconds, r.sum, r.integral,
               {_MEAN} AS mean,
               r.min, r.max, r.last
        FROM {rollup} r JOIN series s ON s.series_id = r.series_id"""


def _means(table: Table, subject: str, rollup: str, time: str) -> str:
    """Return the query that shows the means of a raw table's quantities beside each other."""
    columns = ", ".join(
        f"max(CASE WHEN s.metric = '{measure.name}' THEN {_MEAN} END) AS {measure.name}" for measure in table.measures
    )
    return f"""
        SELECT s.cluster, s.host, s.subject AS {subject}, r.{time}, {columns}
        FROM {rollup} r JOIN series s ON s.series_id = r.series_id
        WHERE s.table_name = '{table.name}' GROUP BY s.cluster, s.host, s.subject, r.{time}"""


_SUMS = ", ".join(
    f"sum({column.name}) AS {column.name}" for column in USAGE_HOURLY.columns if column.name not in USAGE_HOURLY.key
)
_FAILED = ", ".join(map(str, FAILED_CLASSES))
_ARRAY = "cluster, array_job_id, user, account, partition, job_name"

VIEWS = {
    "hourly": _series("hourly_rollup", "hour"),
    "daily": _series("daily_rollup", "date"),
    "usage_daily": f"""
        SELECT cluster, dimension, name, substr(hour, 1, 10) AS date, {_SUMS}
        FROM usage_hourly GROUP BY cluster, dimension, name, substr(hour, 1, 10)""",
    "users": "\n        SELECT * FROM usage_daily WHERE dimension = 'user'",
    "accounts": "\n        SELECT * FROM usage_daily WHERE dimension = 'account'",
    "queue_hourly": _means(SLURM_QUEUE, "partition", "hourly_rollup", "hour"),
    "queue_daily": _means(SLURM_QUEUE, "partition", "daily_rollup", "date"),
    "nodes_hourly": _means(NODE_STATE, "node", "hourly_rollup", "hour"),
    "nodes_daily": _means(NODE_STATE, "node", "daily_rollup", "date"),
    "metrics_coverage": """
        SELECT cluster, date, started_jobs, measured_jobs,
               CAST(measured_jobs AS REAL) / nullif(started_jobs, 0) AS measured_ratio
        FROM usage_daily WHERE dimension = 'cluster'""",
    "arrays": f"""
        SELECT {_ARRAY}, count(*) AS tasks, sum(failure_class IN ({_FAILED})) AS failed_tasks,
               min(elapsed_seconds) AS elapsed_min_seconds, avg(elapsed_seconds) AS elapsed_mean_seconds,
               max(elapsed_seconds) AS elapsed_max_seconds, max(end_time) AS last_end_time
        FROM jobs WHERE array_job_id IS NOT NULL GROUP BY {_ARRAY}""",
}

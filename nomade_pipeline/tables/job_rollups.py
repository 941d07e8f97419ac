"""Contracts of the SQLite tables about jobs, who uses the cluster, and when nodes were out of use."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, Tuple

from nomade_pipeline.tables.contract import CLUSTER, ROLLUP, Column, Table
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_QUEUE

NOT_WATCHED = "the job monitor did not watch it, or could not read it"

# Columns of raw/job_metrics that stay in the lake, where a question about one job finds them.
_IN_THE_LAKE_ONLY = (
    "sluid",
    "group_name",
    "reservation",
    "comment",
    "work_dir",
    "alloc_tres",
    "user_cpu_seconds",
    "system_cpu_seconds",
    "gpu_memory_bytes",
    "gpu_util_percent",
)
_FROM_ACCOUNTING = tuple(c.name for c in JOB_METRICS.data_columns if c.name not in _IN_THE_LAKE_ONLY)


def _columns(table: Table, names: Iterable[str]) -> Tuple[Column, ...]:
    return tuple(table.column(name) for name in names)


def _watched(name: str, description: str, unit: str, type_: str = "int64") -> Column:
    return Column(name, type_, description, unit, NOT_WATCHED, minimum=0)


MONITOR_COLUMNS = (
    _watched("monitor_readings", "Readings of the job monitor.", "count"),
    _watched("monitor_nodes", "Nodes on which it watched.", "nodes"),
    _watched("monitor_cpu_seconds", "CPU time of its processes.", "seconds", "float64"),
    _watched("memory_cgroup_peak_bytes", "Largest memory in use on its nodes, added up: the cgroups' peaks.", "bytes"),
    _watched("network_read_bytes", "Bytes read from network file systems.", "bytes"),
    _watched("network_write_bytes", "Bytes written to network file systems.", "bytes"),
    _watched("local_read_bytes", "Bytes read from local file systems.", "bytes"),
    _watched("local_write_bytes", "Bytes written to local file systems.", "bytes"),
    _watched("read_bytes", "Bytes read by calls of any kind.", "bytes"),
    _watched("write_bytes", "Bytes written by calls of any kind.", "bytes"),
    _watched(
        "write_peak_bytes_per_second", "Highest write rate between two readings on one node.", "bytes/s", "float64"
    ),
    _watched("swap_peak_bytes", "Largest swap in use on one node.", "bytes"),
    _watched("oom_kills", "Processes that the kernel killed for lack of memory.", "kills"),
    _watched("gpu_memory_peak_bytes", "Largest GPU memory of its processes, its nodes added up.", "bytes"),
)

JOBS = Table(
    "jobs",
    ROLLUP,
    "One job that has ended: the accounting's record joined with what the job monitor saw of it.",
    (CLUSTER, *_columns(JOB_METRICS, _FROM_ACCOUNTING), JOB_METRICS.column("received_time"), *MONITOR_COLUMNS),
    key=("cluster", "job_id_raw", "submit_time"),
)

# Names of the columns of `jobs` that come from raw/job_metrics as they are.
JOBS_FROM_ACCOUNTING: Tuple[str, ...] = ("cluster", *_FROM_ACCOUNTING, "received_time")

JOB_USAGE = Table(
    "job_usage",
    ROLLUP,
    "What the job monitor saw of one job on one node in one hour; counters hold their largest value.",
    (
        CLUSTER,
        *_columns(JOB_MONITOR, ("job_id_raw", "node")),
        Column("host", "text", "Machine that took the readings."),
        Column("run_start", "text", "start_time of the readings as ISO 8601 text; empty when it was not known."),
        Column("hour", "time", "Beginning of the UTC hour.", "UTC"),
        Column("readings", "int64", "Readings.", "count", minimum=1),
        Column("first_time", "time", "First reading.", "UTC"),
        Column("last_time", "time", "Last reading.", "UTC"),
        Column("cpu_seconds", "float64", "CPU time.", "seconds", NOT_WATCHED, minimum=0),
        Column("memory_peak_bytes", "int64", "Largest memory in use.", "bytes", NOT_WATCHED, minimum=0),
        *_columns(
            JOB_MONITOR,
            (
                "network_read_bytes",
                "network_write_bytes",
                "local_read_bytes",
                "local_write_bytes",
                "read_bytes",
                "write_bytes",
                "write_peak_bytes_per_second",
                "swap_bytes",
                "oom_kills",
                "gpu_memory_bytes",
            ),
        ),
    ),
    key=("cluster", "job_id_raw", "node", "host", "run_start", "hour"),
)

CLASS_COLUMNS = tuple(
    Column(f"{name.lower()}_jobs", "int64", f"Jobs that ended as {name}.", "jobs", minimum=0)
    for name in OUTCOME_CLASSES
)

DIMENSIONS = ("cluster", "user", "account", "partition", "qos")

_USAGE = (
    Column("jobs", "int64", "Jobs that ended.", "jobs", minimum=0),
    *CLASS_COLUMNS,
    Column("unknown_jobs", "int64", "Jobs without an outcome class.", "jobs", minimum=0),
    Column("started_jobs", "int64", "Of the jobs those that ever ran.", "jobs", minimum=0),
    Column("measured_jobs", "int64", "Of these those with a measurement of CPU, memory or I/O.", "jobs", minimum=0),
    Column("wait_seconds", "float64", "Waiting time of the jobs that ran, added up.", "seconds", minimum=0),
    Column("elapsed_seconds", "float64", "Run time, added up.", "seconds", minimum=0),
    Column("allocated_cpu_seconds", "float64", "Run time x CPUs allocated.", "seconds", minimum=0),
    Column("allocated_gpu_seconds", "float64", "Run time x GPUs allocated.", "seconds", minimum=0),
    Column(
        "efficiency_cpu_seconds", "float64", "CPU time used by the jobs of which it is known.", "seconds", minimum=0
    ),
    Column("efficiency_allocated_cpu_seconds", "float64", "Run time x CPUs of these jobs.", "seconds", minimum=0),
    Column(
        "efficiency_memory_bytes", "float64", "seff's memory peak of the jobs of which it is known.", "bytes", minimum=0
    ),
    Column("efficiency_allocated_memory_bytes", "float64", "Memory allocated to these jobs.", "bytes", minimum=0),
)

USAGE_HOURLY = Table(
    "usage_hourly",
    ROLLUP,
    "The jobs that ended in one hour, of the whole cluster or of one user, account, partition or QOS.",
    (
        CLUSTER,
        Column("dimension", "text", "What the jobs are grouped by.", allowed=DIMENSIONS),
        Column("name", "text", "Name of the user, account, partition or QOS; empty: none was told."),
        Column("hour", "time", "Beginning of the UTC hour in which they ended.", "UTC"),
        *_USAGE,
    ),
    key=("cluster", "dimension", "name", "hour"),
)

AVAILABILITIES = ("down", "drained", "draining", "failing", "not_responding", "maintenance", "future", "unknown")

NODE_HISTORY = Table(
    "node_history",
    ROLLUP,
    "One stretch of one hour in which a node was out of use for one reason; stretches of neighbouring hours follow "
    "each other.",
    (
        CLUSTER,
        *_columns(NODE_STATE, ("node",)),
        Column("since_time", "time", "First reading of the stretch.", "UTC"),
        Column("until_time", "time", "Last reading of the stretch.", "UTC"),
        Column("hour", "time", "Beginning of the UTC hour.", "UTC"),
        Column("availability", "text", "In which way it was out of use.", allowed=AVAILABILITIES),
        Column("readings", "int64", "Readings.", "count", minimum=1),
        *_columns(NODE_STATE, ("state_raw", "reason", "reason_user", "reason_time")),
    ),
    key=("cluster", "node", "since_time"),
)

JOB_ROLLUP_TABLES: Tuple[Table, ...] = (JOBS, JOB_USAGE, USAGE_HOURLY, NODE_HISTORY)

_DATE = Column("date", "date", "UTC date.")
_HOUR = Column("hour", "time", "Beginning of the UTC hour.", "UTC")
_NAME = USAGE_HOURLY.column("name")


def _view(name: str, description: str, columns: Tuple[Column, ...]) -> Table:
    return Table(name, ROLLUP, description, (CLUSTER, *columns), key=())


def _means(source: Table, subject: str, time: Column) -> Tuple[Column, ...]:
    """Return the columns of a view that shows the mean of each quantity of a raw table beside each other."""
    means = (replace(each, type="float64", null="no value", decimals=None, rollup=False) for each in source.measures)
    return (source.column("host"), source.column(subject), time, *means)


JOB_VIEWS: Tuple[Table, ...] = (
    _view(
        "usage_daily", "usage_hourly added up by UTC day.", (USAGE_HOURLY.column("dimension"), _NAME, _DATE, *_USAGE)
    ),
    _view("users", "usage_daily of users.", (_NAME, _DATE, *_USAGE)),
    _view("accounts", "usage_daily of accounts.", (_NAME, _DATE, *_USAGE)),
    _view("queue_hourly", "Hourly means of slurm_queue.", _means(SLURM_QUEUE, "partition", _HOUR)),
    _view("queue_daily", "Daily means of slurm_queue.", _means(SLURM_QUEUE, "partition", _DATE)),
    _view("nodes_hourly", "Hourly means of node_state.", _means(NODE_STATE, "node", _HOUR)),
    _view("nodes_daily", "Daily means of node_state.", _means(NODE_STATE, "node", _DATE)),
    _view(
        "metrics_coverage",
        "The share of the jobs that ran and ended on one UTC day of which something was measured.",
        (
            _DATE,
            USAGE_HOURLY.column("started_jobs"),
            USAGE_HOURLY.column("measured_jobs"),
            Column("measured_ratio", "float64", "measured_jobs / started_jobs.", "ratio", "no job ran", minimum=0),
        ),
    ),
    _view(
        "arrays",
        "The tasks of one array that have ended: how many failed, and how their run times are spread.",
        (
            *_columns(JOBS, ("array_job_id", "user", "account", "partition", "job_name")),
            Column("tasks", "int64", "Tasks that ended.", "jobs", minimum=1),
            Column("failed_tasks", "int64", "Tasks that failed (classes 1, 3, 4, 5, 6).", "jobs", minimum=0),
            Column("elapsed_min_seconds", "float64", "Shortest run time.", "seconds", "not told", minimum=0),
            Column("elapsed_mean_seconds", "float64", "Mean run time.", "seconds", "not told", minimum=0),
            Column("elapsed_max_seconds", "float64", "Longest run time.", "seconds", "not told", minimum=0),
            Column("last_end_time", "time", "End of the last one.", "UTC"),
        ),
    ),
)

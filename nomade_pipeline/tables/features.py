"""The documented quantities of a job, the 17 that make its similarity vector, and the contract of `job_features`.

The one home of their names, units and definitions. Unlike most columns they keep the names and decimal units
(GB = 10⁹ B) of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from nomade_pipeline.tables.contract import CLUSTER, FEATURES, Column, Table
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS


@dataclass(frozen=True)
class Quantity:
    """One documented quantity of a job that has ended.

    Attributes:
        name: the reference's name; also the column.
        unit: decimal units.
        description: its definition.
        null: what null means.
        heavy_tailed: whether log1p comes before the z-score.
        in_vector: whether it is one of the 17 dimensions of the similarity vector.
        maximum: largest value that is possible, None for no bound.
        kind: logical type of the column.
    """

    name: str
    unit: str
    description: str
    null: str
    heavy_tailed: bool = False
    in_vector: bool = True
    maximum: Optional[float] = None
    kind: str = "float64"

    def column(self) -> Column:
        """Return its column."""
        flag = self.kind == "bool"
        unit, least = ("", None) if flag else (self.unit, 0)
        return Column(self.name, self.kind, self.description, unit, self.null, minimum=least, maximum=self.maximum)


_ACCOUNTING = "not in the accounting: no gathering, the job was shorter than one of its ticks, or it never ran"
_HOSTS = "no sample of the hosts that it ran on, during its run"
_WATCHED = "neither watched by the job monitor nor told by the accounting"

QUANTITIES: Tuple[Quantity, ...] = (
    Quantity(
        "health_score",
        "0-1",
        "0 catastrophic, 1 perfect; from the outcome class and from waste. It contains the outcome: it describes a "
        "job, it never predicts one.",
        "cancelled, never ran, or no class is known",
        in_vector=False,
        maximum=1,
    ),
    Quantity(
        "cpu_efficiency", "ratio", "CPU time of all steps / (elapsed x allocated CPUs), not clipped.", _ACCOUNTING
    ),
    Quantity("memory_efficiency", "ratio", "seff's memory peak / allocated memory, not clipped.", _ACCOUNTING),
    Quantity(
        "vram_gb",
        "GB",
        "Peak GPU memory over the job's GPUs; 0 for a job without GPU.",
        "it had a GPU and its memory was not measured, or the source does not tell GPUs",
        heavy_tailed=True,
    ),
    Quantity(
        "used_gpu",
        "flag",
        "It held a GPU and used it.",
        "it held one and its use was not measured, or the source does not tell GPUs",
        in_vector=False,
        kind="bool",
    ),
    Quantity(
        "had_swap",
        "flag",
        "Swap was in use in the job's cgroup.",
        "its cgroup was not read, or does not count swap",
        in_vector=False,
        kind="bool",
    ),
    Quantity(
        "total_write_gb",
        "GB",
        "Bytes written by its processes, as the job monitor saw them; else the accounting's sum over all steps.",
        _WATCHED,
        heavy_tailed=True,
    ),
    Quantity(
        "write_rate_mbps",
        "MB/s",
        "Highest write rate between two readings of the job monitor on one node.",
        "fewer than two readings of the job monitor",
        heavy_tailed=True,
    ),
    Quantity(
        "nfs_ratio",
        "0-1",
        "Bytes written to network file systems / bytes written to files.",
        "not watched by the job monitor, or it wrote nothing to files",
        maximum=1,
    ),
    Quantity("runtime_minutes", "min", "Run time without suspension.", "it never ran, or not told", heavy_tailed=True),
    Quantity(
        "write_intensity",
        "GB/min",
        "total_write_gb / runtime_minutes.",
        "one of the two is not known",
        heavy_tailed=True,
    ),
    Quantity("avg_iowait", "%", "CPU time idle with a disk request outstanding: mean over its hosts and time.", _HOSTS),
    Quantity("peak_iowait", "%", "Highest such reading of one of its hosts.", _HOSTS),
    Quantity("device_util", "%", "Mean over its hosts and time of the busiest whole physical disk.", _HOSTS),
    Quantity("avg_core_busy", "%", "Busy share of all cores: mean over its hosts and time.", _HOSTS, maximum=100),
    Quantity(
        "imbalance_ratio",
        "ratio",
        "Standard deviation / mean of the busy shares over the cores: mean over its hosts and time.",
        f"{_HOSTS}, or they were less than 1 % busy",
        heavy_tailed=True,
    ),
    Quantity("max_core_busy", "%", "Highest reading of the busiest core of one of its hosts.", _HOSTS, maximum=100),
    Quantity(
        "memory_pressure",
        "0-1",
        "Pressure of memory: mean over its hosts and time of the composite that raw/vmstat defines.",
        _HOSTS,
        maximum=1,
    ),
    Quantity(
        "swap_activity", "KB/s", "Highest rate of swapping in and out of one of its hosts.", _HOSTS, heavy_tailed=True
    ),
    Quantity(
        "procs_blocked", "count", "Processes blocked on I/O: mean over its hosts and time.", _HOSTS, heavy_tailed=True
    ),
)

QUANTITY: dict[str, Quantity] = {quantity.name: quantity for quantity in QUANTITIES}

# The similarity vector: without flags (`vram_gb` > 0 already says that a GPU was used) and without the score, which
# contains the outcome, so that what the network says about outcomes is not true by construction.
VECTOR: Tuple[str, ...] = tuple(quantity.name for quantity in QUANTITIES if quantity.in_vector)
assert len(VECTOR) == 17

# The fewest measured dimensions with which a job takes part in the similarity network.
LEAST_MEASURED = 5

_NOT_TOLD = "the source does not tell"
_NO_QUEUE = "the source does not tell when it was submitted, or whose it is"


def _gigabytes(name: str, description: str, null: str) -> Column:
    return Column(name, "float64", description, "GB", null, minimum=0)


def _minutes(name: str, description: str, null: str) -> Column:
    return Column(name, "float64", description, "min", null, minimum=0)


def _others(name: str, description: str) -> Column:
    return Column(name, "int64", f"{description} just before it was submitted.", "jobs", _NO_QUEUE, minimum=0)


AT_SUBMIT: Tuple[Column, ...] = (
    *(JOB_METRICS.column(name) for name in ("user", "account", "partition", "qos", "job_name")),
    *(JOB_METRICS.column(name) for name in ("req_cpus", "req_nodes", "req_gpus")),
    _gigabytes("req_memory_gb", "Memory asked for, all nodes together.", f"all of a node's, or {_NOT_TOLD}"),
    _minutes("time_limit_minutes", "Time limit.", "unlimited, the partition's, or not told"),
    Column("submit_hour", "int32", "UTC hour of its submission.", "hour", minimum=0, maximum=23),
    Column("submit_weekday", "int32", "UTC day of the week; Monday is 0.", "day", minimum=0, maximum=6),
    Column("is_array_task", "bool", "It is a task of an array."),
    _others("user_waiting", "Jobs of its user that waited"),
    _others("user_running", "Jobs of its user that ran"),
    _others("partition_waiting", "Jobs of its partition that waited"),
    _others("partition_running", "Jobs of its partition that ran"),
)

AT_START: Tuple[Column, ...] = (
    JOB_METRICS.column("start_time"),
    _minutes("wait_minutes", "Start minus submission.", "it never started, or the source has no submit time"),
    *(JOB_METRICS.column(name) for name in ("node_list", "alloc_nodes", "alloc_cpus", "alloc_gpus")),
)

JOB_FEATURES = Table(
    "job_features",
    FEATURES,
    "One job that has ended: what was known of it at its submission and start, its outcome, and the documented "
    "quantities; of the day on which it ended.",
    (
        CLUSTER,
        JOB_METRICS.column("job_id_raw"),
        JOB_METRICS.column("submit_time"),
        JOB_METRICS.column("job_id"),
        Column("sample_time", "time", "When it ended.", "UTC"),
        JOB_METRICS.column("failure_class"),
        *(quantity.column() for quantity in QUANTITIES),
        Column(
            "measured",
            "int32",
            "Dimensions of the similarity vector that are not null.",
            "count",
            minimum=0,
            maximum=17,
        ),
        JOB_METRICS.column("class_source"),
        JOB_METRICS.column("state"),
        Column(
            "coverage_ratio",
            "float64",
            "Time of its run on its hosts that samples of CPUs, cores and memory cover / the time that they should.",
            "ratio",
            "it never ran, or its nodes are not told",
            minimum=0,
            maximum=1,
        ),
        Column(
            "shared_host",
            "bool",
            "Several Slurm nodes share one of its hosts, so that system quantities hold other nodes' load too.",
            null="its nodes are not known to node_state",
        ),
        _gigabytes("network_write_gb", "Bytes that it wrote to network file systems.", "not watched by the monitor"),
        _gigabytes("local_write_gb", "Bytes that it wrote to local file systems.", "not watched by the monitor"),
        *AT_SUBMIT,
        *AT_START,
    ),
    key=("cluster", "job_id_raw", "submit_time"),
    rollup_by=(),
)

# Two quantities that are correlated as strongly as this say the same.
REDUNDANT = 0.95

_WINDOW_END = Column("sample_time", "time", "Beginning of the last UTC day of the window.", "UTC")
_QUANTITY = Column("quantity", "text", "One of the documented quantities.")


def _correlation(name: str, description: str) -> Column:
    null = "fewer than three jobs with both, or one of the two does not vary"
    return Column(name, "float64", description, "-1 to 1", null, minimum=-1, maximum=1)


FEATURE_CORRELATION = Table(
    "feature_correlation",
    FEATURES,
    "How two documented quantities go together in the jobs of a window that have both.",
    (
        CLUSTER,
        _QUANTITY,
        Column("other", "text", "The other one, behind it in their order."),
        _WINDOW_END,
        Column("jobs", "int64", "Jobs that have both.", "jobs", minimum=0),
        _correlation("pearson", "Pearson's correlation; of heavy-tailed quantities of log(1 + x)."),
        _correlation("spearman", "Spearman's: Pearson's of the ranks, each among all jobs that have the quantity."),
        Column("redundant", "bool", f"Either is {REDUNDANT} or more in size: the two say the same."),
    ),
    key=("cluster", "quantity", "other"),
    rollup_by=(),
)

_UNMEASURED = "of no job of the window it was measured"


def _of_quantity(name: str, description: str) -> Column:
    return Column(name, "float64", description, "of the quantity", _UNMEASURED)


def _loading(number: int, word: str) -> Column:
    description = f"Its part in the {word} principal component of the normalised vectors."
    return Column(f"loading_{number}", "float64", description, "-1 to 1", "no dimension of the vector, or too few vary")


FEATURE_VARIANCE = Table(
    "feature_variance",
    FEATURES,
    "How one documented quantity is spread in the jobs of a window.",
    (
        CLUSTER,
        _QUANTITY,
        _WINDOW_END,
        Column("jobs", "int64", "Jobs of the window.", "jobs", minimum=0),
        Column("measured_jobs", "int64", "Jobs of which it was measured.", "jobs", minimum=0),
        Column(
            "measured_ratio", "float64", "measured_jobs / jobs.", "ratio", "the window is empty", minimum=0, maximum=1
        ),
        _of_quantity("mean", "Mean."),
        _of_quantity("std", "Standard deviation (population)."),
        _of_quantity("minimum", "Smallest value."),
        *(_of_quantity(f"p{rank:02}", f"{rank} % of the values lie at or below it.") for rank in (5, 25, 50, 75, 95)),
        _of_quantity("maximum", "Largest value."),
        Column("constant", "bool", "It was measured and does not vary, so that it tells no job from another."),
        Column(
            "variance_ratio",
            "float64",
            "Its share of the variance of the normalised vectors: what it weighs in the similarity network.",
            "ratio",
            "no dimension of the vector, or none varies",
            minimum=0,
            maximum=1,
        ),
        _loading(1, "first"),
        _loading(2, "second"),
        _loading(3, "third"),
    ),
    key=("cluster", "quantity"),
    rollup_by=(),
)

FEATURE_TABLES: Tuple[Table, ...] = (JOB_FEATURES, FEATURE_CORRELATION, FEATURE_VARIANCE)

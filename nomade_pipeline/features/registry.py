"""What is known of a job when: every column of `job_features` declares its sources and from which moment it is known.

A predictor for a moment takes no feature that is known later (`known_by`). Unit, description and the meaning of null
are the column's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from nomade_pipeline.tables.contract import Column
from nomade_pipeline.tables.features import AT_START, AT_SUBMIT, JOB_FEATURES
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB
from nomade_pipeline.tables.system import IOSTAT, IOSTAT_CPU, MPSTAT_SUMMARY, VMSTAT

# Moments of a job's life, in their order. What is known while it runs are measurements up to a moment; `job_features`
# holds those of whole runs, which are known at the end.
SUBMIT, START, RUNNING, END = MOMENTS = ("submit", "start", "running", "end")


@dataclass(frozen=True)
class Feature:
    """One declared feature.

    Attributes:
        column: name, unit, description, meaning of null.
        availability: one of `MOMENTS`.
        sources: names of the tables that it is made from; empty where it is made from other features.
        while_running: whether the same quantity can be measured up to a moment of the run.
    """

    column: Column
    availability: str
    sources: tuple[str, ...]
    while_running: bool = False


_RECORD, _WATCHED = (JOB_METRICS.name,), (JOB_METRICS.name, JOB_MONITOR.name)
_QUEUE = (JOB_METRICS.name, SLURM_JOB.name)

# The quantities that are made from samples of the hosts, and those that the job monitor gives.
_SYSTEM = {
    IOSTAT_CPU.name: ("avg_iowait", "peak_iowait"),
    IOSTAT.name: ("device_util",),
    MPSTAT_SUMMARY.name: ("avg_core_busy", "imbalance_ratio", "max_core_busy"),
    VMSTAT.name: ("memory_pressure", "swap_activity", "procs_blocked"),
}
_MONITORED = (
    "cpu_efficiency",
    "vram_gb",
    "used_gpu",
    "had_swap",
    "total_write_gb",
    "write_rate_mbps",
    "nfs_ratio",
    "write_intensity",
    "network_write_gb",
    "local_write_gb",
)


def _declared() -> dict[str, Feature]:
    """Return the declarations by name.

    Raises:
        KeyError: a declaration has no column.
    """
    at_end: dict[str, tuple[tuple[str, ...], bool]] = {
        **dict.fromkeys(("sample_time", "failure_class", "class_source", "state"), (_RECORD, False)),
        **dict.fromkeys(_MONITORED, (_WATCHED, True)),
        **{name: ((table, NODE_STATE.name), True) for table, names in _SYSTEM.items() for name in names},
        "memory_efficiency": (_RECORD, False),
        "runtime_minutes": (_RECORD, False),
        "health_score": ((), False),
        "measured": ((), False),
        "coverage_ratio": ((IOSTAT_CPU.name, MPSTAT_SUMMARY.name, VMSTAT.name), True),
        "shared_host": ((NODE_STATE.name,), True),
    }
    asked = ("cluster", "job_id_raw", "submit_time", "job_id", *(column.name for column in AT_SUBMIT))
    counted = {"user_waiting", "user_running", "partition_waiting", "partition_running"}
    found = [
        *(Feature(JOB_FEATURES.column(name), SUBMIT, _QUEUE if name in counted else _RECORD) for name in asked),
        *(Feature(column, START, _RECORD) for column in AT_START),
        *(Feature(JOB_FEATURES.column(name), END, *told) for name, told in at_end.items()),
    ]
    return {feature.column.name: feature for feature in found}


FEATURES: dict[str, Feature] = _declared()


def known_by(moment: str) -> tuple[str, ...]:
    """Return the names of the columns of `job_features` that may serve a prediction at a moment.

    Args:
        moment: one of `MOMENTS`. While a job runs nothing of `job_features` is known beyond what its start told.

    Raises:
        ValueError: there is no such moment.
    """
    last = MOMENTS.index(moment)
    return tuple(name for name in JOB_FEATURES.column_names if MOMENTS.index(FEATURES[name].availability) <= last)

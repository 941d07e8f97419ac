"""Contract of `job_metrics`: every job that has ended, once, with what it asked for, used and came to."""

from __future__ import annotations

from typing import Optional

from nomade_pipeline.tables.contract import Column, event_table
from nomade_pipeline.tables.outcomes import CLASS_SOURCES, JOB_FLAGS, JOB_STATES

NOT_TOLD = "the source does not tell"
NOT_MEASURED = "not measured: no accounting gathering, the job was shorter than one of its ticks, or it never started"
NO_GPU_TOLD = "the source does not tell TRES"


def _count(name: str, description: str, null: Optional[str] = NOT_TOLD) -> Column:
    return Column(name, "int64", description, "count", null, minimum=0)


def _bytes(name: str, description: str, null: str = NOT_TOLD) -> Column:
    return Column(name, "int64", description, "bytes", null, minimum=0)


def _seconds(name: str, description: str, null: Optional[str] = NOT_TOLD, decimals: int = 3) -> Column:
    return Column(name, "float64", description, "seconds", null, minimum=0, decimals=decimals)


def _time(name: str, description: str, null: Optional[str]) -> Column:
    return Column(name, "time", description, "UTC", null)


def _text(name: str, description: str, null: Optional[str] = NOT_TOLD) -> Column:
    return Column(name, "text", description, null=null)


def _ratio(name: str, description: str) -> Column:
    return Column(name, "float64", description, "ratio", NOT_MEASURED, minimum=0, decimals=4)


IDENTITY = (
    Column("job_id_raw", "text", "Slurm's plain job number (`JobIDRaw`); of an array task or het component its own."),
    _time("submit_time", "When it was submitted; a requeued job has a new one. See submit_time_source.", None),
    Column(
        "submit_time_source",
        "text",
        "submit: as told; start, end: the source has no submit time and this one stands for it.",
        allowed=("submit", "start", "end"),
    ),
    _text("job_id", "Job number as people write it: `123`, `123_4` (array task), `123+1` (het component)."),
    _text("array_job_id", "Number of the array that the job is a task of.", "no array task"),
    Column("array_task_id", "int64", "Index within the array.", "index", "no array task", minimum=0),
    _text("het_job_id", "Number of the heterogeneous job that it is a component of.", "no het component"),
    Column(
        "het_job_offset", "int64", "Component within the heterogeneous job.", "index", "no het component", minimum=0
    ),
    _text("sluid", "Slurm's unique identity of the job (26.05 and newer).", "an older Slurm"),
    Column("restarts", "int64", "How often the job had been restarted.", "count", NOT_TOLD, minimum=0),
)

WHO = (
    _text("user", "User who submitted it."),
    _text("group_name", "Unix group."),
    _text("account", "Account that it is charged to."),
    _text("partition", "Partition that it ran in, or waited for."),
    _text("qos", "Quality of service."),
    _text("reservation", "Reservation that it ran in.", "none, or the source does not tell"),
    _text("job_name", "Name that the user gave it; anything may stand in it."),
    _text("comment", "Comment that the user gave it.", "none, or the source does not tell"),
    _text("work_dir", "Working directory."),
)

WHEN = (
    _time("eligible_time", "When it could first have been started.", NOT_TOLD),
    _time("start_time", "When it started.", "it never started"),
    _time("end_time", "When it ended; decides hour and day.", None),
    _seconds("wait_seconds", "Start minus submission.", "it never started, or the source has no submit time", 0),
    _seconds("elapsed_seconds", "Run time without suspension.", NOT_TOLD, 0),
    _seconds("suspended_seconds", "Time suspended.", NOT_TOLD, 0),
    _seconds("time_limit_seconds", "Time limit.", "see time_limit_kind", 0),
    Column(
        "time_limit_kind",
        "text",
        "limited: time_limit_seconds holds; unlimited; partition: the partition's limit; unknown: the source does not "
        "tell.",
        allowed=("limited", "unlimited", "partition", "unknown"),
    ),
)

REQUEST = (
    _count("req_cpus", "CPUs asked for."),
    _count("alloc_cpus", "CPUs allocated; threads where a CPU is a thread.", "it never started"),
    _count("req_nodes", "Nodes asked for."),
    _count("alloc_nodes", "Nodes allocated.", "it never started"),
    _bytes(
        "req_memory_bytes", "Memory asked for, all nodes together; 0 in the request means all of a node's and is null."
    ),
    _bytes("alloc_memory_bytes", "Memory allocated, all nodes together.", "the source does not tell TRES"),
    _count("req_gpus", "GPUs asked for.", NO_GPU_TOLD),
    _count("alloc_gpus", "GPUs allocated; 0: none. MIG slices count, shards do not.", NO_GPU_TOLD),
    _text("gpu_types", "Types of the GPUs, sorted and joined by `,`.", "none, or no type was told"),
    _text("node_list", "Nodes as Slurm writes them, `n[001-004]`.", "it never started"),
    _text("alloc_tres", "Trackable resources allocated, as told.", "it never started, or not told"),
)

OUTCOME = (
    _text("state_raw", "State as Slurm told it, `CANCELLED by 1000`."),
    Column(
        "state",
        "text",
        "State without its appendages.",
        null="the source has no state, or one that is in no list",
        allowed=(*JOB_STATES, *JOB_FLAGS),
    ),
    Column(
        "failure_class",
        "int32",
        "Outcome class: 0 SUCCESS, 1 TIMEOUT, 2 CANCELLED, 3 FAILED, 4 OOM, 5 SEGFAULT, 6 NODE_FAIL, 7 DEPENDENCY.",
        "class",
        "the source has no state",
        minimum=0,
        maximum=7,
    ),
    Column("class_source", "text", "What the outcome class was found by.", allowed=CLASS_SOURCES),
    Column(
        "cancelled_by_uid",
        "int64",
        "Number of the user who cancelled it.",
        "uid",
        "not cancelled, or not told",
        minimum=0,
    ),
    Column("exit_code", "int64", "Exit status of the batch script.", "status", NOT_TOLD, minimum=0),
    Column("exit_signal", "int64", "Signal that ended the batch script; 0: none.", "signal", NOT_TOLD, minimum=0),
    Column("derived_exit_code", "int64", "Largest exit status of its steps.", "status", NOT_TOLD, minimum=0),
    Column("derived_exit_signal", "int64", "Signal of that step.", "signal", NOT_TOLD, minimum=0),
    Column("oom_killed", "bool", "A step ended as OUT_OF_MEMORY.", null="no step was told"),
    _text("reason", "Why it last waited, as Slurm told it.", "it never waited, or not told"),
)

USE = (
    _count(
        "steps",
        "Steps told beside the allocation, batch and extern included; 0: the source tells allocations only.",
        None,
    ),
    _seconds("user_cpu_seconds", "CPU time in user mode over all steps.", NOT_MEASURED),
    _seconds("system_cpu_seconds", "CPU time in kernel mode over all steps.", NOT_MEASURED),
    _seconds("cpu_seconds", "CPU time over all steps.", NOT_MEASURED),
    _ratio("cpu_efficiency_ratio", "cpu_seconds / (elapsed_seconds x alloc_cpus); seff's definition, not clipped."),
    _bytes(
        "memory_seff_bytes",
        "seff's peak: the largest over the steps of the sum of their tasks' peaks (TRESUsageInTot mem).",
        NOT_MEASURED,
    ),
    _bytes(
        "memory_max_rss_tasks_bytes", "reportseff's peak: the largest over the steps of MaxRSS x NTasks.", NOT_MEASURED
    ),
    _bytes("memory_max_rss_bytes", "The largest task (MaxRSS over the steps).", NOT_MEASURED),
    _ratio("memory_efficiency_ratio", "memory_seff_bytes / alloc_memory_bytes, not clipped."),
    _ratio(
        "memory_tasks_efficiency_ratio",
        "memory_max_rss_tasks_bytes / req_memory_bytes, reportseff's definition, not clipped.",
    ),
    _bytes("disk_read_bytes", "Bytes read over all steps (TRESUsageInTot fs/disk).", NOT_MEASURED),
    _bytes("disk_write_bytes", "Bytes written over all steps (TRESUsageOutTot fs/disk).", NOT_MEASURED),
    _bytes("gpu_memory_bytes", "Peak GPU memory over tasks (TRESUsageInTot gres/gpumem).", NOT_MEASURED),
    Column(
        "gpu_util_percent",
        "float64",
        "Peak GPU utilisation, the tasks' added up (TRESUsageInTot gres/gpuutil); above 100 with several.",
        "percent",
        NOT_MEASURED,
        minimum=0,
    ),
    Column(
        "energy_joules",
        "float64",
        "Energy of its nodes (ConsumedEnergyRaw); valid where it had them alone.",
        "joules",
        "no energy plugin, or not told",
        minimum=0,
    ),
)

JOB_METRICS = event_table(
    "job_metrics",
    "One job that has ended, its steps merged, from `sacct` or an imported file; a requeued job has a row a run.",
    (*IDENTITY, *WHO, *WHEN, *REQUEST, *OUTCOME, *USE),
    collector="job_metrics",
    identity=("job_id_raw", "submit_time"),
    own_time="end_time",
)

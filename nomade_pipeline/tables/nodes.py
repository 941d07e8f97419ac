"""Contracts of the tables about nodes and about the jobs that run on them."""

from __future__ import annotations

from typing import Optional

from nomade_pipeline.tables.contract import Column, raw_table
from nomade_pipeline.tables.slurm_queue import FINDING_COLUMNS

NOT_TOLD = "not told"


def _amount(
    name: str, description: str, unit: str = "count", null: Optional[str] = NOT_TOLD, *, rollup: bool = False
) -> Column:
    return Column(name, "int64", description, unit, null, minimum=0, rollup=rollup)


def _text(name: str, description: str, null: Optional[str] = NOT_TOLD) -> Column:
    return Column(name, "text", description, null=null)


def _time(name: str, description: str, null: str = NOT_TOLD) -> Column:
    return Column(name, "time", description, "UTC", null)


# Base states of a node, as Slurm's documentation lists them.
NODE_STATES = ("UNKNOWN", "DOWN", "IDLE", "ALLOCATED", "ERROR", "MIXED", "FUTURE")

NODE_STATE = raw_table(
    "node_state",
    "One node at one moment, from `scontrol show node`; a node of several partitions has one row.",
    (
        Column("node", "text", "Slurm's name of the node."),
        _text("node_host", "Short lower-case host name of the machine; several nodes share it in a lab."),
        Column("state_raw", "text", "State as Slurm told it, `MIXED+DRAIN`."),
        Column("state", "text", "Base state.", null="a state that is in no list", allowed=NODE_STATES),
        _text("flags", "Flags, sorted and joined by `,`: DRAIN, NOT_RESPONDING, MAINTENANCE ….", "none"),
        Column(
            "responding",
            "int32",
            "1: it answers the controller; 0: it does not.",
            "flag",
            minimum=0,
            maximum=1,
            rollup=True,
        ),
        Column(
            "usable",
            "int32",
            "1: jobs can start on it now, once it is free or powered up; 0: down, drained, draining, failing, not "
            "responding, in maintenance or future.",
            "flag",
            minimum=0,
            maximum=1,
            rollup=True,
        ),
        Column("drained", "int32", "1: it is drained or draining.", "flag", minimum=0, maximum=1, rollup=True),
        _text("partitions", "Partitions, sorted and joined by `,`.", "none"),
        _text("reason", "Why it is drained or down, as the admin wrote it.", "no reason is set"),
        _text("reason_user", "Who set the reason.", "no reason is set, or not told"),
        _time("reason_time", "When the reason was set.", "no reason is set, or not told"),
        _amount("cpus", "CPUs.", "CPUs", rollup=True),
        _amount("cpus_allocated", "CPUs allocated.", "CPUs", rollup=True),
        Column(
            "cpu_load",
            "float64",
            "Load average of 5 minutes.",
            "processes",
            NOT_TOLD,
            minimum=0,
            decimals=2,
            rollup=True,
        ),
        _amount("memory_bytes", "Memory that Slurm may give out.", "bytes", rollup=True),
        _amount("memory_allocated_bytes", "Memory allocated.", "bytes", rollup=True),
        _amount(
            "memory_free_bytes", "Memory free, as the node's kernel says; caches are not free.", "bytes", rollup=True
        ),
        _amount("gpus", "GPUs; MIG slices count, shards do not.", "GPUs", rollup=True),
        _amount("gpus_allocated", "GPUs allocated.", "GPUs", rollup=True),
        _text("gpu_types", "Types of the GPUs, sorted and joined by `,`.", "none, or no type is configured"),
        _text("gres", "Generic resources, as told.", "none"),
        _text("features", "Active features.", "none"),
        _text("version", "Release of its slurmd."),
        _time("boot_time", "When the machine was booted."),
        _time("slurmd_start_time", "When its slurmd started."),
        _time("last_busy_time", "When it last had a job."),
    ),
    collector="node_state",
    subject=("node",),
)

NOT_READ = "could not be read; see unread"
NO_CGROUP = "no cgroup of the job could be read"
HOOKS_ONLY = "only the epilog tells"

JOB_MONITOR = raw_table(
    "job_monitor",
    "One running job on one host at one moment: its processes added up. Counters cover the processes since they began "
    "and never fall: a process that ended keeps its last reading, unless its parent has taken it over. The hooks add "
    "a row at the job's begin and a final one after its end.",
    (
        Column("job_id_raw", "text", "Slurm's plain job number."),
        Column("node", "text", "Slurm's name of the node; a host may carry several in a lab."),
        _time("start_time", "When the job started on this host, from its oldest process.", "not known"),
        _text("user", "User that the processes belong to; the number of one without a name."),
        Column(
            "found_by",
            "text",
            "How its processes were found; `slurmstepd`: only Slurm's own was seen; `prolog` and `epilog`: the hook "
            "tells, the prolog without readings.",
            allowed=("cgroup", "listpids", "environ", "slurmstepd", "prolog", "epilog"),
        ),
        Column("is_final", "bool", "The last reading, taken by the epilog after the job."),
        _amount("processes", "Processes alive; Slurm's own do not count.", "processes", "a hook's row"),
        Column(
            "unread", "int32", "Processes of which something could not be read: no permission.", "processes", minimum=0
        ),
        Column(
            "cpu_seconds",
            "float64",
            "CPU time: the cgroup's, else that of the processes.",
            "seconds",
            NOT_READ,
            minimum=0,
            decimals=2,
        ),
        _amount(
            "memory_bytes",
            "Memory in use: the cgroup's, its file cache included, else the sum of resident sizes.",
            "bytes",
            NOT_READ,
        ),
        _amount("memory_cache_bytes", "Of memory_bytes the file cache, which the kernel can drop.", "bytes", NO_CGROUP),
        _amount(
            "memory_peak_bytes",
            "Largest memory in use: the cgroup's own peak, its file cache included, else the largest seen.",
            "bytes",
            NOT_READ,
        ),
        _amount(
            "memory_used_peak_bytes", "Largest memory in use without file cache that a reading saw.", "bytes", NOT_READ
        ),
        _amount("memory_limit_bytes", "Limit of the cgroup.", "bytes", "no cgroup, or no limit"),
        Column(
            "memory_source",
            "text",
            "What the memory was read from.",
            null=NOT_READ,
            allowed=("cgroup", "rss", "sstat"),
        ),
        _amount("swap_bytes", "Swap in use.", "bytes", "no cgroup of the job could be read, or it does not count swap"),
        _amount("oom_kills", "Processes that the kernel killed for lack of memory.", "kills", NO_CGROUP),
        _amount("network_read_bytes", "Of read_bytes what came from network file systems.", "bytes", NOT_READ),
        _amount("network_write_bytes", "Of write_bytes what went to network file systems.", "bytes", NOT_READ),
        _amount("local_read_bytes", "Of read_bytes what came from local file systems.", "bytes", NOT_READ),
        _amount("local_write_bytes", "Of write_bytes what went to local file systems.", "bytes", NOT_READ),
        _amount(
            "read_bytes",
            "Bytes read by `read` calls of any kind: from the cache, pipes and sockets too (rchar).",
            "bytes",
            NOT_READ,
        ),
        _amount(
            "write_bytes",
            "Bytes written by `write` calls of any kind, to pipes and sockets too (wchar).",
            "bytes",
            NOT_READ,
        ),
        _amount(
            "unattributed_write_bytes",
            "Of write_bytes what went to pipes, sockets and devices or could not be told network from local.",
            "bytes",
            NOT_READ,
        ),
        Column(
            "write_peak_bytes_per_second",
            "float64",
            "Highest write rate between two readings so far.",
            "bytes/s",
            "fewer than two readings",
            minimum=0,
            decimals=0,
        ),
        _text(
            "gpu_uuids", "UUIDs of the GPUs that its processes use, sorted and joined by `,`.", "none, or no nvidia-smi"
        ),
        Column(
            "gpu_util_percent",
            "float64",
            "Mean utilisation of these GPUs, by whomever.",
            "percent",
            "no GPU in use, or not told",
            minimum=0,
            maximum=100,
            decimals=2,
        ),
        _amount("gpu_memory_bytes", "GPU memory of its processes.", "bytes", "no GPU in use, or not told"),
        _amount("restarts", "How often Slurm has started the job again.", "restarts", "not told"),
        _text("account", "Account.", "only the hooks tell"),
        _text("partition", "Partition.", "only the hooks tell"),
        _amount("cpus", "CPUs that the job has on this node.", "CPUs", "only the hooks tell"),
        Column("exit_code", "int64", "Exit status of the job.", "status", HOOKS_ONLY, minimum=0),
        Column("exit_signal", "int64", "Signal that ended the job; 0: none.", "signal", HOOKS_ONLY, minimum=0),
    ),
    collector="job_monitor",
    subject=("job_id_raw", "node"),
    transient=True,
)

JOB_FINDING = raw_table(
    "job_finding",
    "One thing that is wrong with one job on one node at one moment, as the node's processes show it.",
    (
        Column(
            "finding",
            "text",
            "job_without_processes: running on the node, and no process belongs to it; processes_without_job: "
            "processes of a job that does not run there (zombies).",
            allowed=("job_without_processes", "processes_without_job"),
        ),
        Column("node", "text", "Slurm's name of the node."),
        *FINDING_COLUMNS,
    ),
    collector="job_monitor",
    subject=("finding", "job_id_raw", "node"),
    transient=True,
)

"""Contracts of the tables that the `slurm` collector fills: the queue, its jobs, the scheduler, shares, findings."""

from __future__ import annotations

from typing import Optional

from nomade_pipeline.tables.contract import Column, Table, raw_table
from nomade_pipeline.tables.outcomes import JOB_FLAGS, JOB_STATES, REASON_CLASSES

NO_JOB = "no such job"
NOT_TOLD = "this release of Slurm does not tell"
NOT_ANSWERED = "it did not answer"

# The row of a table by partition that counts every job of the cluster once.
WHOLE_CLUSTER = "(cluster)"


def _jobs(name: str, description: str, null: Optional[str] = None) -> Column:
    return Column(name, "int64", description, "jobs", null, minimum=0, rollup=True)


def _amount(
    name: str, description: str, unit: str = "count", null: Optional[str] = None, *, rollup: bool = True
) -> Column:
    return Column(name, "int64", description, unit, null, minimum=0, rollup=rollup)


def _seconds(
    name: str, description: str, null: Optional[str] = NO_JOB, *, rollup: bool = True, decimals: int = 0
) -> Column:
    return Column(name, "float64", description, "seconds", null, minimum=0, decimals=decimals, rollup=rollup)


def _time(name: str, description: str, null: str) -> Column:
    return Column(name, "time", description, "UTC", null)


def _text(name: str, description: str, null: Optional[str] = "not told") -> Column:
    return Column(name, "text", description, null=null)


PARTITION = Column(
    "partition",
    "text",
    f"Partition. A job that waits for several counts in each; the row `{WHOLE_CLUSTER}` counts every job once.",
)

SLURM_QUEUE = raw_table(
    "slurm_queue",
    "The queue of one partition at one moment, from `squeue`; array tasks and components of heterogeneous jobs count "
    "one by one.",
    (
        PARTITION,
        _jobs("pending_jobs", "Waiting."),
        _jobs("running_jobs", "Running, configuring included."),
        _jobs("suspended_jobs", "Suspended."),
        _jobs("completing_jobs", "Ended, their nodes not yet free."),
        _jobs("other_jobs", "In any other state."),
        _amount("pending_cpus", "CPUs that the waiting jobs ask for."),
        _amount("running_cpus", "CPUs that the running jobs hold."),
        _amount("pending_nodes", "Nodes that the waiting jobs ask for."),
        _amount("running_nodes", "Nodes that the running jobs are on, a shared one once a job."),
        _amount("pending_gpus", "GPUs that the waiting jobs ask for.", null=NOT_TOLD),
        _amount("running_gpus", "GPUs that the running jobs hold.", null=NOT_TOLD),
        _amount("users", "Users with a job here."),
        _seconds(
            "wait_mean_seconds",
            "Mean over the waiting jobs of the time since they became eligible, else were submitted; one that is not "
            "to start before a time to come does not count.",
        ),
        _seconds("wait_median_seconds", "Median of the same."),
        _seconds("wait_max_seconds", "Longest of the same."),
        _jobs(
            "started_jobs",
            "Jobs that started since the collector's run before and are still in the queue.",
            "there was no run before",
        ),
        _seconds("started_wait_mean_seconds", "Mean waiting time of the jobs that started since the run before."),
    ),
    collector="slurm",
    subject=("partition",),
)

SLURM_PENDING = raw_table(
    "slurm_pending",
    "The waiting jobs of one partition that wait for one kind of reason, at one moment.",
    (
        PARTITION,
        Column(
            "reason_class",
            "text",
            "Kind of reason; the manual explains each under `why is my job waiting`.",
            allowed=REASON_CLASSES,
        ),
        _jobs("jobs", "Jobs, array tasks one by one."),
        _amount("cpus", "CPUs that they ask for."),
        _seconds("wait_max_seconds", "Longest waiting time among them."),
        _text("example_reason", "Reason of the one that waits longest, as Slurm told it.", "no reason was told"),
    ),
    collector="slurm",
    subject=("partition", "reason_class"),
    transient=True,
)

SLURM_PARTITION = raw_table(
    "slurm_partition",
    "One partition and its nodes at one moment, from `sinfo`; a node counts in each of its partitions.",
    (
        Column("partition", "text", "Partition."),
        Column(
            "state", "text", "Whether it takes and starts jobs.", allowed=("up", "down", "drain", "inact", "unknown")
        ),
        Column("is_default", "bool", "Jobs that name no partition go here."),
        _amount("nodes", "Nodes."),
        _amount("nodes_allocated", "Nodes that work and have all CPUs allocated."),
        _amount("nodes_mixed", "Nodes that work and have some CPUs allocated."),
        _amount("nodes_idle", "Nodes that work and have none allocated; powered down is no fault."),
        _amount(
            "nodes_unavailable",
            "Nodes that take no job: down, drained or draining, failing, not responding, in maintenance, rebooting.",
        ),
        _amount("cpus", "CPUs.", "CPUs", NOT_TOLD),
        _amount("cpus_allocated", "CPUs allocated.", "CPUs", NOT_TOLD),
        _amount("cpus_idle", "CPUs free and able to work.", "CPUs", NOT_TOLD),
        _amount("cpus_other", "CPUs out of use.", "CPUs", NOT_TOLD),
        _seconds("time_limit_seconds", "Longest time limit.", "unlimited, or not told", rollup=False),
    ),
    collector="slurm",
    subject=("partition",),
)

_CYCLE = "no cycle yet, or this release does not tell"

SLURM_SCHEDULER = raw_table(
    "slurm_scheduler",
    "Scheduler and accounting daemon at one moment: whether they answer, how fast, and what `sdiag` says.",
    (
        Column("controller", "text", "Host of the controller that answers.", null=NOT_ANSWERED),
        Column("controller_up", "bool", "A controller answered `scontrol ping`."),
        _amount("backups_down", "Backup controllers that are down.", "controllers", "not asked"),
        Column("dbd_up", "bool", "slurmdbd answered.", null="accounting does not go through slurmdbd"),
        _seconds("ping_seconds", "How long `scontrol ping` took.", NOT_ANSWERED, decimals=4),
        _seconds("dbd_ping_seconds", "How long slurmdbd's answer took.", NOT_ANSWERED, decimals=4),
        _seconds("squeue_seconds", "How long `squeue` took.", NOT_ANSWERED, decimals=4),
        _amount("server_threads", "Threads of slurmctld at work.", "threads", null=NOT_TOLD),
        _amount("agent_queue", "Messages to nodes that wait.", "messages", null=NOT_TOLD),
        _amount("dbd_agent_queue", "Messages to slurmdbd that wait.", "messages", null=NOT_TOLD),
        _amount("jobs_submitted", "Jobs submitted since sdiag's counters began.", "jobs", null=NOT_TOLD, rollup=False),
        _amount("jobs_started", "Jobs started since then.", "jobs", null=NOT_TOLD, rollup=False),
        _amount("jobs_completed", "Jobs completed since then.", "jobs", null=NOT_TOLD, rollup=False),
        _amount("jobs_canceled", "Jobs cancelled since then.", "jobs", null=NOT_TOLD, rollup=False),
        _amount("jobs_failed", "Jobs failed since then.", "jobs", null=NOT_TOLD, rollup=False),
        _time("counters_since", "When sdiag's counters began: they are reset at midnight UTC.", NOT_TOLD),
        _seconds("cycle_last_seconds", "Length of the last scheduling cycle.", _CYCLE, decimals=6),
        _seconds("cycle_mean_seconds", "Mean length of a scheduling cycle.", _CYCLE, decimals=6),
        _seconds("cycle_max_seconds", "Longest scheduling cycle.", _CYCLE, decimals=6),
        _amount("queue_length", "Jobs that the last cycle looked at.", "jobs", null=NOT_TOLD),
        _seconds("backfill_last_seconds", "Length of the last backfill cycle.", _CYCLE, decimals=6),
        _seconds("backfill_mean_seconds", "Mean length of a backfill cycle.", _CYCLE, decimals=6),
        _amount("backfill_depth", "Jobs that the last backfill cycle looked at.", "jobs", null=NOT_TOLD),
        _amount(
            "backfilled_jobs", "Jobs started by backfill since the counters began.", "jobs", null=NOT_TOLD, rollup=False
        ),
    ),
    collector="slurm",
)

SLURM_JOB = raw_table(
    "slurm_job",
    "One job in the queue. A full picture once an hour and at the collector's start, between them the jobs that "
    "changed and those that left. Priority and, of a waiting job, expected times change all the time: they do not make "
    "a job a changed one.",
    (
        Column(
            "job_id_raw",
            "text",
            "Slurm's plain job number; waiting tasks of an array share one row. Where a text that was parsed has it "
            "only as people write it, that.",
        ),
        Column(
            "kind",
            "text",
            "full: part of a full picture; changed: new or changed since the run before; gone: no longer in the queue, "
            "with the state that it was last seen in.",
            allowed=("full", "changed", "gone"),
        ),
        _text("job_id", "Job number as people write it: `123`, `123_4`, `123_[5-9%2]`, `123+1`.", None),
        _text("array_job_id", "Number of the array.", "no array"),
        _amount(
            "tasks",
            "Jobs that the row stands for: waiting array tasks, else 1.",
            "jobs",
            "the list of tasks is cut off, or the job is gone",
            rollup=False,
        ),
        _text("user", "User."),
        _text("account", "Account."),
        _text("partition", "Partitions as told: several, joined by `,`, while it waits."),
        _text("qos", "Quality of service."),
        _text("job_name", "Name that the user gave it; anything may stand in it."),
        Column("state_raw", "text", "State as Slurm told it."),
        Column("state", "text", "State.", null="a state that is in no list", allowed=(*JOB_STATES, *JOB_FLAGS)),
        _text("reason", "Why it waits, as Slurm told it.", "it does not wait"),
        Column("reason_class", "text", "Kind of reason.", null="it does not wait", allowed=REASON_CLASSES),
        Column("priority", "int64", "Priority.", "points", "not told", minimum=0),
        _amount("cpus", "CPUs.", "CPUs", "not told", rollup=False),
        _amount("nodes", "Nodes.", "nodes", "not told", rollup=False),
        _amount("memory_bytes", "Memory asked for, all nodes together.", "bytes", "not told", rollup=False),
        _amount("gpus", "GPUs.", "GPUs", "not told", rollup=False),
        _text("node_list", "Nodes as Slurm writes them.", "it does not run"),
        _text("dependency", "What it depends on.", "nothing"),
        _text("reservation", "Reservation.", "none"),
        _time("submit_time", "When it was submitted.", "not told"),
        _time("eligible_time", "When it could first start.", "not told, or not yet known"),
        _time("start_time", "When it started; of a waiting job when it is expected to.", "not known"),
        _time("end_time", "When its time limit ends; of a completing job when it ended.", "not known, or no limit"),
        _seconds("time_limit_seconds", "Time limit.", "unlimited, or not told", rollup=False),
    ),
    collector="slurm",
    subject=("job_id_raw",),
    transient=True,
)

SLURM_SHARE = raw_table(
    "slurm_share",
    "Fairshare of one association at one moment, from `sshare`, every ten minutes.",
    (
        Column("account", "text", "Account."),
        Column("user", "text", "User; empty for the account itself."),
        Column("partition", "text", "Partition that the association holds for; empty for all."),
        Column("raw_shares", "int64", "Shares given to it.", "shares", "they are the parent's", minimum=0),
        Column(
            "share_ratio",
            "float64",
            "Its part by its shares: among its siblings where the fair-tree algorithm is used (the default), else of "
            "the cluster.",
            "ratio",
            "not told",
            minimum=0,
            decimals=6,
        ),
        Column(
            "raw_usage_seconds", "float64", "Decayed usage, TRES-weighted seconds.", "seconds", "not told", minimum=0
        ),
        Column(
            "usage_ratio",
            "float64",
            "Its part of the effective usage, of the same whole as share_ratio.",
            "ratio",
            "not told",
            minimum=0,
            decimals=6,
        ),
        Column("fairshare", "float64", "Fairshare factor.", "factor", "not told", minimum=0, decimals=6),
        Column(
            "usage_per_share_ratio",
            "float64",
            "usage_ratio / share_ratio: 1 is balanced, above it has used more than its share.",
            "ratio",
            "no share or no usage told",
            minimum=0,
            decimals=4,
            rollup=True,
        ),
    ),
    collector="slurm",
    subject=("account", "user", "partition"),
    transient=True,
)

SLURM_PRIORITY = raw_table(
    "slurm_priority",
    "What the priority of one waiting job is made of, from `sprio`, every ten minutes.",
    (
        Column("job_id_raw", "text", "Job number."),
        Column("partition", "text", "Partition that this priority holds for; empty where sprio does not tell."),
        _text("user", "User."),
        *(
            Column(name, "float64", description, "points", "not told", decimals=4)
            for name, description in (
                ("priority", "The whole priority."),
                ("site", "Part set by the site."),
                ("age", "Part by waiting time."),
                ("association", "Part by association."),
                ("fairshare_points", "Part by fairshare."),
                ("job_size", "Part by size."),
                ("partition_points", "Part by partition."),
                ("qos_points", "Part by quality of service."),
                ("nice", "Taken off by `--nice`."),
            )
        ),
        _text("tres", "Parts by trackable resource, as told.", "none"),
    ),
    collector="slurm",
    subject=("job_id_raw", "partition"),
    transient=True,
)

SLURM_RESERVATION = raw_table(
    "slurm_reservation",
    "One reservation at one moment, from `scontrol show reservation`.",
    (
        Column("reservation", "text", "Name."),
        _text("state", "ACTIVE or INACTIVE, as told."),
        _time("start_time", "Beginning.", "not told"),
        _time("end_time", "End.", "not told, or unlimited"),
        _text("node_list", "Nodes.", "none"),
        _amount("nodes", "Number of nodes.", "nodes", "not told", rollup=False),
        _amount("cpus", "Number of CPUs.", "CPUs", "not told", rollup=False),
        _text("partition", "Partition.", "any"),
        _text("users", "Users that may use it.", "not by user"),
        _text("accounts", "Accounts that may use it.", "not by account"),
        _text("flags", "Flags, `MAINT` among them.", "none"),
    ),
    collector="slurm",
    subject=("reservation",),
    transient=True,
)

FINDING_COLUMNS = (
    Column("job_id_raw", "text", "Job number."),
    _text("user", "User."),
    _text("partition", "Partition."),
    _time("since_time", "Since when.", "not known"),
    Column("message", "text", "What was found, for a person."),
)

SLURM_RUNAWAY = raw_table(
    "slurm_runaway",
    "One job that runs for the accounting and is unknown to the scheduler, looked for once an hour.",
    FINDING_COLUMNS,
    collector="slurm",
    subject=("job_id_raw",),
    transient=True,
)

SLURM_TABLES: tuple[Table, ...] = (
    SLURM_QUEUE,
    SLURM_PENDING,
    SLURM_PARTITION,
    SLURM_SCHEDULER,
    SLURM_JOB,
    SLURM_SHARE,
    SLURM_PRIORITY,
    SLURM_RESERVATION,
    SLURM_RUNAWAY,
)

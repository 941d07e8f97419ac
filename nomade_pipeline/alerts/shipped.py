"""The rules that are on without a line of configuration; their thresholds are those of `[alerts]`."""

from __future__ import annotations

from dataclasses import replace

from nomade_pipeline.alerts.policy import DAY, HOUR, MINUTE, Policy
from nomade_pipeline.alerts.rule import (
    ABSENCE,
    ACCELERATION,
    FINDING,
    FORECAST,
    GROWTH,
    JUMP,
    STATE,
    THRESHOLD,
    Rule,
)
from nomade_pipeline.config.settings import Config
from nomade_pipeline.tables.slurm_queue import WHOLE_CLUSTER

GB, WEEK = 1e9, 7 * DAY
# What users can fill: blocks that are reserved for root are not theirs.
DISK_LIMIT = "used_bytes + available_bytes"
# The file cache of a cgroup grows to its limit with every job that reads much: no job is killed for it.
JOB_MEMORY = "memory_used_peak_bytes"
# A file system that hovers at its threshold must not come and go.
HYSTERESIS_PERCENT = 2.0
# Rules whose subjects come and go within minutes.
_BRIEF = 10 * MINUTE

SCHEDULER, NODE_DOWN = "scheduler-unreachable", "node-down"


def _rule(name: str, summary: str, kind: str, *, policy: Policy | None = None, **about: object) -> Rule:
    chosen = Policy(name) if policy is None else replace(policy, rule=name)
    return Rule(name=name, summary=summary, kind=kind, policy=chosen, **about)  # type: ignore[arg-type]


def _policy(**about: object) -> Policy:
    return Policy("", **about)  # type: ignore[arg-type]


def shipped_rules(config: Config) -> tuple[Rule, ...]:
    """Return the shipped rules with the thresholds of a configuration."""
    return (*_storage(config), *_load(config), *_cluster(), *_queue(config), _silence())


def _storage(config: Config) -> tuple[Rule, ...]:
    alerts = config.alerts
    warning, critical = alerts.disk_warning_percent, alerts.disk_critical_percent
    clear = warning - HYSTERESIS_PERCENT
    return (
        _rule("disk-full", "A file system is nearly full.", THRESHOLD, table="disk", column="used_percent",
              warning=warning, critical=critical, clear=clear),
        _rule("inodes-full", "A file system has nearly no inodes left: no file can be made although there is space.",
              THRESHOLD, table="disk", column="inodes_used_percent", warning=warning, critical=critical, clear=clear),
        _rule("disk-forecast", "A file system will be full within days, with 90 % confidence.", FORECAST,
              table="disk", column="used_bytes", limit=DISK_LIMIT, warning=7.0, critical=1.0, per="day",
              window_seconds=WEEK, ok_word="clean-up in progress", ahead_of="disk-full"),
        _rule("disk-filling", "A file system will be full within hours: something writes fast.", FORECAST,
              table="disk", column="used_percent", limit=100.0, warning=4.0, critical=1.0, per="hour",
              window_seconds=8 * HOUR, ok_word="clean-up in progress", ahead_of="disk-full",
              policy=_policy(for_seconds=15 * MINUTE)),
        _rule("inodes-forecast", "A file system will have no inodes left within days.", FORECAST,
              table="disk", column="inodes_used", limit="inodes_total", warning=7.0, critical=1.0, per="day",
              window_seconds=WEEK, ok_word="clean-up in progress", ahead_of="inodes-full"),
        _rule("disk-acceleration", "A file system fills faster and faster.", ACCELERATION, table="disk",
              column="used_bytes", limit=DISK_LIMIT, warning=alerts.derivatives.disk_acceleration_warning * GB,
              per="day", window_seconds=WEEK, ok_word="clean-up in progress", ahead_of="disk-full"),
        _rule("disk-jump", "The fullness of a file system has risen at once.", JUMP, table="disk",
              column="used_percent", warning=20.0, window_seconds=8 * HOUR),
        _rule("disk-not-answering", "A file system does not answer: what touches it hangs.", STATE,
              table="disk", column="status", bad={"hung": "critical", "error": "warning"},
              subject=("host", "mount"), policy=_policy(for_seconds=2 * MINUTE, inhibited_by=(NODE_DOWN,))),
        _rule("nfs-latency", "Reads from a network file system take long.", THRESHOLD, table="nfs",
              column="read_rtt_seconds", subject=("host", "mount"), warning=0.1, critical=0.5, clear=0.08,
              policy=_policy(for_seconds=5 * MINUTE)),
        _rule("nfs-write-latency", "Writes to a network file system take long.", THRESHOLD, table="nfs",
              column="write_rtt_seconds", subject=("host", "mount"), warning=0.2, critical=1.0, clear=0.16,
              policy=_policy(for_seconds=5 * MINUTE)),
        _rule("nfs-latency-acceleration", "The latency of a network file system rises faster and faster.",
              ACCELERATION, table="nfs", column="read_rtt_seconds", warning=0.02, per="hour",
              window_seconds=2 * HOUR, ok_word="load decreasing", ahead_of="nfs-latency"),
    )  # fmt: skip


def _load(config: Config) -> tuple[Rule, ...]:
    job = _policy(vanished_seconds=_BRIEF, clear_for_seconds=MINUTE, repeat_seconds=0.0, escalate_seconds=0.0)
    return (
        _rule("job-memory-forecast", "A job will reach the memory that it asked for, and then be killed.", FORECAST,
              table="job_monitor", column=JOB_MEMORY, limit="memory_limit_bytes", warning=1.0, critical=0.25,
              per="hour", window_seconds=HOUR, policy=job),
        _rule("job-memory-leak", "The memory of a job grows without a pause.", GROWTH, table="job_monitor",
              column=JOB_MEMORY, warning=4 * GB, per="hour", window_seconds=2 * HOUR,
              policy=replace(job, for_seconds=30 * MINUTE)),
        _rule("gpu-temperature", "A GPU is too hot and will slow down.", THRESHOLD, table="gpu",
              column="temperature_celsius", warning=config.alerts.gpu_temp_warning,
              critical=config.alerts.gpu_temp_warning + 10, clear=config.alerts.gpu_temp_warning - 3,
              ok_word="cooling down", policy=_policy(for_seconds=2 * MINUTE)),
    )  # fmt: skip


def _cluster() -> tuple[Rule, ...]:
    return (
        _rule(SCHEDULER, "slurmctld does not answer: nothing starts, and nobody can submit.", STATE,
              table="slurm_scheduler", column="controller_up", bad={"false": "critical"},
              policy=_policy(clear_for_seconds=MINUTE)),
        _rule("slurmdbd-unreachable", "slurmdbd does not answer: accounting waits, limits may be out of date.", STATE,
              table="slurm_scheduler", column="dbd_up", bad={"false": "warning"},
              policy=_policy(clear_for_seconds=MINUTE)),
        _rule(NODE_DOWN, "A node is down or does not respond; its jobs are lost or in doubt.", STATE,
              table="node_state", column="state", bad={"DOWN": "critical", "ERROR": "critical"},
              policy=_policy(clear_for_seconds=MINUTE, inhibited_by=(SCHEDULER,))),
        _rule("node-drained", "A node takes no new jobs.", STATE, table="node_state", column="drained",
              bad={"1": "warning"}, policy=_policy(clear_for_seconds=MINUTE, repeat_seconds=DAY, escalate_seconds=0.0,
                                                   inhibited_by=(SCHEDULER, NODE_DOWN))),
    )  # fmt: skip


def _queue(config: Config) -> tuple[Rule, ...]:
    calm = _policy(repeat_seconds=DAY, escalate_seconds=0.0, inhibited_by=(SCHEDULER,))
    return (
        _rule("queue-acceleration", "The queue grows faster and faster.", ACCELERATION, table="slurm_queue",
              column="pending_jobs", where={"partition": (WHOLE_CLUSTER,)},
              warning=config.alerts.derivatives.queue_acceleration_warning, per="hour", window_seconds=2 * DAY,
              ok_word="draining normally", policy=replace(calm, for_seconds=10 * MINUTE)),
        _rule("failure-rate", "Many of the jobs that ended within two hours failed.", THRESHOLD,
              table="job_outcomes", column="failed_percent", warning=30.0, critical=60.0, clear=20.0, policy=calm),
        _rule("failure-rate-acceleration", "The share of failing jobs rises faster and faster.", ACCELERATION,
              table="job_outcomes", column="failed_percent", warning=2.0, per="hour", window_seconds=6 * HOUR,
              ok_word="issue resolving", ahead_of="failure-rate", policy=calm),
        _rule("stuck-job", "A job waits for what waiting cannot clear, or hangs at its end.", FINDING,
              column="stuck", policy=calm),
        _rule("zombie-job", "Processes without a job, a job without processes, or a job that the accounting alone "
              "knows.", FINDING, column="lost", policy=calm),
        _rule("array-failures", "The tasks of an array fail, or take very differently long.", FINDING,
              column="arrays", policy=calm),
        _rule("fairshare-imbalance", "An account has used far more or far less than its share.", FINDING,
              column="shares", severity="info", policy=replace(calm, for_seconds=HOUR)),
        _rule("job-drift", "The jobs of the last days are unlike those before: what was learnt from them may no longer "
              "hold.", STATE, table="job_drift", column="level", bad={"watch": "info", "drift": "warning"},
              policy=_policy(repeat_seconds=7 * DAY, escalate_seconds=0.0)),
    )  # fmt: skip


def _silence() -> Rule:
    return _rule(
        "collector-silent",
        "Nothing comes from a collector, or from a whole host.",
        ABSENCE,
        warning=1.0,
        policy=_policy(for_seconds=5 * MINUTE, inhibited_by=(NODE_DOWN,), vanished_seconds=2 * DAY),
    )

"""What rules look at, in the words in which it is told: the sentences of the alerts. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from nomade_pipeline.alerts import words
from nomade_pipeline.alerts.drift_source import JOB_DRIFT
from nomade_pipeline.alerts.evidence import Sample
from nomade_pipeline.alerts.policy import DAY
from nomade_pipeline.alerts.rule import (
    ABSENCE,
    ACCELERATION,
    FINDING,
    FORECAST,
    GROWTH,
    STATE,
    UNITS_OF_TIME,
    Rule,
    text_of,
)
from nomade_pipeline.alerts.sources import JOB_OUTCOMES, VIEWS
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.contract import Column, Table
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.slurm_queue import SLURM_JOB, SLURM_QUEUE, SLURM_SCHEDULER, WHOLE_CLUSTER
from nomade_pipeline.tables.system import DISK, GPU, NFS

# Every table that a rule may look at, by name.
TABLES: Mapping[str, Table] = {table.name: table for table in RAW_TABLES} | VIEWS


@dataclass(frozen=True)
class Phrase:
    """How a quantity is told.

    Attributes:
        value: what follows the subject, with a place for the value.
        noun: the quantity itself.
        share: what follows the subject, with a place for the part of the limit that is used up.
        reached: what it is when its limit is reached.
    """

    value: str
    noun: str
    share: str = ""
    reached: str = "at its limit"


_PHRASES: Mapping[tuple[str, str], Phrase] = {
    (DISK.name, "used_percent"): Phrase(" is {} full", "fullness", "", "full"),
    (DISK.name, "used_bytes"): Phrase(" holds {}", "used space", " is {} full", "full"),
    (DISK.name, "inodes_used_percent"): Phrase(" has {} of its inodes in use", "use of inodes"),
    (DISK.name, "inodes_used"): Phrase(
        " has {} inodes in use", "number of inodes", " has {} of its inodes in use", "out of inodes"
    ),
    (NFS.name, "read_rtt_seconds"): Phrase(": reads take {}", "time of a read"),
    (NFS.name, "write_rtt_seconds"): Phrase(": writes take {}", "time of a write"),
    (GPU.name, "temperature_celsius"): Phrase(" has {}", "temperature"),
    (JOB_MONITOR.name, "memory_used_peak_bytes"): Phrase(
        " has needed {} of memory", "memory", " has needed {} of its memory"
    ),
    (SLURM_QUEUE.name, "pending_jobs"): Phrase(": {} wait", "number of waiting jobs"),
    (JOB_OUTCOMES.name, "failed_percent"): Phrase(
        ": {} of the jobs that ended within two hours failed", "share of failing jobs"
    ),
}

_STATES: Mapping[tuple[str, str], Mapping[str, str]] = {
    (DISK.name, "status"): {
        "hung": " does not answer",
        "error": " cannot be read",
        "denied": " may not be read",
        "ok": " answers",
    },
    (NODE_STATE.name, "drained"): {"1": " is drained", "0": " takes jobs"},
    (JOB_DRIFT.name, "level"): {
        "drift": ": the jobs have changed",
        "watch": ": the jobs may have changed",
        "stable": ": the jobs are as before",
    },
    (SLURM_SCHEDULER.name, "controller_up"): {"false": ": slurmctld does not answer", "true": ": slurmctld answers"},
    (SLURM_SCHEDULER.name, "dbd_up"): {"false": ": slurmdbd does not answer", "true": ": slurmdbd answers"},
}

_NOUNS = {
    DISK.name: "file system",
    NODE_STATE.name: "node",
    GPU.name: "GPU",
    NFS.name: "NFS mount",
    JOB_MONITOR.name: "job",
    SLURM_JOB.name: "job",
    SLURM_QUEUE.name: "partition",
    JOB_OUTCOMES.name: "partition",
}


def phrase_of(rule: Rule) -> Phrase:
    """Return how the judged quantity is told; a column without words of its own goes by its name."""
    return _PHRASES.get((rule.table, rule.column), Phrase(f": {rule.column} is {{}}", rule.column))


def state_of(rule: Rule, sample: Sample) -> str:
    """Return what follows the subject when a state is told."""
    value = text_of(sample.row[rule.column])
    known = _STATES.get((rule.table, rule.column), {})
    return known.get(value, f" is {value}" if rule.column == "state" else f": {rule.column} is {value}")


def threshold_of(rule: Rule, value: float | None) -> str | None:
    """Return a threshold of a rule with its unit, None without one."""
    if value is None:
        return None
    if rule.kind == FORECAST:
        return words.in_days(value * UNITS_OF_TIME[rule.per] / DAY)
    if rule.kind == ABSENCE:
        return f"{value:g} of a host"
    per = {GROWTH: f"/{rule.per}", ACCELERATION: f"/{rule.per}²"}.get(rule.kind, "")
    return words.quantity(value, column_of(rule).unit) + per


def when_told(rule: Rule, severity: str) -> str:
    """Return from when on a rule speaks at a severity: a threshold or values; empty when it never does."""
    if rule.kind == FINDING:
        return "always" if severity == rule.severity else ""
    if rule.kind == STATE:
        return ", ".join(value for value, each in rule.bad.items() if each == severity)
    return threshold_of(rule, rule.levels.get(severity)) or ""


def column_of(rule: Rule) -> Column:
    """Return the contract of the column that a rule judges."""
    return TABLES[rule.table].column(rule.column)


def label(rule: Rule, sample: Sample) -> str:
    """Return what a sample is about, for people: ``file system /scratch on n3``, ``node n7``, ``cluster alpha``."""
    if sample.subject in ("", WHOLE_CLUSTER):
        return f"cluster {sample.cluster}"
    host = sample.host
    place = sample.subject.removeprefix(f"{host}:").removesuffix(f":{host}") if host else sample.subject
    where = f" on {host}" if place != sample.subject else ""
    return f"{_NOUNS.get(rule.table, '')} {place}{where}".strip()

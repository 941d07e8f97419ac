"""What Slurm's words mean: states of jobs and nodes, reasons why a job waits, and the outcome class of a job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import FrozenSet, Optional, Set, Tuple

from nomade_pipeline.tables import outcomes
from nomade_pipeline.tables.nodes import NODE_STATES
from nomade_pipeline.tables.outcomes import JOB_FLAGS, JOB_STATES

_KNOWN_STATES = frozenset((*JOB_STATES, *JOB_FLAGS))
_CANCELLED_BY = re.compile(r"CANCELLED by (\d+)")

# Short forms of `squeue -o %t`.
_COMPACT = {
    "PD": "PENDING", "R": "RUNNING", "S": "SUSPENDED", "CD": "COMPLETED", "CA": "CANCELLED", "F": "FAILED",
    "TO": "TIMEOUT", "NF": "NODE_FAIL", "PR": "PREEMPTED", "BF": "BOOT_FAIL", "DL": "DEADLINE", "OOM": "OUT_OF_MEMORY",
    "CG": "COMPLETING", "CF": "CONFIGURING", "RQ": "REQUEUED", "RF": "REQUEUE_FED", "RH": "REQUEUE_HOLD",
    "RS": "RESIZING", "RD": "RESV_DEL_HOLD", "RV": "REVOKED", "SI": "SIGNALING", "SE": "SPECIAL_EXIT",
    "SO": "STAGE_OUT", "ST": "STOPPED",
}  # fmt: skip


def parse_job_state(text: Optional[str]) -> Tuple[Optional[str], Optional[int]]:
    """Return the state without its appendages, and who cancelled the job if that is told.

    ``CANCELLED by 1000``, a cut ``CANCELLED+`` and the short forms are read; a state that is in no list is None
    and must be counted, never defaulted.
    """
    stripped = (text or "").strip()
    by = _CANCELLED_BY.fullmatch(stripped)
    if by:
        return "CANCELLED", int(by.group(1))
    if stripped in _KNOWN_STATES:
        return stripped, None
    if stripped in _COMPACT:
        return _COMPACT[stripped], None
    if stripped.endswith("+"):
        meant = [state for state in _KNOWN_STATES if state.startswith(stripped[:-1])]
        return (meant[0], None) if len(meant) == 1 and len(stripped) > 3 else (None, None)
    return None, None


# The states from which a job does not come back under the same submission.
ENDED_STATES: FrozenSet[str] = frozenset(
    ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY",
     "REVOKED", "LAUNCH_FAILED", "REQUEUED", "SPECIAL_EXIT")
)  # fmt: skip

# States that tell the outcome by themselves; the others are unsuccessful ends whose cause is looked for.
_CLASS_OF_STATE = {
    "COMPLETED": outcomes.SUCCESS,
    "TIMEOUT": outcomes.TIMEOUT,
    "DEADLINE": outcomes.TIMEOUT,
    "CANCELLED": outcomes.CANCELLED,
    "PREEMPTED": outcomes.CANCELLED,
    "REVOKED": outcomes.CANCELLED,
    "REQUEUED": outcomes.CANCELLED,
    "OUT_OF_MEMORY": outcomes.OOM,
    "NODE_FAIL": outcomes.NODE_FAIL,
    "BOOT_FAIL": outcomes.NODE_FAIL,
    "LAUNCH_FAILED": outcomes.NODE_FAIL,
}

# Signals of a program error: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT.
CRASH_SIGNALS = frozenset((11, 7, 4, 8, 6))


@dataclass(frozen=True)
class End:
    """What is known of how a job ended.

    Attributes:
        state: see `parse_job_state`; None when the source has none.
        started: whether it ever ran.
        reason: why it last waited.
        exit_code, exit_signal: of the batch script or, if that tells nothing, of its steps.
        oom_killed: the kernel is known to have killed one of its processes for lack of memory.
    """

    state: Optional[str]
    started: bool = True
    reason: Optional[str] = None
    exit_code: Optional[int] = None
    exit_signal: Optional[int] = None
    oom_killed: bool = False


def outcome_class(end: End) -> Tuple[Optional[int], str]:
    """Return the outcome class of a job and what it was found by; the first match wins (domain: job outcomes).

    None for a job that has not ended, or whose source has no state, or one that is in no list.
    """
    if end.state is None or end.state not in ENDED_STATES:
        return None, "unknown"
    if end.state == "CANCELLED" and not end.started and "dependency" in (end.reason or "").lower():
        return outcomes.DEPENDENCY, "reason"
    if end.state in _CLASS_OF_STATE:
        return _CLASS_OF_STATE[end.state], "state"
    if end.oom_killed:
        return outcomes.OOM, "oom_kill"
    return (outcomes.SEGFAULT, "signal") if _crashed(end) else (outcomes.FAILED, "state")


def _crashed(end: End) -> bool:
    by_shell = end.exit_code is not None and end.exit_code - 128 in CRASH_SIGNALS
    return end.exit_signal in CRASH_SIGNALS or by_shell


# Beginnings of Slurm's reasons, lower case without underscores and blanks; the longest that fits counts.
_REASONS = {
    "none": "none",
    "resources": "resources",
    "frontenddown": "node_unavailable",
    "priority": "priority",
    "dependency": "dependency",
    "jobheld": "held",
    "jobholdmaxrequeue": "held",
    "jobrequeuedinheldstate": "held",
    "launchfailedrequeuedheld": "held",
    "accountnotallowed": "limit",
    "accountingpolicy": "limit",
    "assoc": "limit",
    "qos": "limit",
    "maxjob": "limit",
    "maxmem": "limit",
    "maxcpu": "limit",
    "maxnode": "limit",
    "maxwall": "limit",
    "maxtres": "limit",
    "maxgres": "limit",
    "maxbilling": "limit",
    "group": "limit",
    "grp": "limit",
    "invalidaccount": "limit",
    "invalidqos": "limit",
    "jobarraytasklimit": "limit",
    "begintime": "begin_time",
    "deadline": "other",
    "cleaning": "other",
    "reqnodenotavail": "node_unavailable",
    "nodedown": "node_unavailable",
    "badconstraints": "node_unavailable",
    "configuring": "resources",
    "nodesrequiredforjobaredown": "node_unavailable",
    "reserved": "reservation",
    "reservation": "reservation",
    "reservationdeleted": "reservation",
    "licenses": "licence",
    "partition": "partition",
    "userheld": "held",
    "admin": "held",
}
_SEPARATORS = re.compile(r"[\s_()]+")


def reason_class(reason: Optional[str]) -> str:
    """Return the kind of a pending reason, one of `REASON_CLASSES`.

    Node lists after the word (``ReqNodeNotAvail, UnavailableNodes:n[1-9]``) do not matter, so the set stays closed.
    """
    word = _SEPARATORS.sub("", (reason or "").split(",")[0]).lower()
    if not word or word == "null":
        return "none"
    fitting = [beginning for beginning in _REASONS if word.startswith(beginning)]
    return _REASONS[max(fitting, key=len)] if fitting else "other"


# Suffixes of a node state in sinfo's short form.
_NODE_SUFFIXES = {
    "*": "NOT_RESPONDING", "~": "POWERED_DOWN", "#": "POWERING_UP", "!": "POWER_DOWN", "%": "POWERING_DOWN",
    "$": "MAINTENANCE", "@": "REBOOT_REQUESTED", "^": "REBOOT_ISSUED", "-": "PLANNED",
}  # fmt: skip
# Words of sinfo that join a base state and a flag.
_NODE_WORDS = {
    "ALLOC": ("ALLOCATED",), "MIX": ("MIXED",), "COMP": ("COMPLETING",), "UNK": ("UNKNOWN",),
    "DRAINED": ("IDLE", "DRAIN"), "DRAINING": ("ALLOCATED", "DRAIN"), "FAILING": ("ALLOCATED", "FAIL"),
    "FAIL": ("IDLE", "FAIL"), "MAINT": ("IDLE", "MAINTENANCE"), "RESV": ("IDLE", "RESERVED"),
    "PLND": ("IDLE", "PLANNED"), "NO_RESPOND": ("NOT_RESPONDING",), "DRNG": ("ALLOCATED", "DRAIN"),
    "FAILG": ("ALLOCATED", "FAIL"), "ERR": ("ERROR",), "FUTR": ("FUTURE",), "INVAL": ("INVALID_REG",),
    "REBOOT": ("REBOOT_ISSUED",), "POW_UP": ("POWERING_UP",), "POW_DN": ("POWERING_DOWN",), "BLOCK": ("BLOCKED",),
}  # fmt: skip

# Flags with which no job starts on a node. Powered down is none of them: the scheduler powers a node up for a job.
UNUSABLE_FLAGS = frozenset(
    ("DRAIN", "FAIL", "NOT_RESPONDING", "INVALID_REG", "REBOOT_ISSUED", "REBOOT_REQUESTED", "MAINTENANCE", "BLOCKED")
)  # fmt: skip
UNUSABLE_STATES = frozenset(("DOWN", "ERROR", "FUTURE", "UNKNOWN"))


@dataclass(frozen=True)
class NodeState:
    """The state of a node, base and flags apart.

    Attributes:
        state: one of `NODE_STATES`, None when no word of the text is one.
        flags: sorted; words that are in no list are kept.
    """

    state: Optional[str]
    flags: Tuple[str, ...]

    @property
    def responding(self) -> bool:
        """Whether it answers the controller."""
        return "NOT_RESPONDING" not in self.flags

    @property
    def drained(self) -> bool:
        """Whether it is drained or draining."""
        return "DRAIN" in self.flags

    @property
    def usable(self) -> bool:
        """Whether jobs can start on it, now or once it is free."""
        known = self.state is not None and self.state not in UNUSABLE_STATES
        return known and not UNUSABLE_FLAGS.intersection(self.flags)


def parse_node_state(text: str) -> NodeState:
    """Read `MIXED+DRAIN+PLANNED`, `DOWN*+DRAIN`, `drained`, `idle~`, whatever the case."""
    flags: Set[str] = set()
    state: Optional[str] = None
    for told in text.strip().upper().split("+"):
        word = told.rstrip("".join(_NODE_SUFFIXES))
        flags.update(_NODE_SUFFIXES[suffix] for suffix in told[len(word) :])
        for part in _NODE_WORDS.get(word, (word,)):
            if part in NODE_STATES and state is None:
                state = part
            elif part and part not in NODE_STATES:
                flags.add(part)
    return NodeState(state, tuple(sorted(flags)))

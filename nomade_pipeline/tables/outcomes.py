"""Closed sets of the field: Slurm's job states, the eight outcome classes, the classes of pending reasons.

The one home of these words and numbers; code, SQL, charts and documents take them from here.
"""

from __future__ import annotations

from typing import Tuple

# Base states of a job, as Slurm's documentation lists them.
JOB_STATES: Tuple[str, ...] = (
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "BOOT_FAIL",
    "DEADLINE",
    "OUT_OF_MEMORY",
)

# Flags of a job, which the commands show in place of the base state.
JOB_FLAGS: Tuple[str, ...] = (
    "COMPLETING",
    "CONFIGURING",
    "EXPEDITING",
    "LAUNCH_FAILED",
    "POWER_UP_NODE",
    "RECONFIG_FAIL",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESIZING",
    "RESV_DEL_HOLD",
    "REVOKED",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
    "STOPPED",
    "UPDATE_DB",
)

# Outcome classes by their code; the order is the code.
OUTCOME_CLASSES: Tuple[str, ...] = (
    "SUCCESS",
    "TIMEOUT",
    "CANCELLED",
    "FAILED",
    "OOM",
    "SEGFAULT",
    "NODE_FAIL",
    "DEPENDENCY",
)
SUCCESS, TIMEOUT, CANCELLED, FAILED, OOM, SEGFAULT, NODE_FAIL, DEPENDENCY = range(8)

# Their colours in every chart, in the same order: the palette of Okabe and Ito, which people who see few colours tell
# apart; what is neither success nor failure is grey.
OUTCOME_COLOURS: Tuple[str, ...] = (
    "#0072B2",
    "#E69F00",
    "#999999",
    "#D55E00",
    "#CC79A7",
    "#000000",
    "#009E73",
    "#CCCCCC",
)

# The classes that count as failed; CANCELLED and DEPENDENCY are neither failure nor success.
FAILED_CLASSES: Tuple[int, ...] = (TIMEOUT, FAILED, OOM, SEGFAULT, NODE_FAIL)

# How an outcome class was found.
CLASS_SOURCES: Tuple[str, ...] = ("state", "oom_kill", "signal", "reason", "unknown")

# Why a job waits, in a set that does not grow with Slurm's list of reasons.
REASON_CLASSES: Tuple[str, ...] = (
    "none",
    "resources",
    "priority",
    "dependency",
    "limit",
    "held",
    "begin_time",
    "node_unavailable",
    "partition",
    "reservation",
    "licence",
    "other",
)

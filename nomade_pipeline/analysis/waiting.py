"""Why a job waits, in words, and what would shorten it: advice from the queue and from the user's own past jobs."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

Row = Mapping[str, Any]

# What each kind of reason means to the one who waits.
WORDS = {
    "none": "the scheduler has not looked at it yet",
    "resources": "it is next in line and waits for enough free CPUs, memory, GPUs or nodes",
    "priority": "jobs with a higher priority are before it",
    "dependency": "it waits for another job to end",
    "limit": "a limit of its user, account or QOS is reached",
    "held": "it is held; only a release lets it go on",
    "begin_time": "it was asked not to start before a set time",
    "node_unavailable": "the nodes that it asks for are down, drained or reserved",
    "partition": "its partition is down, or the job asks for more than the partition allows",
    "reservation": "it waits for a reservation",
    "licence": "no licence is free",
    "other": "see the reason in Slurm's words",
}

# Advice on a time limit is given only where it exceeds the longest of so many run times by this factor.
LEAST_RUNS, MUCH_LONGER = 5, 2.0


def longer_than_needed(limit_seconds: float | None, elapsed: Sequence[float]) -> float | None:
    """Return a time limit in seconds that would do, when the present one is much longer; None when it is not.

    What would do is one and a half times the longest of the user's own past runs, in whole quarters of an hour.
    """
    if limit_seconds is None or len(elapsed) < LEAST_RUNS:
        return None
    enough = -(-1.5 * max(elapsed) // 900) * 900
    return enough if limit_seconds > MUCH_LONGER * enough else None


def what_would_help(job: Row, partitions: Sequence[Row], elapsed: Sequence[float]) -> list[str]:
    """Return advice for a waiting job, empty when there is none.

    Args:
        job: a row of `slurm_job`.
        partitions: rows of `slurm_partition`, with the columns of `slurm_queue` beside them where known.
        elapsed: run times in seconds of the user's past jobs of the same name.
    """
    kind, advice = job["reason_class"], []
    if kind == "held":
        who = "the admins" if "admin" in str(job["reason"]).lower() else f"`scontrol release {job['job_id']}`"
        advice.append(f"{who} can release it")
    if kind == "dependency" and "never" in str(job["reason"]).lower():
        advice.append(
            f"what it depends on ({job['dependency']}) failed: it will never start; `scancel {job['job_id']}`"
        )
    if kind not in ("resources", "priority"):
        return advice
    enough = longer_than_needed(job["time_limit_seconds"], elapsed)
    if enough is not None:
        advice.append(
            f"a shorter time limit lets it be backfilled: its {len(elapsed)} last runs took at most "
            f"{max(elapsed) / 3600:.1f} h, it asks for {job['time_limit_seconds'] / 3600:.1f} h; "
            f"{enough / 3600:.2f} h would do"
        )
    free = [row for row in partitions if _fits(job, row)]
    if free:
        names = ", ".join(f"{row['partition']} ({row['cpus_idle']} CPUs)" for row in free)
        advice.append(f"enough CPUs are free in {names}; whether you may use it `sacctmgr show assoc user=$USER` tells")
    return advice


def _fits(job: Row, partition: Row) -> bool:
    """Whether another partition is up, has the CPUs free and allows the time."""
    if partition["partition"] in str(job["partition"]).split(",") or partition.get("state") != "up":
        return False
    longest, asked = partition.get("time_limit_seconds"), job["time_limit_seconds"]
    in_time = longest is None or (asked is not None and asked <= longest)
    return in_time and job["cpus"] is not None and (partition.get("cpus_idle") or 0) >= job["cpus"]

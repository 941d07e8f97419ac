"""What is wrong in a queue, as pure functions of rows: stuck jobs, sick arrays, shares out of balance.

The definitions are those of docs/slurm.md. Times in the rows are datetimes, or texts as the spool has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Iterable, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.tables.outcomes import CANCELLED, DEPENDENCY, FAILED_CLASSES

Row = Mapping[str, Any]

# A job whose nodes are not free so long after its end hangs in the epilog or in the kernel (D state).
COMPLETING_TOO_LONG = timedelta(minutes=10)

# Kinds of reasons that somebody has to act upon, whatever the word.
_HOPELESS_CLASSES = frozenset(("held", "partition"))
# Words of the other kinds that waiting cannot clear: the job itself breaks a limit, what it waits for has failed or is
# no more, no node has what it asks for, or the nodes that it needs are out of use.
_HOPELESS_REASON = re.compile(
    r"DependencyNeverSatisfied|PerJob|MaxMemPerLimit|NotSatisfied|InvalidAccount|InvalidQOS|NotAllowed"
    r"|BadConstraints|ReqNodeNotAvail(?!,\s*(May be )?reserved)|NodeDown|ReservationDeleted",
    re.IGNORECASE,
)

# With fewer ended tasks than this neither a share nor a spread says much.
LEAST_TASKS = 5
# An array is sick when a fifth of its tasks failed, or when the middle half of its run times spans the median: one of
# them usually waits for what the others do not need.
SICK_FAILED_RATIO = 0.2
SICK_SPREAD_RATIO = 1.0

BALANCED = (0.5, 2.0)
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class StuckJob:
    """A job that does not get on by itself.

    Attributes:
        job_id: as people write it.
        kind: ``pending`` or ``completing``.
        since_time: when it became eligible, else was submitted; when it ended.
        seconds: how long that is ago.
        message: what was found, for a person.
    """

    job_id: str
    user: str | None
    partition: str | None
    kind: str
    since_time: datetime
    seconds: float
    message: str


def waiting_can_clear(reason_class: str, reason: str | None) -> bool:
    """Whether a job with this pending reason may start although nobody does anything."""
    return reason_class not in _HOPELESS_CLASSES and _HOPELESS_REASON.search(reason or "") is None


def stuck_jobs(jobs: Iterable[Row], now: datetime, stuck_days: float) -> list[StuckJob]:
    """Return the stuck jobs, the longest first.

    Stuck is a job that waits for longer than ``stuck_days`` for a reason that waiting cannot clear, or that has been
    completing for more than `COMPLETING_TOO_LONG`.

    Args:
        jobs: rows of `slurm_job`, one a job: as the queue is now.
        now: present time, UTC.
        stuck_days: ``[alerts] queue_stuck_days``.
    """
    found = [
        each for row in jobs for each in (_stuck_pending(row, now, stuck_days), _stuck_completing(row, now)) if each
    ]
    return sorted(found, key=lambda each: (-each.seconds, each.job_id))


def _stuck_pending(row: Row, now: datetime, stuck_days: float) -> StuckJob | None:
    since = _moment(row["eligible_time"]) or _moment(row["submit_time"])
    if row["reason_class"] is None or since is None or waiting_can_clear(row["reason_class"], row["reason"]):
        return None
    if now - since <= timedelta(days=stuck_days):
        return None
    days = (now - since) / timedelta(days=1)
    return _stuck(
        row, "pending", since, now, f"waits {days:.1f} days for {row['reason']}, which waiting does not clear"
    )


def _stuck_completing(row: Row, now: datetime) -> StuckJob | None:
    ended = _moment(row["end_time"])
    if row["state"] != "COMPLETING" or ended is None or now - ended <= COMPLETING_TOO_LONG:
        return None
    minutes = (now - ended) / timedelta(minutes=1)
    return _stuck(row, "completing", ended, now, f"has been completing for {minutes:.0f} min on {row['node_list']}")


def _stuck(row: Row, kind: str, since: datetime, now: datetime, what: str) -> StuckJob:
    seconds = (now - since).total_seconds()
    return StuckJob(row["job_id"], row["user"], row["partition"], kind, since, seconds, f"job {row['job_id']} {what}")


def _moment(value: datetime | str | None) -> datetime | None:
    return clock.from_text(value) if isinstance(value, str) else value


@dataclass(frozen=True)
class ArrayHealth:
    """How the ended tasks of one array did.

    Attributes:
        array_job_id: number of the array.
        ended: tasks that ended as success or as failure; cancelled ones and those that never ran are neither.
        failed_ratio: share of them that failed; None below `LEAST_TASKS`.
        median_seconds: median run time of the successful ones; None below `LEAST_TASKS`.
        spread_ratio: interquartile range of their run times divided by the median; 0 when all take equally long. None
            below `LEAST_TASKS`, or with a median of 0.
    """

    array_job_id: str
    ended: int
    failed_ratio: float | None
    median_seconds: float | None
    spread_ratio: float | None


def array_health(jobs: Iterable[Row]) -> list[ArrayHealth]:
    """Return the health of each array, by its number.

    Args:
        jobs: rows of `job_metrics`: ended jobs, of any array or none.
    """
    tasks: dict[str, list[Row]] = {}
    for row in jobs:
        judged = row["failure_class"] is not None and row["failure_class"] not in (CANCELLED, DEPENDENCY)
        if row["array_job_id"] is not None and judged:
            tasks.setdefault(row["array_job_id"], []).append(row)
    return [_health(number, rows) for number, rows in sorted(tasks.items())]


def _health(number: str, rows: Sequence[Row]) -> ArrayHealth:
    failed = sum(row["failure_class"] in FAILED_CLASSES for row in rows)
    times = sorted(
        row["elapsed_seconds"]
        for row in rows
        if row["failure_class"] not in FAILED_CLASSES and row["elapsed_seconds"] is not None
    )
    median = quantile(times, 0.5) if len(times) >= LEAST_TASKS else None
    spread = (quantile(times, 0.75) - quantile(times, 0.25)) / median if median else None
    return ArrayHealth(number, len(rows), failed / len(rows) if len(rows) >= LEAST_TASKS else None, median, spread)


def is_sick(health: ArrayHealth) -> bool:
    """Whether an array fails too often or its tasks take too differently long."""
    failed, spread = health.failed_ratio, health.spread_ratio
    return (failed is not None and failed >= SICK_FAILED_RATIO) or (spread is not None and spread >= SICK_SPREAD_RATIO)


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return a quantile of sorted values, linear between them (the method 7 of Hyndman and Fan).

    Raises:
        ValueError: there are no values.
    """
    if not ordered:
        raise ValueError("there is no quantile of nothing")
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True)
class Imbalance:
    """An association whose usage is out of proportion to its share: ``over`` or ``under`` the band."""

    account: str
    user: str
    partition: str
    kind: str
    usage_per_share_ratio: float
    share_ratio: float


def share_imbalances(
    shares: Iterable[Row], band: tuple[float, float] = BALANCED, least_share: float = LEAST_SHARE
) -> list[Imbalance]:
    """Return the associations out of balance, the largest excess first.

    Args:
        shares: rows of `slurm_share` of one moment.
        band: smallest and largest balanced usage ÷ share.
        least_share: associations with a smaller share are left out: their ratio is mostly noise.
    """
    low, high = band
    found = [
        Imbalance(
            row["account"],
            row["user"],
            row["partition"],
            "over" if row["usage_per_share_ratio"] > high else "under",
            row["usage_per_share_ratio"],
            row["share_ratio"],
        )
        for row in shares
        if row["usage_per_share_ratio"] is not None
        and row["share_ratio"] >= least_share
        and not low <= row["usage_per_share_ratio"] <= high
    ]
    return sorted(found, key=lambda each: (-each.usage_per_share_ratio, each.account, each.user, each.partition))

"""The queue counted: rows of `slurm_queue` and `slurm_pending` from the jobs of one `squeue`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import DefaultDict, Iterable, List, Optional, Sequence, Set, Tuple

from nomade_pipeline.collectors.base import Row
from nomade_pipeline.collectors.slurm_squeue import Job
from nomade_pipeline.tables.slurm_queue import WHOLE_CLUSTER


@dataclass
class _Waiting:
    """The jobs of one partition that wait for one kind of reason."""

    jobs: int = 0
    cpus: int = 0
    longest: Optional[float] = None
    example: Optional[str] = None

    def add(self, job: Job, seconds: Optional[float]) -> None:
        """Count a job that has waited so long."""
        self.jobs += job.tasks
        self.cpus += (job.row["cpus"] or 0) * job.tasks
        if self.example is None or (seconds or 0.0) > (self.longest or 0.0):
            self.example = job.row["reason"] or self.example
        if seconds is not None:
            self.longest = max(seconds, self.longest or 0.0)


@dataclass
class _Tally:
    """The queue of one partition while it is counted; keys of the counts are a group of states and a thing."""

    counts: DefaultDict[str, int] = field(default_factory=lambda: defaultdict(int))
    gpus_untold: Set[str] = field(default_factory=set)
    users: Set[str] = field(default_factory=set)
    waits: List[Tuple[float, int]] = field(default_factory=list)
    started: int = 0
    started_waits: List[Tuple[float, int]] = field(default_factory=list)
    reasons: DefaultDict[str, _Waiting] = field(default_factory=lambda: defaultdict(_Waiting))

    def add(self, job: Job, now: datetime, since: Optional[datetime]) -> None:
        """Count a job; ``since`` is the time of the run before."""
        row, group = job.row, job.group
        self.counts[f"{group}_jobs"] += job.tasks
        for thing in ("cpus", "nodes", "gpus"):
            self.counts[f"{group}_{thing}"] += (row[thing] or 0) * job.tasks
        if row["gpus"] is None:
            self.gpus_untold.add(group)
        if row["user"] is not None:
            self.users.add(row["user"])
        if group == "pending":
            seconds = waiting_seconds(row, now)
            if seconds is not None:
                self.waits.append((seconds, job.tasks))
            self.reasons[row["reason_class"]].add(job, seconds)
        elif since is not None and row["start_time"] is not None and since < row["start_time"] <= now:
            self.started += job.tasks
            seconds = waiting_seconds(row, row["start_time"])
            if seconds is not None:
                self.started_waits.append((seconds, job.tasks))

    def row(self, partition: str, since: Optional[datetime]) -> Row:
        """Return the row of table `slurm_queue`."""
        return {
            "partition": partition,
            **{f"{group}_jobs": self.counts[f"{group}_jobs"] for group in _GROUPS},
            **{f"{group}_{thing}": self.counts[f"{group}_{thing}"] for thing in _THINGS for group in _GROUPS[:2]},
            **{f"{group}_gpus": None for group in _GROUPS[:2] if group in self.gpus_untold},
            "users": len(self.users),
            "wait_mean_seconds": _mean(self.waits),
            "wait_median_seconds": _median(self.waits),
            "wait_max_seconds": max((seconds for seconds, _ in self.waits), default=None),
            "started_jobs": None if since is None else self.started,
            "started_wait_mean_seconds": _mean(self.started_waits),
        }

    def pending_rows(self, partition: str) -> List[Row]:
        """Return the rows of table `slurm_pending`."""
        return [
            {
                "partition": partition,
                "reason_class": reason_class,
                "jobs": found.jobs,
                "cpus": found.cpus,
                "wait_max_seconds": found.longest,
                "example_reason": found.example,
            }
            for reason_class, found in sorted(self.reasons.items())
        ]


_GROUPS = ("pending", "running", "suspended", "completing", "other")
_THINGS = ("cpus", "nodes", "gpus")


def waiting_seconds(row: Row, until: datetime) -> Optional[float]:
    """Return how long a job has waited: since it became eligible, else since it was submitted.

    None when neither is told, and for a job that is not to start before a time to come.
    """
    since: Optional[datetime] = row["eligible_time"] or row["submit_time"]
    if since is None or since > until:
        return None
    return (until - since).total_seconds()


def count_queue(
    jobs: Iterable[Job], partitions: Sequence[str], wanted: Sequence[str], now: datetime, since: Optional[datetime]
) -> Tuple[List[Row], List[Row]]:
    """Return the rows of `slurm_queue` and of `slurm_pending`.

    Args:
        jobs: every job of the cluster.
        partitions: those that exist; one without a job has a row of zeros.
        wanted: partitions to return beside the whole cluster; empty for all.
        now: when the queue was read.
        since: when it was read before, None for the first time.
    """
    tallies = {name: _Tally() for name in (WHOLE_CLUSTER, *partitions)}
    for job in jobs:
        for name in (WHOLE_CLUSTER, *job.partitions):
            tallies.setdefault(name, _Tally()).add(job, now, since)
    kept = {name: found for name, found in tallies.items() if not wanted or name in (WHOLE_CLUSTER, *wanted)}
    queue = [found.row(name, since) for name, found in kept.items()]
    pending = [row for name, found in kept.items() for row in found.pending_rows(name)]
    return queue, pending


def _mean(weighted: Sequence[Tuple[float, int]]) -> Optional[float]:
    jobs = sum(weight for _, weight in weighted)
    return sum(seconds * weight for seconds, weight in weighted) / jobs if jobs else None


def _median(weighted: Sequence[Tuple[float, int]]) -> Optional[float]:
    """Return the median over jobs, where an entry stands for several that wait equally long."""
    ordered = sorted(weighted)
    half = sum(weight for _, weight in ordered) / 2
    below = 0
    for place, (seconds, weight) in enumerate(ordered):
        below += weight
        if below > half:
            return seconds
        if below == half:
            return (seconds + ordered[place + 1][0]) / 2
    return None

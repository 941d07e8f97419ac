"""What was known of the queue and of what is wrong in it, at each moment of the past, from the lake."""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from nomade_pipeline.alerts.evidence import Evidence, Sample
from nomade_pipeline.alerts.past import Row, Rows, days_of
from nomade_pipeline.alerts.rule import Rule
from nomade_pipeline.alerts.sources import findings, queued_jobs
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.findings import ARRAY_WINDOW, arrays_of, shares_of, stuck_of
from nomade_pipeline.status.live import LEAST_INTERVAL, STALE_INTERVALS
from nomade_pipeline.status.queue import COUNTS, FULL_PICTURE_WITHIN, is_empty, with_changes
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.nodes import JOB_FINDING
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB, SLURM_QUEUE, SLURM_RUNAWAY, SLURM_SHARE, WHOLE_CLUSTER

if TYPE_CHECKING:
    from nomade_pipeline.store.lake import Lake

# Cluster and host.
Teller = tuple[str, str]
Found = dict[str, list[dict[str, Any]]]


def _readings(rows: Rows, moment: datetime) -> Iterator[tuple[Teller, list[dict[str, Any]]]]:
    """Yield the readings up to a moment, each with who took it."""
    for (_, cluster, host), reading in groupby(
        rows.until(moment), lambda row: (row["sample_time"], row["cluster"], row["host"])
    ):
        yield (cluster, host), list(reading)


def _is_fresh(row: Row, moment: datetime) -> bool:
    seconds = STALE_INTERVALS * max(row["interval_seconds"], LEAST_INTERVAL)
    return bool((moment - row["sample_time"]).total_seconds() <= seconds)


class QueuePast:
    """The jobs that were in the queue; the past of a rule on `slurm_job`."""

    def __init__(self, lake: Lake, rule: Rule, begin: datetime, end: datetime) -> None:
        self._rule = rule
        since = begin - FULL_PICTURE_WITHIN
        columns = ("cluster", "host", "sample_time", "interval_seconds", "partition", *COUNTS)
        self._sizes = Rows(days_of(lake, SLURM_QUEUE, since, end, columns))
        self._changes = Rows(days_of(lake, SLURM_JOB, since, end))
        self._told: dict[str, Row] = {}
        self._jobs: dict[Teller, dict[str, dict[str, Any]]] = {}
        self._empty: dict[Teller, datetime] = {}

    def advance(self, moment: datetime) -> Sequence[Sample]:
        """See `past.Past`."""
        for row in self._sizes.until(moment):
            if row["partition"] == WHOLE_CLUSTER:
                self._told[row["cluster"]] = row
                if is_empty(row):
                    self._empty[row["cluster"], row["host"]] = row["sample_time"]
        for teller, reading in _readings(self._changes, moment):
            self._jobs[teller] = with_changes(self._jobs.get(teller, {}), reading)
        return ()

    def clusters(self, moment: datetime) -> tuple[str, ...]:
        """Return the clusters whose queue was known."""
        return tuple(sorted(cluster for cluster, row in self._told.items() if _is_fresh(row, moment)))

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs of all queues; those that were told before a queue was empty have left it."""
        return [
            job
            for teller, jobs in sorted(self._jobs.items())
            for job in jobs.values()
            if teller not in self._empty or job["sample_time"] > self._empty[teller]
        ]

    def evidence(self, moment: datetime) -> Evidence:
        """See `past.Past`."""
        jobs = (job for job in self.jobs() if self._rule.holds_for(job))
        return queued_jobs(jobs, self.clusters(moment), self._rule.subject, moment)


class FindingsPast:
    """The past of a rule on findings; see `status.findings`."""

    def __init__(self, lake: Lake, rule: Rule, config: Config, begin: datetime, end: datetime) -> None:
        self._kind, self._days = rule.column, config.alerts.queue_stuck_days
        self._queue = QueuePast(lake, rule, begin, end)
        tables = {"lost": (JOB_FINDING, SLURM_RUNAWAY), "shares": (SLURM_SHARE,)}.get(self._kind, ())
        self._newest = [_Newest(lake, table, begin, end) for table in tables]
        self._arrays = _Arrays(lake, begin, end) if self._kind == "arrays" else None

    def advance(self, moment: datetime) -> Sequence[Sample]:
        """See `past.Past`."""
        self._queue.advance(moment)
        for newest in self._newest:
            newest.advance(moment)
        if self._arrays is not None:
            self._arrays.advance(moment)
        return ()

    def evidence(self, moment: datetime) -> Evidence:
        """See `past.Past`."""
        return findings(self._found(moment), self._kind, self._queue.clusters(moment), moment)

    def _found(self, moment: datetime) -> Found:
        if self._arrays is not None:
            return self._arrays.found()
        rows: Found = defaultdict(list)
        if self._kind == "stuck":
            for job in self._queue.jobs():
                rows[job["cluster"]].append(job)
            return {cluster: stuck_of(jobs, moment, self._days) for cluster, jobs in rows.items()}
        for newest in self._newest:
            for row in newest.rows(moment):
                rows[row["cluster"]].append(row)
        return rows if self._kind == "lost" else {cluster: shares_of(shares) for cluster, shares in rows.items()}


class _Newest:
    """The newest reading of a table by each host."""

    def __init__(self, lake: Lake, table: Table, begin: datetime, end: datetime) -> None:
        self._rows = Rows(days_of(lake, table, begin - FULL_PICTURE_WITHIN, end))
        self._readings: dict[Teller, list[dict[str, Any]]] = {}

    def advance(self, moment: datetime) -> None:
        self._readings.update(_readings(self._rows, moment))

    def rows(self, moment: datetime) -> list[dict[str, Any]]:
        """Return the rows that were not too old."""
        return [row for reading in self._readings.values() for row in reading if _is_fresh(row, moment)]


class _Arrays:
    """The tasks of arrays that had ended within a day."""

    def __init__(self, lake: Lake, begin: datetime, end: datetime) -> None:
        about = ("array_job_id", "failure_class", "elapsed_seconds", "user", "job_name")
        columns = ("cluster", "host", "sample_time", *about)
        self._rows = Rows(days_of(lake, JOB_METRICS, begin - ARRAY_WINDOW, end, columns))
        self._tasks: dict[str, deque[dict[str, Any]]] = defaultdict(deque)

    def advance(self, moment: datetime) -> None:
        for row in self._rows.until(moment):
            if row["array_job_id"] is not None:
                self._tasks[row["cluster"]].append(row)
        for tasks in self._tasks.values():
            while tasks and tasks[0]["sample_time"] < moment - ARRAY_WINDOW:
                tasks.popleft()

    def found(self) -> Found:
        """Return the sick arrays of each cluster."""
        return {cluster: arrays_of(tuple(tasks)) for cluster, tasks in self._tasks.items()}

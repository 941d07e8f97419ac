"""Jobs that have ended, from the accounting: `sacct` with steps, each job told once and again when it changes.

Jobs come late: slurmdbd lags by seconds, or is down for hours and then catches up. So each run reads again what ended
shortly before the last one, and once an hour everything of `lookback_hours`; a memory of what was told keeps jobs
that have not changed from being stored again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Dict, Optional, Sequence, Set, Tuple

from nomade_pipeline.collectors.base import (
    Collected,
    CollectorError,
    Parsed,
    Rejected,
    event_readings,
)
from nomade_pipeline.collectors.sacct_command import Sacct
from nomade_pipeline.collectors.sacct_jobs import Job, merge_steps, number_of
from nomade_pipeline.collectors.sacct_rows import rows_of, rows_of_jobs
from nomade_pipeline.collectors.sacct_split import split
from nomade_pipeline.collectors.slurm_commands import require_slurm
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import JobMetricsSettings

# slurmdbd writes a job's end seconds after it, and an epilog may take minutes.
OVERLAP = timedelta(minutes=10)
WHOLE_EVERY = timedelta(hours=1)
SHORTEST_REACH = timedelta(hours=1)
# A job's end by the controller's clock, should that be ahead of ours.
CLOCK_SKEW = timedelta(minutes=5)
# The agent's own deadline of a run is shorter for usual intervals.
TIMEOUT_SECONDS = 300.0

Key = Tuple[str, str]


def parse(text: str) -> Parsed:
    """Read a recorded output of `sacct -P` or `-p` with any columns and delimiter; times without offset are UTC.

    Raises:
        CollectorError: it is none, or it has no header.
    """
    found = split(text)
    if found.layout is None:
        why = found.rejected[0].reason if found.rejected else "there is nothing in it"
        raise CollectorError("parse", f"sacct: {why}")
    jobs = rows_of(found.records)
    return Parsed({JOB_METRICS.name: jobs.rows}, (*found.rejected, *jobs.rejected))


class JobHistory:
    """What was told of the jobs that ended within the last `lookback_hours`."""

    def __init__(self) -> None:
        self._sacct = Sacct()
        # How far back a reading of everything goes, after one that took too long; None: all of it.
        self._reach: Optional[timedelta] = None
        self.forget()

    def forget(self) -> None:
        """Tell everything again at the next run: what was told may have been lost."""
        # Of each job a hash of what was told and its end in seconds since 1970; hashes of what was refused.
        self._told: Dict[Key, Tuple[int, int]] = {}
        self._refused: Set[int] = set()
        self._last: Optional[datetime] = None
        self._last_whole: Optional[datetime] = None

    def collect(self, probe: Probe, settings: JobMetricsSettings, interval: int) -> Collected:
        """Return the jobs that ended, or changed, since the last run.

        Raises:
            CollectorError: slurmdbd does not answer, or answers with no job where there were some.
            Skipped: there is no Slurm here, or others ask it.
            Interrupted: the agent is stopping.
        """
        del interval
        require_slurm(probe, "sacct", settings.hosts)
        now, lookback = probe.now(), timedelta(hours=settings.lookback_hours)
        whole = self._is_due(now)
        reach = min(self._reach or lookback, lookback)
        start = now - reach if whole or self._last is None else max(self._last - OVERLAP, now - reach)
        try:
            found = self._sacct.ended_between(probe, start, now + CLOCK_SKEW, TIMEOUT_SECONDS)
        except CollectorError as error:
            if whole and error.category == "timeout":
                # Too much at once: rather the newest jobs than none.
                self._reach = max(reach / 2, min(SHORTEST_REACH, lookback))
            raise
        jobs, lost = merge_steps(found.records)
        if not jobs:
            self._doubt_emptiness(start)
        collected = self._news(jobs, [*found.rejected, *lost], whole=whole)
        self._last = now
        if whole:
            self._last_whole, self._reach = now, min(reach * 2, lookback)
        return collected

    def _is_due(self, now: datetime) -> bool:
        """Whether everything is read again; also after the clock was set back."""
        if self._last is None or self._last_whole is None or now < self._last:
            return True
        return now - self._last_whole >= WHOLE_EVERY

    def _doubt_emptiness(self, start: datetime) -> None:
        """Refuse an answer without any job where some were told before.

        Raises:
            CollectorError: there were some.
        """
        before = sum(1 for _, end in self._told.values() if end > start.timestamp())
        if before:
            raise CollectorError(
                "permission",
                f"sacct succeeded without any job, but {before} that it told before ended since {start:%F %R} UTC: may "
                "this user no longer see the jobs of others (PrivateData), or was the accounting emptied?",
            )

    def _news(self, jobs: Sequence[Job], refused: Sequence[Rejected], *, whole: bool) -> Collected:
        """Return what was not told before as it stands now, and remember it."""
        refusals = {hash(each): each for each in refused}
        fresh = [each for mark, each in refusals.items() if mark not in self._refused]
        marks = {_key(job): _mark(job) for job in jobs}
        changed = [job for job in jobs if self._told.get(_key(job)) != marks[_key(job)]]
        rows, notices = rows_of_jobs(changed)
        if whole:
            self._told, self._refused = marks, set(refusals)
        else:
            self._told.update(marks)
            self._refused.update(refusals)
        return Collected(event_readings(JOB_METRICS, rows), (*fresh, *notices))


def _key(job: Job) -> Key:
    return number_of(job.allocation)[0], job.allocation.get("submit", "")


def _mark(job: Job) -> Tuple[int, int]:
    """Return a hash of everything that is told of a job, and its end."""
    cells = [tuple(record.values()) for record in (job.allocation, *job.steps)]
    end = job.allocation.get("end", "")
    return hash(tuple(cells)), int(end) if end.isdecimal() else 0


def collect(probe: Probe, settings: JobMetricsSettings, interval: int) -> Collected:
    """Return all jobs that ended within `lookback_hours`; see `JobHistory.collect`."""
    return JobHistory().collect(probe, settings, interval)

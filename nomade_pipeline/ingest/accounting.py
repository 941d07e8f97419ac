"""The history of jobs from Slurm's accounting: one bounded question a day, straight into the lake.

Only one process of a data folder asks at a time. What is read of a day is stored before the next one is asked for, so
an interruption costs one day; reading a day again adds what is new and changes and deletes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Iterator, Sequence

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import CollectorError, Row
from nomade_pipeline.collectors.sacct_command import Sacct
from nomade_pipeline.collectors.sacct_rows import Jobs, rows_of
from nomade_pipeline.config.settings import Config
from nomade_pipeline.ingest.records import data_frame, publish_past, refused_of, stamped
from nomade_pipeline.probes import Probe
from nomade_pipeline.quality.contract import REASON, check
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.quarantine import Refused
from nomade_pipeline.store.spool import SpoolFile
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

# A day of a large site takes slurmdbd minutes; a window that takes longer is halved, down to an hour.
TIMEOUT_SECONDS = 600.0
SHORTEST_WINDOW = timedelta(hours=1)

# A slurmdbd that is being restarted is asked again after these.
PAUSES_SECONDS = (5.0, 15.0, 40.0)


class AccountingBusyError(Exception):
    """Another process of this data folder reads the accounting."""


@dataclass
class AccountingDay:
    """What was read of one UTC day.

    Attributes:
        day: the UTC date.
        jobs: rows that the accounting gave.
        added: rows that the lake did not hold before.
        refused: what could not be read, by reason.
    """

    day: date
    jobs: int = 0
    added: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def read_accounting(store: Store, config: Config, days: Sequence[date], probe: Probe) -> Iterator[AccountingDay]:
    """Read past UTC days from the accounting into the lake, and yield each when it is stored.

    Raises:
        AccountingBusyError: another process does so.
        CollectorError: slurmdbd does not answer; what was yielded is stored.
        Skipped: Slurm keeps no accounts.
        LakeError: the lake cannot be written.
    """
    sacct = Sacct()
    sacct.prepare(probe, TIMEOUT_SECONDS)
    with _alone(store):
        for day in days:
            jobs = _jobs_of(sacct, probe, day)
            yield _store(store, config, day, jobs)


def _jobs_of(sacct: Sacct, probe: Probe, day: date) -> Jobs:
    """Return the jobs that ended on a UTC day; sacct includes both ends of its window, the day only the first."""
    start = clock.start_of(day)
    jobs = _between(sacct, probe, start, start + timedelta(days=1))
    return Jobs([row for row in jobs.rows if row["end_time"].date() == day], jobs.rejected)


def _between(sacct: Sacct, probe: Probe, start: datetime, end: datetime) -> Jobs:
    """Return the jobs of a window, in halves if the whole takes too long."""
    try:
        found = _patiently(sacct, probe, start, end)
    except CollectorError as error:
        if error.category != "timeout" or end - start <= SHORTEST_WINDOW:
            raise
        middle = start + (end - start) / 2
        halves = [_between(sacct, probe, start, middle), _between(sacct, probe, middle, end)]
        rows = {_key(row): row for half in halves for row in half.rows}
        return Jobs(list(rows.values()), [each for half in halves for each in half.rejected])
    return found


def _key(row: Row) -> tuple[str, datetime]:
    return row["job_id_raw"], row["submit_time"]


def _patiently(sacct: Sacct, probe: Probe, start: datetime, end: datetime) -> Jobs:
    """Ask, and ask again while slurmdbd is being restarted."""
    for pause in (*PAUSES_SECONDS, None):
        try:
            found = sacct.ended_between(probe, start, end, TIMEOUT_SECONDS)
        except CollectorError as error:
            if error.category != "service_down" or pause is None:
                raise
            probe.wait(pause)
        else:
            jobs = rows_of(found.records)
            return Jobs(jobs.rows, [*found.rejected, *jobs.rejected])
    raise AssertionError("the last attempt returns or raises")


def _store(store: Store, config: Config, day: date, jobs: Jobs) -> AccountingDay:
    """Put a day's jobs into the lake, and what is no good into the quarantine."""
    general, now = config.general, clock.now()
    data = data_frame(jobs.rows, JOB_METRICS)
    frame = stamped(data, JOB_METRICS, cluster=general.cluster_name, host=general.host, source="tool", received=now)
    checked = check(frame, JOB_METRICS, now)
    refused = refused_of(jobs.rejected)
    refused += [Refused(row[REASON], json.dumps(row, default=str)) for row in checked.bad.iter_rows(named=True)]
    result = AccountingDay(day, jobs=checked.good.height, refused=Counter(entry.reason for entry in refused))
    if checked.good.height:
        result.added = publish_past(store, JOB_METRICS, general.cluster_name, day, checked.good).added
    place = store.quarantine.root / "backfill.ndjson"
    store.quarantine.replace(SpoolFile(place, JOB_METRICS.name, general.host, clock.start_of(day), "backfill"), refused)
    return result


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Let one process of the data folder read the accounting at a time.

    Raises:
        AccountingBusyError: another one does.
    """
    path = store.paths.locks / "accounting"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AccountingBusyError("another backfill reads Slurm's accounting at the moment; wait for it") from None
        yield

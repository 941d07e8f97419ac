"""One partition from whatever source there is: the spool, this host, or a sysstat archive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.ingest.archive import publish_archive
from nomade_pipeline.ingest.day import DayReport, publish_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import spool_files
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

# Agents that flush a little late, and clocks that are a little slow, still reach the open day.
CLOSES_AFTER_MIDNIGHT = timedelta(minutes=15)

# The ingest takes yesterday too until then.
YESTERDAY_UNTIL = timedelta(minutes=30)

# What a person who clicks waits for.
SAMPLE_SECONDS = 5


@dataclass(frozen=True)
class PartitionReport:
    """What happened to one partition.

    Attributes:
        day: what the ingest did.
        sampled: whether this host was sampled because no spool had the table.
        from_archive: rows that a sysstat archive or Slurm's accounting had and the lake had not.
        closed: whether the day was merged into one file now.
    """

    day: DayReport
    sampled: bool
    from_archive: int
    closed: bool


def fill_partition(store: Store, config: Config, table: Table, day: date, *, asked_by_person: bool) -> PartitionReport:
    """Publish a partition, and close it when its day is over.

    Scheduled runs only publish what agents wrote. When a person asks, an empty today is sampled on
    this host; of a past day the empty hours are looked for in sysstat's archives, and jobs in Slurm's accounting.

    Raises:
        TooManyRefused, LakeError: see `publish_day`.
        CollectorError: the accounting does not answer.
    """
    now = clock.now()
    sampled = asked_by_person and day == now.date() and not _has_spool(store, table)
    if sampled:
        _sample_here(config, table)
    report = publish_day(store, table, day, limit_percent=config.pipeline.quarantine_limit_percent)
    archived = _read_back(store, config, table, day) if asked_by_person and day < now.date() else 0
    report.rows += archived
    return PartitionReport(report, sampled, archived, closed=close_if_over(store, table, day))


def is_over(day: date, now: datetime) -> bool:
    """Whether a UTC day is so far past that it is closed."""
    return now >= clock.start_of(day + timedelta(days=1)) + CLOSES_AFTER_MIDNIGHT


def days_to_ingest(now: datetime) -> list[date]:
    """Return the days that a scheduled ingest takes: today, and yesterday while it settles."""
    today = now.date()
    yesterday = today - timedelta(days=1)
    return [yesterday, today] if now < clock.start_of(today) + YESTERDAY_UNTIL else [today]


def close_if_over(store: Store, table: Table, day: date) -> bool:
    """Close a day that is over for every cluster; return whether there was anything to close."""
    if not is_over(day, clock.now()):
        return False
    closed = [store.lake.close_day(table, cluster, day) for cluster in store.lake.clusters(table)]
    return any(closed)


def _read_back(store: Store, config: Config, table: Table, day: date) -> int:
    """Publish what other tools of this host have kept of a past day; return the rows added."""
    from nomade_pipeline.ingest.accounting import read_accounting
    from nomade_pipeline.probes import LiveProbe

    if table is not JOB_METRICS:
        return publish_archive(store, config, table, day)
    probe = LiveProbe()
    if probe.which("sacct") is None:
        return 0
    return sum(read.added for read in read_accounting(store, config, [day], probe))


def _has_spool(store: Store, table: Table) -> bool:
    return next(spool_files(store.spool, table.name), None) is not None


def _sample_here(config: Config, table: Table) -> None:
    """Run the table's collector once on this host, into the spool."""
    from nomade_pipeline.agent.once import run_once
    from nomade_pipeline.collectors.registry import COLLECTORS
    from nomade_pipeline.probes import LiveProbe

    collectors = [collector for collector in COLLECTORS if collector.name == table.collector]
    run_once(config, collectors or list(COLLECTORS), LiveProbe(), SAMPLE_SECONDS)

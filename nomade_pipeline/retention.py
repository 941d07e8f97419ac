"""What is no longer kept, by age, for clusters that are collected live (`forgetting` deletes any cluster by name).

Pure functions decide, `apply` acts. A spool file goes only when the lake provably has all of it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Iterable, Mapping, Optional

from nomade_pipeline import clock
from nomade_pipeline.config.settings import RetentionSettings
from nomade_pipeline.store.files import LakeError
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import SpoolError, SpoolFile, append_lines, spool_files
from nomade_pipeline.tables.catalog import COMPUTED_TABLES, RAW_TABLES, raw_table_named
from nomade_pipeline.tables.contract import Table

HOUR = timedelta(hours=1)

# What keeps a spool file that is old enough.
OPEN, TOO_YOUNG, UNKNOWN, CHANGED = "its hour is open", "too young", "not ingested", "changed since it was ingested"
NOT_IN_LAKE = "not all of its rows are in the lake"
TORN = "its last line was torn; it is closed now, and goes after the next ingest"


class RetentionError(Exception):
    """A request to delete that is refused; the message says why and what to do."""


@dataclass(frozen=True)
class Booked:
    """What the books say of a spool file: the length, hash and time of its ingest."""

    length: int
    sha256: str
    ingested_time: datetime


@dataclass
class Removed:
    """What was deleted, or would be in a dry run.

    Attributes:
        spool_files, spool_bytes: spool files.
        kept: spool files that are old enough but stay, by reason.
        partitions: days of raw and derived tables.
        rows: rows of the database, by table.
        quarantine_days: days of the quarantine.
        problems: what could not be judged or deleted.
    """

    spool_files: int = 0
    spool_bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    partitions: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    quarantine_days: int = 0
    problems: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the figures for a report or a catalogue."""
        return {
            "spool_files": self.spool_files,
            "spool_bytes": self.spool_bytes,
            "spool_files_kept": dict(self.kept),
            "lake_partitions": self.partitions,
            "database_rows": dict(self.rows),
            "quarantine_days": self.quarantine_days,
            "problems": list(self.problems),
        }


def limit(now: datetime, days: int) -> Optional[datetime]:
    """Return the moment before which data goes; None when it is kept for ever (0 days)."""
    return now - timedelta(days=days) if days > 0 else None


def why_kept(
    hour: datetime, booked: Optional[Booked], length: int, sha256: str, now: datetime, spool_hours: int
) -> Optional[str]:
    """Return why a spool file must stay, None when only the lake is left to be asked.

    Args:
        hour: beginning of the file's hour.
        booked: the ingest's entry, None without one.
        length: of the file now.
        sha256: of the file now.
        now: the present time.
        spool_hours: ``[retention] spool_hours``, counted from the end of the hour and from the ingest,
            whichever is later; 0 keeps everything.
    """
    if hour + HOUR > now:
        return OPEN
    if booked is None:
        return UNKNOWN
    if spool_hours <= 0 or now < max(hour + HOUR, booked.ingested_time) + timedelta(hours=spool_hours):
        return TOO_YOUNG
    if length != booked.length or sha256 != booked.sha256:
        return CHANGED
    return None


def expired_partitions(
    published: Mapping[tuple[str, date], datetime], live: Iterable[str], before: Optional[datetime]
) -> list[tuple[str, date]]:
    """Return the (cluster, day) of a raw table that are no longer kept, sorted.

    Args:
        published: when each partition was last written: its age counts from the ingest, so that history
            imported today is not deleted tomorrow.
        live: clusters that agents report for; others go only by `forget`.
        before: what was last written before this goes; None keeps all.
    """
    if before is None:
        return []
    clusters = set(live)
    return sorted(
        (cluster, day)
        for (cluster, day), time in published.items()
        if cluster in clusters and time < before and day < before.date()
    )


def apply(store: Store, settings: RetentionSettings, *, dry_run: bool = False) -> Removed:
    """Delete what the configuration no longer keeps.

    Args:
        store: where.
        settings: ``[retention]``.
        dry_run: only say what would be deleted.

    Raises:
        DatabaseError: the books cannot be read; nothing is deleted then.
    """
    now = clock.now()
    removed = Removed()
    live = [str(row["cluster"]) for row in store.rollups.rows("SELECT DISTINCT cluster FROM sources")]
    # The spool first: whether the lake has its rows can be told only while the lake has them.
    _spool(store, settings, now, removed, dry_run=dry_run)
    _raw(store, limit(now, settings.raw_days), live, removed, dry_run=dry_run)
    _derived(store, limit(now, settings.derived_days), live, removed, dry_run=dry_run)
    _database(store, settings, live, now, removed, dry_run=dry_run)
    _quarantine(store, limit(now, settings.quarantine_days), removed, dry_run=dry_run)
    return removed


def _spool(store: Store, settings: RetentionSettings, now: datetime, removed: Removed, *, dry_run: bool) -> None:
    """Delete the spool files that the lake has; one that cannot be judged stays."""
    if settings.spool_hours <= 0:
        return
    books = _books(store)
    for file in spool_files(store.spool):
        if file.hour + HOUR + timedelta(hours=settings.spool_hours) > now:
            continue
        try:
            length = file.path.stat().st_size
            reason = _judge(store, file, books.get(str(file.path.relative_to(store.spool))), now, settings)
            if reason == TORN and not dry_run:
                # The ingest quarantines a closed line; nothing would ever be said of a torn one.
                append_lines(file.path, b"")
            if reason is not None:
                removed.kept[reason] += 1
                continue
            if not dry_run:
                file.path.unlink()
        except FileNotFoundError:
            continue
        except (OSError, LakeError, SpoolError, KeyError) as error:
            removed.problems.append(f"{file.path}: {error}")
            continue
        removed.spool_files += 1
        removed.spool_bytes += length


def _books(store: Store) -> dict[str, Booked]:
    rows = store.rollups.rows("SELECT path, bytes, sha256, ingested_time FROM ingested_files")
    return {row["path"]: Booked(row["bytes"], row["sha256"], clock.from_text(row["ingested_time"])) for row in rows}


def _judge(
    store: Store, file: SpoolFile, booked: Optional[Booked], now: datetime, settings: RetentionSettings
) -> Optional[str]:
    """Return why a spool file stays, None when it may go."""
    data = file.path.read_bytes()
    if booked is not None and not data.endswith(b"\n") and len(data) > booked.length:
        return TORN
    reason = why_kept(file.hour, booked, len(data), hashlib.sha256(data).hexdigest(), now, settings.spool_hours)
    if reason is not None or booked is None:
        return reason
    before = limit(now, settings.raw_days)
    if before is not None and booked.ingested_time < before:
        # The lake no longer keeps such rows; they were there for as long as they are kept.
        return None
    return None if in_lake(store, file) else NOT_IN_LAKE


def in_lake(store: Store, file: SpoolFile) -> bool:
    """Whether every good row of a spool file is in the lake, or a later reading of the same key.

    Raises:
        LakeError: the lake cannot be read.
        KeyError: the file is of a table that this version does not know.
    """
    from nomade_pipeline.ingest.decode import decode_files
    from nomade_pipeline.quality.contract import check

    table = raw_table_named(file.table)
    frame, _ = decode_files(table, [file])
    good = check(frame, table, clock.now()).good
    key = list(table.key)
    for (cluster,), rows in good.partition_by("cluster", as_dict=True).items():
        stored = store.lake.read_day(table, str(cluster), file.hour.date(), file.hour)
        if rows.join(stored.select(key), on=key, how="anti").height:
            return False
    return True


def _raw(store: Store, before: Optional[datetime], live: list[str], removed: Removed, *, dry_run: bool) -> None:
    """Delete days of raw tables, with their entry in the books: a later roll-up must not see empty hours."""
    for table in RAW_TABLES:
        published = _published(store, table)
        for cluster, day in expired_partitions(published, live, before):
            present = store.lake.has(table, cluster, day)
            removed.partitions += present
            if dry_run:
                continue
            if present:
                store.lake.remove(table, cluster, day)
            store.rollups.execute(
                "DELETE FROM lake_hours WHERE cluster = ? AND table_name = ? AND hour >= ? AND hour < ?",
                (cluster, table.name, *_bounds(day)),
            )


def _derived(store: Store, before: Optional[datetime], live: list[str], removed: Removed, *, dry_run: bool) -> None:
    """Delete days of computed tables, by the day itself."""
    if before is None:
        return
    for table in COMPUTED_TABLES:
        for cluster in live:
            for day in store.lake.days(table, cluster):
                if day < before.date():
                    removed.partitions += 1
                    if not dry_run:
                        store.lake.remove(table, cluster, day)


def _published(store: Store, table: Table) -> dict[tuple[str, date], datetime]:
    rows = store.rollups.rows(
        "SELECT cluster, substr(hour, 1, 10) AS day, max(published_time) AS time FROM lake_hours "
        "WHERE table_name = ? GROUP BY cluster, day",
        (table.name,),
    )
    return {(row["cluster"], date.fromisoformat(row["day"])): clock.from_text(row["time"]) for row in rows}


def _bounds(day: date) -> tuple[str, str]:
    first = clock.start_of(day)
    return clock.to_text(first), clock.to_text(first + timedelta(days=1))


# A spool file knows its host but not its cluster; what the ledger books for it stands under no name.
_LIVE = "(SELECT DISTINCT cluster FROM sources UNION SELECT '')"
_LIVE_SERIES = f"(SELECT series_id FROM series WHERE cluster IN {_LIVE})"

# Table to the condition under which a row goes; ``?`` is the moment as stored.
_EXPIRED = {
    "hourly_rollup": f"hour < ? AND series_id IN {_LIVE_SERIES}",
    "daily_rollup": f"date < substr(?, 1, 10) AND series_id IN {_LIVE_SERIES}",
    "collection_log": f"sample_time < ? AND cluster IN {_LIVE}",
    "ledger": f"hour < ? AND cluster IN {_LIVE}",
    "job_usage": f"hour < ? AND cluster IN {_LIVE}",
    "jobs": f"end_time < ? AND cluster IN {_LIVE}",
    "usage_hourly": f"hour < ? AND cluster IN {_LIVE}",
    "node_history": f"hour < ? AND cluster IN {_LIVE}",
}


# The newest episode stays, so that its number is never given again.
_EXPIRED_ALERTS = {
    "alerts": "state = 'resolved' AND resolved_time < ?",
    "alert_events": "time < ? AND episode < (SELECT max(episode) FROM alert_events) "
    "AND episode NOT IN (SELECT episode FROM alerts WHERE episode IS NOT NULL)",
    "alert_outbox": "created_time < ? AND (dry_run OR delivered_time IS NOT NULL OR given_up_time IS NOT NULL)",
    "alert_silences": "ends_time < ?",
    "alert_window": "bin_time < ?",
}


def _database(
    store: Store, settings: RetentionSettings, live: list[str], now: datetime, removed: Removed, *, dry_run: bool
) -> None:
    """Delete rows of the rollup database."""
    days = {
        "hourly_rollup": settings.hourly_days,
        "daily_rollup": settings.daily_days,
        "collection_log": settings.collection_log_days,
        "ledger": settings.ledger_days,
        "job_usage": settings.hourly_days,
        "jobs": settings.daily_days,
        "usage_hourly": settings.daily_days,
        "node_history": settings.daily_days,
    }
    for name, condition in _EXPIRED.items():
        before = limit(now, days[name])
        if before is not None and live:
            delete_rows(store, name, condition, (clock.to_text(before),), removed, dry_run=dry_run)
    before = limit(now, settings.alerts_days)
    if before is not None:
        for name, condition in _EXPIRED_ALERTS.items():
            delete_rows(store, name, condition, (clock.to_text(before),), removed, dry_run=dry_run)
    before = limit(now, settings.ledger_days)
    if before is not None:
        _forget_files(store, before, removed, dry_run=dry_run)
    if not dry_run:
        store.rollups.execute(
            "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM hourly_rollup h WHERE h.series_id = series.series_id) "
            "AND NOT EXISTS (SELECT 1 FROM daily_rollup d WHERE d.series_id = series.series_id)"
        )


def delete_rows(
    store: Store, name: str, condition: str, values: tuple[Any, ...], removed: Removed, *, dry_run: bool
) -> None:
    """Delete, or count in a dry run, the rows of a table that meet a condition."""
    if dry_run:
        count = int(store.rollups.rows(f"SELECT count(*) AS n FROM {name} WHERE {condition}", values)[0]["n"])
    else:
        count = store.rollups.execute(f"DELETE FROM {name} WHERE {condition}", values)
    if count:
        removed.rows[name] = removed.rows.get(name, 0) + count


def _forget_files(store: Store, before: datetime, removed: Removed, *, dry_run: bool) -> None:
    """Drop the book entries of spool files that are gone and older than the ledger they explain."""
    old = store.rollups.rows("SELECT path FROM ingested_files WHERE hour < ?", (clock.to_text(before),))
    for row in old:
        if not (store.spool / row["path"]).exists():
            delete_rows(store, "ingested_files", "path = ?", (row["path"],), removed, dry_run=dry_run)


def _quarantine(store: Store, before: Optional[datetime], removed: Removed, *, dry_run: bool) -> None:
    """Delete days of the quarantine."""
    if before is None:
        return
    for folder in sorted(store.quarantine.root.glob("*/*")):
        try:
            day = date.fromisoformat(folder.name)
        except ValueError:
            continue
        if day < before.date() and folder.is_dir():
            removed.quarantine_days += 1
            if not dry_run:
                shutil.rmtree(folder)

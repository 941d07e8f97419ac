"""Publishing a day: spool files to the lake, with checks, quarantine and books.

Doing it twice changes nothing; doing it after any crash finishes the work.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Sequence

from nomade_pipeline import clock
from nomade_pipeline.ingest.decode import FILE, DecodedFile, decode_files
from nomade_pipeline.quality.contract import REASON, check
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.parquet import content_hash
from nomade_pipeline.store.quarantine import Refused
from nomade_pipeline.store.spool import SpoolFile, spool_files
from nomade_pipeline.tables import rollups as contracts
from nomade_pipeline.tables.contract import Table

# A torn line or a host with a wrong clock is quarantined and the day goes on; when a larger share is
# refused the format has changed, and half-read data must not replace what is stored. Below this number
# a share says nothing: one torn line of a five-minute-old file is 20 %.
MIN_REFUSED = 20


class TooManyRefused(Exception):
    """More of an hour's rows break the contract than a few bad lines explain; nothing was published."""


@dataclass
class DayReport:
    """What one publication of one table and day did.

    Attributes:
        table, day: what was published.
        files: spool files read.
        rows: rows that the partition holds now, over all clusters.
        added: rows that it did not hold before.
        refused: how many lines and rows were refused, by reason.
        clusters: clusters that have rows of this day.
        newest: newest sample time of the rows read now; None when none were read.
    """

    table: Table
    day: date
    files: int = 0
    rows: int = 0
    added: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    clusters: list[str] = field(default_factory=list)
    newest: datetime | None = None


def publish_day(
    store: Store, table: Table, day: date, *, everything: bool = False, limit_percent: float = 5.0
) -> DayReport:
    """Publish the spool's readings of one table and UTC day.

    Args:
        store: where.
        table: the contract.
        day: UTC date.
        everything: read spool files again that are in the lake already.
        limit_percent: share of an hour's rows that may be refused, `[pipeline] quarantine_limit_percent`;
            100 publishes the good rows however few they are.

    Raises:
        TooManyRefused: more than the limit is refused; the lake keeps what it had.
        LakeError: a stored file cannot be read or written.
    """
    report = DayReport(table, day)
    refusals: list[TooManyRefused] = []
    for hour_files in _hours_to_read(store, table, day, everything=everything):
        try:
            _publish_hour(store, table, day, hour_files, report, limit_percent)
        except TooManyRefused as error:
            # One bad hour must not keep the others of the day from being published.
            refusals.append(error)
    _book_unknown_hours(store, table, day)
    if refusals:
        raise refusals[0]
    for cluster in store.lake.clusters(table):
        rows = store.lake.count(table, cluster, day)
        if rows:
            report.rows += rows
            report.clusters.append(cluster)
    return report


def _hours_to_read(store: Store, table: Table, day: date, *, everything: bool) -> list[list[SpoolFile]]:
    """Return the spool files of each hour that has grown since it was ingested, oldest hour first."""
    known = {} if everything else store.rollups.ingested_lengths(table.name, day)
    grown: dict[datetime, list[SpoolFile]] = {}
    for file in spool_files(store.spool, table.name, day):
        if file.path.stat().st_size != known.get(_relative(store, file)):
            grown.setdefault(file.hour, []).append(file)
    return [grown[hour] for hour in sorted(grown)]


def _publish_hour(
    store: Store, table: Table, day: date, files: Sequence[SpoolFile], report: DayReport, limit_percent: float
) -> None:
    """Publish the files of one hour: lake first, then quarantine, then the books."""
    frame, decoded = decode_files(table, files)
    checked = check(frame, table, clock.now())
    for row in checked.bad.iter_rows(named=True):
        decoded[row[FILE]].refused.append(_refused_row(row, table))
    refused = Counter(entry.reason for state in decoded for entry in state.refused)
    _check_share(table, files[0].hour, refused, checked.good.height, limit_percent)
    for (cluster,), rows in checked.good.drop(FILE).partition_by("cluster", as_dict=True).items():
        published = store.lake.publish(table, str(cluster), day, rows)
        store.rollups.record_hours(table.name, str(cluster), published.hours)
        report.added += published.added
    good = dict(checked.good.group_by(FILE).len().iter_rows())
    for state in decoded:
        store.quarantine.replace(state.file, state.refused)
    store.rollups.upsert(
        contracts.INGESTED_FILES,
        [_book_entry(store, state, good.get(index, 0)) for index, state in enumerate(decoded)],
    )
    report.files += len(files)
    report.refused.update(refused)
    newest = checked.good["sample_time"].max()
    if isinstance(newest, datetime):
        report.newest = max(newest, report.newest or newest)


def _check_share(table: Table, hour: datetime, refused: Counter[str], good: int, limit_percent: float) -> None:
    """Raise when the refused rows are too many to be accidents."""
    bad = refused.total()
    if bad < MIN_REFUSED or 100 * bad <= limit_percent * (bad + good):
        return
    reason, count = refused.most_common(1)[0]
    raise TooManyRefused(
        f"table {table.name}, hour {hour:%Y-%m-%dT%H}: {bad} of {bad + good} rows are refused, {count} because "
        f"{reason!r}; nothing was published. Look at the spool file, or publish the rest with "
        f"`nomade ingest --accept-refused --date {hour:%Y-%m-%d}`"
    )


def _refused_row(row: dict[str, Any], table: Table) -> Refused:
    """Turn a row that breaks the contract into a quarantine entry."""
    return Refused(row[REASON], json.dumps({name: row[name] for name in table.column_names}, default=str))


def _book_entry(store: Store, state: DecodedFile, rows: int) -> dict[str, object]:
    return {
        "path": _relative(store, state.file),
        "table_name": state.file.table,
        "host": state.file.host,
        "hour": clock.to_text(state.file.hour),
        "bytes": state.length,
        "sha256": state.sha256,
        "readings": state.readings,
        "rows": rows,
        "quarantined": len(state.refused),
        "reasons": json.dumps(Counter(entry.reason for entry in state.refused)),
        "ingested_time": clock.to_text(clock.now()),
    }


def _relative(store: Store, file: SpoolFile) -> str:
    return str(file.path.relative_to(store.spool))


def _book_unknown_hours(store: Store, table: Table, day: date) -> None:
    """Note hours of the lake that the books do not know: the database was lost, is new or is an old copy."""
    booked = store.rollups.booked_hours(table.name, day)
    for cluster in store.lake.clusters(table):
        if sum(booked.get(cluster, {}).values()) != store.lake.count(table, cluster, day):
            rows = store.lake.read_day(table, cluster, day)
            hours = rows["sample_time"].dt.truncate("1h")
            found = {hour: rows.filter(hours == hour) for hour in hours.unique(maintain_order=True)}
            summary = {hour: (content_hash(part), part.height) for hour, part in found.items()}
            store.rollups.record_hours(table.name, cluster, summary)

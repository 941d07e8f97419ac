"""Rolling up a day: from the lake to the database, only the hours whose content has changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Sequence

from nomade_pipeline import clock
from nomade_pipeline.analysis.aggregate import exact_rows, hourly_aggregates, latest_rows
from nomade_pipeline.ingest.job_rollup import JOINED_TABLES, finish_jobs_of_day, roll_up_jobs_of_hour
from nomade_pipeline.quality.ledger import HOUR, Place, Source, ledger_rows, merge_sources, sources_of
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.rollups import day_bounds
from nomade_pipeline.tables import rollups as contracts
from nomade_pipeline.tables.catalog import RAW_TABLES, raw_table_named
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.operations import COLLECTION_LOG


@dataclass
class RollupReport:
    """What one roll-up of a day did.

    Attributes:
        day: the UTC date.
        hours: hours rolled up, by table.
        rows: rows that each rollup table holds of this day afterwards.
    """

    day: date
    hours: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def roll_up_day(
    store: Store, day: date, *, everything: bool = False, tables: Sequence[Table] = RAW_TABLES
) -> RollupReport:
    """Bring the rollups of a UTC day to what the lake holds.

    Args:
        store: where.
        day: the UTC date.
        everything: also hours that the rollups have already.
        tables: only these; without `collection_log` the ledger stays as it is.
    """
    report = RollupReport(day)
    if everything:
        store.rollups.execute(
            "UPDATE lake_hours SET rolled_up_hash = NULL WHERE hour >= ? AND hour < ?", day_bounds(day)
        )
    unfinished: list[tuple[str, str, datetime, str]] = []
    waiting = store.rollups.hours_to_roll_up(day)
    for table in tables:
        hours = waiting.get(table.name, [])
        for cluster, hour, content_hash in hours:
            _roll_up_hour(store, table, cluster, hour, content_hash)
        if table in JOINED_TABLES:
            unfinished += [(table.name, *each) for each in hours]
        report.hours[table.name] = len(hours)
    if unfinished:
        finish_jobs_of_day(store, day)
        for done in unfinished:
            store.rollups.mark_rolled_up(*done)
    if COLLECTION_LOG in tables:
        _write_ledger(store, day)
    report.rows = _rows_of_day(store, day)
    return report


def _roll_up_hour(store: Store, table: Table, cluster: str, hour: datetime, content_hash: str) -> None:
    """Roll up one hour of one table; the aggregates come last because they note that it is done.

    What is noted is the hash booked before the lake was read: an hour that is published meanwhile has
    another one and is rolled up again.
    """
    rows = store.lake.read_day(table, cluster, hour.date(), hour)
    if table is COLLECTION_LOG:
        store.rollups.replace_collection_log(cluster, hour, exact_rows(rows, table))
    elif not table.transient:
        store.rollups.replace_latest(table, latest_rows(rows, table))
    roll_up_jobs_of_hour(store, table, cluster, hour, rows)
    if table not in JOINED_TABLES:
        store.rollups.replace_hour(table.name, cluster, hour, content_hash, hourly_aggregates(rows, table))


def _write_ledger(store: Store, day: date) -> None:
    """Write the day's ledger anew, after learning which collectors report."""
    now = clock.now()
    runs = store.lake.read(COLLECTION_LOG, clock.start_of(day), clock.start_of(day + timedelta(days=1)) + HOUR)
    run_rows = runs.to_dicts()
    sources = _known_sources(store)
    for place, fresh in sources_of(run_rows).items():
        sources[place] = merge_sources(sources.get(place), fresh)
    store.rollups.upsert(contracts.SOURCES, [_source_row(place, source) for place, source in sources.items()])
    rows = ledger_rows(run_rows, _refused_by_ingest(store, day, sources), sources, day, now)
    store.rollups.execute("DELETE FROM ledger WHERE hour >= ? AND hour < ?", day_bounds(day))
    store.rollups.upsert(contracts.LEDGER, rows)


def _known_sources(store: Store) -> dict[Place, Source]:
    return {
        Place(row["cluster"], row["host"], row["collector"]): Source(
            clock.from_text(row["first_seen"]), clock.from_text(row["last_seen"]), row["interval_seconds"]
        )
        for row in store.rollups.rows("SELECT * FROM sources")
    }


def _source_row(place: Place, source: Source) -> dict[str, Any]:
    return {
        **place._asdict(),
        "first_seen": clock.to_text(source.first_seen),
        "last_seen": clock.to_text(source.last_seen),
        "interval_seconds": source.interval_seconds,
    }


def _refused_by_ingest(store: Store, day: date, sources: dict[Place, Source]) -> list[dict[str, Any]]:
    """Return what the ingest refused of a day; a spool file knows its host but not its cluster."""
    clusters = {place.host: place.cluster for place in sources}
    return [
        {
            "cluster": clusters.get(row["host"], ""),
            "host": row["host"],
            "collector": raw_table_named(row["table_name"]).collector,
            "hour": clock.from_text(row["hour"]),
            "quarantined": row["quarantined"],
            "reasons": json.loads(row["reasons"]),
        }
        for row in store.rollups.rows(
            "SELECT table_name, host, hour, quarantined, reasons FROM ingested_files "
            "WHERE quarantined > 0 AND hour >= ? AND hour < ?",
            day_bounds(day),
        )
    ]


# Rollup asset to its table or view and the time by which a row belongs to a day.
_COUNTED = {
    "hourly": ("hourly_rollup", "hour"),
    "daily": ("daily_rollup", "date"),
    "latest": ("latest", "sample_time"),
    "collection_log": ("collection_log", "sample_time"),
    "ledger": ("ledger", "hour"),
    "jobs": ("jobs", "end_time"),
    "job_usage": ("job_usage", "hour"),
    "usage": ("usage_hourly", "hour"),
    "users": ("users", "date"),
    "accounts": ("accounts", "date"),
    "queue": ("queue_hourly", "hour"),
    "nodes": ("nodes_hourly", "hour"),
    "node_history": ("node_history", "hour"),
    "metrics_coverage": ("metrics_coverage", "date"),
}


def _rows_of_day(store: Store, day: date) -> dict[str, int]:
    """Count the rows of a day in each rollup table or view; ISO text sorts by time, dates included."""
    bounds = day.isoformat(), (day + timedelta(days=1)).isoformat()
    queries = [
        f"SELECT '{name}' AS name, count(*) AS n FROM {table} WHERE {time} >= ? AND {time} < ?"
        for name, (table, time) in _COUNTED.items()
    ]
    rows = store.rollups.rows(" UNION ALL ".join(queries), bounds * len(queries))
    return {row["name"]: int(row["n"]) for row in rows}

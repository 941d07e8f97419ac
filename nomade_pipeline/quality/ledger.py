"""The data-quality ledger: what was expected of each collector, host and hour, and what came."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Iterable, Mapping, NamedTuple

from nomade_pipeline import clock
from nomade_pipeline.agent.pace import SKIPPED_SECONDS

HOUR = timedelta(hours=1)

# A host that has been silent for longer was taken away, not lost: nothing more is expected of it.
FORGOTTEN_AFTER = timedelta(hours=24)

# Samples asked for by a person create no expectation of further ones.
RESIDENT_WRITERS = ("agent", "monitor")


class Place(NamedTuple):
    """A collector on a host."""

    cluster: str
    host: str
    collector: str


@dataclass(frozen=True)
class Source:
    """Since when, until when and how often a place has reported."""

    first_seen: datetime
    last_seen: datetime
    interval_seconds: float


@dataclass
class Entry:
    """The counts of one place and hour."""

    received: int = 0
    failed: int = 0
    skipped: int = 0
    rows: int = 0
    quarantined: int = 0
    covered_seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)


def sources_of(runs: Iterable[Mapping[str, Any]]) -> dict[Place, Source]:
    """Find the places that report on their own, from rows of the collection log.

    A run that was skipped promises nothing: a host without a GPU never owes a reading of one.
    """
    found: dict[Place, Source] = {}
    for run in runs:
        if run["writer"] not in RESIDENT_WRITERS or run["outcome"] == "skipped":
            continue
        place = Place(run["cluster"], run["host"], run["collector"])
        fresh = Source(run["started_time"], run["sample_time"], run["interval_seconds"])
        found[place] = merge_sources(found.get(place), fresh)
    return found


def merge_sources(known: Source | None, fresh: Source) -> Source:
    """Join two observations of a place; the newer one tells the interval."""
    if known is None:
        return fresh
    newer = fresh if fresh.last_seen >= known.last_seen else known
    return Source(
        min(known.first_seen, fresh.first_seen),
        newer.last_seen,
        newer.interval_seconds,
    )


def missed_readings(source: Source, hour: datetime, now: datetime, covered_seconds: float) -> int:
    """Return how many readings of an hour a place still owes.

    Owed is the part of the hour since its first run that is covered by no run, in whole intervals. Time
    is counted rather than readings, so that a changed interval or a short first run is no miss; the
    interval that is under way is not owed yet.

    Args:
        source: the place.
        hour: beginning of the hour.
        now: the present time.
        covered_seconds: sum of the intervals of the runs that came.
    """
    if source.interval_seconds <= 0 or hour > source.last_seen + FORGOTTEN_AFTER:
        return 0
    begin = max(hour, source.first_seen)
    end = min(hour + HOUR, now - timedelta(seconds=source.interval_seconds))
    owed = (end - begin).total_seconds() - covered_seconds
    return max(0, int(owed // source.interval_seconds))


def hour_of_run(run: Mapping[str, Any]) -> datetime:
    """Return the hour that holds the middle of a run's interval.

    Runs end within a second of a boundary, before or after it; their middle is in no doubt.
    """
    return clock.hour_of(run["sample_time"] - timedelta(seconds=run["interval_seconds"] / 2))


def ledger_rows(
    runs: Iterable[Mapping[str, Any]],
    refused: Iterable[Mapping[str, Any]],
    sources: Mapping[Place, Source],
    day: date,
    now: datetime,
) -> list[dict[str, Any]]:
    """Build the ledger of a UTC day.

    Args:
        runs: rows of the collection log, of the day and of the first hour after it.
        refused: what the ingest refused: cluster, host, collector, hour, quarantined, reasons.
        sources: every place that has ever reported.
        day: the UTC date.
        now: the present time; later hours have no entry.

    Returns:
        Rows of the contract `tables.rollups.LEDGER`, sorted by key.
    """
    entries: dict[tuple[Place, datetime], Entry] = defaultdict(Entry)
    for run in runs:
        hour = hour_of_run(run)
        if hour.date() == day:
            _count_run(entries[Place(run["cluster"], run["host"], run["collector"]), hour], run)
    for part in refused:
        entry = entries[Place(part["cluster"], part["host"], part["collector"]), part["hour"]]
        entry.quarantined += part["quarantined"]
        entry.reasons.update(part["reasons"])
    for place, source in sources.items():
        for hour in clock.hours_of(day):
            if hour <= now and missed_readings(source, hour, now, 0.0):
                entries.setdefault((place, hour), Entry())
    return [
        _ledger_row(place, hour, entry, sources.get(place), now)
        for (place, hour), entry in sorted(entries.items(), key=lambda item: item[0])
    ]


def _count_run(entry: Entry, run: Mapping[str, Any]) -> None:
    entry.received += run["outcome"] == "success"
    entry.failed += run["outcome"] == "failed"
    entry.skipped += run["outcome"] == "skipped"
    entry.covered_seconds += max(run["interval_seconds"], SKIPPED_SECONDS if run["outcome"] == "skipped" else 0.0)
    entry.rows += run["rows"]
    entry.quarantined += run["quarantined"]
    if run["outcome"] != "success":
        entry.reasons[f"{run['category']}: {run['message']}"] += 1


def _ledger_row(place: Place, hour: datetime, entry: Entry, source: Source | None, now: datetime) -> dict[str, Any]:
    came = entry.received + entry.failed
    only_skipped = entry.skipped and not came
    missed = 0 if source is None or only_skipped else missed_readings(source, hour, now, entry.covered_seconds)
    return {
        **place._asdict(),
        "hour": clock.to_text(hour),
        "expected": came + missed,
        "received": entry.received,
        "failed": entry.failed,
        "skipped": entry.skipped,
        "rows": entry.rows,
        "quarantined": entry.quarantined,
        "reasons": json.dumps(entry.reasons, sort_keys=True),
    }

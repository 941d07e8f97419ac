"""The data-quality ledger: what was expected of each collector, host and hour, and what came."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Iterable, Mapping, NamedTuple

from nomade_pipeline import clock

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


def expected_readings(source: Source, hour: datetime, now: datetime) -> int:
    """Return how many readings a place should have given in an hour.

    Counted is the part of the hour between its first run and now, divided by its interval, rounded
    down: a reading that is due this moment is not yet missed.
    """
    if source.interval_seconds <= 0 or hour > source.last_seen + FORGOTTEN_AFTER:
        return 0
    begin, end = max(hour, source.first_seen), min(hour + HOUR, now)
    if source.first_seen >= hour and end == hour + HOUR:
        # A reading that ends with the hour belongs to the next one; later hours have one from the hour before.
        end -= timedelta(milliseconds=1)
    return max(0, int((end - begin).total_seconds() // source.interval_seconds))


def ledger_rows(
    runs: Iterable[Mapping[str, Any]],
    refused: Iterable[Mapping[str, Any]],
    sources: Mapping[Place, Source],
    day: date,
    now: datetime,
) -> list[dict[str, Any]]:
    """Build the ledger of a UTC day.

    Args:
        runs: the day's rows of the collection log.
        refused: what the ingest refused: cluster, host, collector, hour, quarantined, reasons.
        sources: every place that has ever reported.
        day: the UTC date.
        now: the present time; later hours have no entry.

    Returns:
        Rows of the contract `tables.rollups.LEDGER`, sorted by key.
    """
    entries: dict[tuple[Place, datetime], Entry] = defaultdict(Entry)
    for run in runs:
        _count_run(
            entries[Place(run["cluster"], run["host"], run["collector"]), clock.hour_of(run["sample_time"])], run
        )
    for part in refused:
        entry = entries[Place(part["cluster"], part["host"], part["collector"]), part["hour"]]
        entry.quarantined += part["quarantined"]
        entry.reasons.update(part["reasons"])
    for place, source in sources.items():
        for hour in clock.hours_of(day):
            if hour <= now and expected_readings(source, hour, now):
                entries.setdefault((place, hour), Entry())
    return [
        _ledger_row(place, hour, entry, sources.get(place), now)
        for (place, hour), entry in sorted(entries.items(), key=lambda item: item[0])
    ]


def _count_run(entry: Entry, run: Mapping[str, Any]) -> None:
    entry.received += run["outcome"] == "success"
    entry.failed += run["outcome"] == "failed"
    entry.skipped += run["outcome"] == "skipped"
    entry.rows += run["rows"]
    entry.quarantined += run["quarantined"]
    if run["outcome"] != "success":
        entry.reasons[f"{run['category']}: {run['message']}"] += 1


def _ledger_row(place: Place, hour: datetime, entry: Entry, source: Source | None, now: datetime) -> dict[str, Any]:
    came = entry.received + entry.failed
    only_skipped = entry.skipped and not came
    due = 0 if source is None or only_skipped else expected_readings(source, hour, now) - entry.skipped
    return {
        **place._asdict(),
        "hour": clock.to_text(hour),
        "expected": max(due, came),
        "received": entry.received,
        "failed": entry.failed,
        "skipped": entry.skipped,
        "rows": entry.rows,
        "quarantined": entry.quarantined,
        "reasons": json.dumps(entry.reasons, sort_keys=True),
    }

"""Whether the newest data of a table is there: the check that sees a dead agent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Iterable, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.tail import batches_since
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.operations import COLLECTION_LOG

# A skipped collector is asked again every ten minutes at the latest.
RECENT = timedelta(minutes=30)


@dataclass(frozen=True)
class Verdict:
    """The outcome of the newest-data check.

    Attributes:
        passed: whether the data is there, or is not expected.
        message: why, for a person.
        newest: newest sample time of the partition; None when it is empty.
    """

    passed: bool
    message: str
    newest: datetime | None


def newest_data(store: Store, table: Table, day: date, stale_after: timedelta) -> Verdict:
    """Judge whether a partition holds the newest data that it should.

    A past day needs data at all; today needs data not older than ``stale_after``. A table whose
    collector was skipped by every host at its last run needs none. Of a transient table, of which a run may
    rightly give no row, the newest successful run counts.
    """
    times = [store.lake.newest(table, cluster, day) for cluster in store.lake.clusters(table)]
    newest = max((moment for moment in times if moment is not None), default=None)
    now = clock.now()
    needs_reason = newest is None or now - newest > stale_after
    since = now - max(RECENT, stale_after)
    runs = _runs_of(store, table.collector, day, now, since) if needs_reason else ()
    if table.transient:
        newest = max(filter(None, (newest, last_success(runs))), default=None)
    return judge(newest=newest, skipped=skip_reason(runs), now=now, day=day, stale_after=stale_after)


def judge(newest: datetime | None, skipped: str | None, now: datetime, day: date, stale_after: timedelta) -> Verdict:
    """Decide from the newest sample, the reason why the collector was skipped, and the time."""
    if newest is None and skipped is not None:
        return Verdict(True, f"nothing to collect: {skipped}", None)
    if newest is None:
        return Verdict(False, "no data of this day; is the agent running? `nomade collect` starts it", None)
    if day < now.date():
        return Verdict(True, f"newest sample of the day at {clock.to_text(newest)}", newest)
    age = now - newest
    if age > stale_after and skipped is None:
        return Verdict(False, f"newest sample is {_minutes(age)} old; is the agent running?", newest)
    return Verdict(True, f"newest sample is {_minutes(max(age, timedelta(0)))} old", newest)


def _minutes(age: timedelta) -> str:
    return f"{age.total_seconds() / 60:.1f} min"


def last_success(runs: Iterable[Mapping[str, Any]]) -> datetime | None:
    """Return when a collector last ran with success on any host; None when it did not."""
    return max((run["sample_time"] for run in runs if run["outcome"] == "success"), default=None)


def skip_reason(runs: Iterable[Mapping[str, Any]]) -> str | None:
    """Return why a collector was skipped at its last run on every host; None when on one it was not."""
    last: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        known = last.get(run["host"])
        if known is None or run["sample_time"] >= known["sample_time"]:
            last[run["host"]] = run
    if not last or any(run["outcome"] != "skipped" for run in last.values()):
        return None
    return str(next(iter(last.values())).get("message"))


def _runs_of(store: Store, collector: str, day: date, now: datetime, since: datetime) -> Sequence[Mapping[str, Any]]:
    """Return the log of a collector: of a past day from the lake, of today what the spool has ``since``."""
    if day < now.date():
        rows = store.lake.read(COLLECTION_LOG, clock.start_of(day), clock.start_of(day + timedelta(days=1)))
        return rows.filter(rows["collector"] == collector).to_dicts()
    return [
        {**row, "sample_time": clock.from_text(row["sample_time"])}
        for batch in batches_since(store.spool, COLLECTION_LOG.name, since)
        for row in batch.to_rows()
        if row["collector"] == collector
    ]

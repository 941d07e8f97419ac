"""How the collectors of each host have fared in the last 24 hours.

The ledger tells what was ingested; the rest stands in the spool behind the length that was ingested.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Iterator, Mapping

from nomade_pipeline import clock
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.status.live import Database, window_start
from nomade_pipeline.store.spool import BadLine, Batch, decode_line, spool_files, whole_lines
from nomade_pipeline.tables.operations import COLLECTION_LOG


@dataclass
class Record:
    """One collector of one host.

    Attributes:
        missing: runs that were expected and did not come, in hours that are in the ledger.
        last_time: end of the newest run, None when only the ledger's hours are known.
        outcome: of the newest run; None as for `last_time`.
        reason: the last known reason why a run gave nothing; empty when all succeeded.
        newest_hour: beginning of the newest hour with an entry.
        interval_seconds: time before the newest run, rests included that spare the service it asks.
    """

    cluster: str
    host: str
    collector: str
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    missing: int = 0
    last_time: datetime | None = None
    outcome: str | None = None
    reason: str = ""
    newest_hour: datetime | None = None
    interval_seconds: float = 0.0

    @property
    def runs(self) -> int:
        """Runs that measured or failed; skipped ones had nothing to measure."""
        return self.succeeded + self.failed

    def to_dict(self) -> dict[str, Any]:
        """Return the record for JSON."""
        return {
            "cluster": self.cluster,
            "host": self.host,
            "collector": self.collector,
            "runs": self.runs,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
            "missing": self.missing,
            "last_time": None if self.last_time is None else clock.to_text(self.last_time),
            "last_outcome": self.outcome,
            "reason": self.reason or None,
        }


def records(paths: DataPaths, database: Database, now: datetime) -> list[Record]:
    """Return a record for each collector of each host, by cluster, host and collector."""
    start = window_start(now)
    found: dict[tuple[str, str, str], Record] = {}
    for entry in database.rows("SELECT * FROM ledger WHERE hour >= ? ORDER BY hour", (clock.to_text(start),)):
        _add_ledger(_record(found, entry["cluster"], entry["host"], entry["collector"]), entry)
    for source in database.rows("SELECT cluster, host, collector, last_seen, interval_seconds FROM sources"):
        record = _record(found, source["cluster"], source["host"], source["collector"])
        record.last_time, record.interval_seconds = clock.from_text(source["last_seen"]), source["interval_seconds"]
    for batch in _not_ingested(paths, database, start):
        for row in batch.to_rows():
            ended = clock.from_text(row["sample_time"])
            add_run(_record(found, row["cluster"], row["host"], row["collector"]), row, ended)
    return [found[place] for place in sorted(found)]


def _record(found: dict[tuple[str, str, str], Record], cluster: str, host: str, collector: str) -> Record:
    return found.setdefault((cluster, host, collector), Record(cluster, host, collector))


def _add_ledger(record: Record, entry: dict[str, Any]) -> None:
    """Count one hour of the ledger; hours come oldest first."""
    record.succeeded += entry["received"]
    record.failed += entry["failed"]
    record.skipped += entry["skipped"]
    record.missing += max(0, entry["expected"] - entry["received"] - entry["failed"])
    record.newest_hour = clock.from_text(entry["hour"])
    if not (entry["received"] or entry["failed"] or entry["skipped"]):
        return
    reasons = json.loads(entry["reasons"])
    if reasons:
        record.reason = max(reasons, key=lambda reason: int(reasons[reason]))
    if entry["skipped"] and not (entry["received"] or entry["failed"]):
        record.outcome = "skipped"
    elif entry["failed"] and not entry["received"]:
        record.outcome = "failed"
    else:
        record.outcome = "success"


def add_run(record: Record, row: Mapping[str, Any], ended: datetime) -> None:
    """Count one run of the collection log, which ended at a moment."""
    outcome = row["outcome"]
    record.succeeded += outcome == "success"
    record.failed += outcome == "failed"
    record.skipped += outcome == "skipped"
    if record.last_time is None or ended >= record.last_time:
        record.last_time, record.outcome, record.interval_seconds = ended, outcome, row["interval_seconds"]
        if outcome != "success":
            record.reason = f"{row['category']}: {row['message']}"


def _not_ingested(paths: DataPaths, database: Database, start: datetime) -> Iterator[Batch]:
    """Yield the readings of the collection log behind the length that the ingest has read."""
    booked = {
        row["path"]: int(row["bytes"])
        for row in database.rows(
            "SELECT path, bytes FROM ingested_files WHERE table_name = ? AND hour >= ?",
            (COLLECTION_LOG.name, clock.to_text(start)),
        )
    }
    for file in spool_files(paths.spool, COLLECTION_LOG.name):
        if file.hour < start:
            continue
        offset = booked.get(str(file.path.relative_to(paths.spool)), 0)
        try:
            with file.path.open("rb") as content:
                content.seek(offset)
                lines = whole_lines(content.read())
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                yield decode_line(line)
            except BadLine:
                # The ingest quarantines it, with the reason.
                continue

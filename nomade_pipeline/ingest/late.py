"""Late data: spool files of closed days that hold more than the lake has of them."""

from __future__ import annotations

from datetime import date
from typing import Iterable, Mapping

from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import spool_files


def late_days(lengths: Iterable[tuple[str, date, int]], ingested: Mapping[str, int], today: date) -> dict[date, int]:
    """Return the closed days with late data and the number of their files that have it.

    Args:
        lengths: path, UTC day and length in bytes of each spool file.
        ingested: length in bytes that was ingested, by path.
        today: the present UTC date; it and the future are the ordinary ingest's business.
    """
    late: dict[date, int] = {}
    for path, day, length in lengths:
        if day < today and length > ingested.get(path, 0):
            late[day] = late.get(day, 0) + 1
    return dict(sorted(late.items()))


def find_late_days(store: Store, today: date) -> dict[date, int]:
    """Look for late data in the spool of a data folder."""
    ingested = {
        str(row["path"]): int(row["bytes"]) for row in store.rollups.rows("SELECT path, bytes FROM ingested_files")
    }
    lengths = (
        (str(file.path.relative_to(store.spool)), file.hour.date(), file.path.stat().st_size)
        for file in spool_files(store.spool)
    )
    return late_days(lengths, ingested, today)

"""Trends as of now, for the command line: of one series, or of all that a derived table follows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.ingest.derive import trend_row, trend_rows
from nomade_pipeline.ingest.derived_sources import QUANTITIES, Reader, known
from nomade_pipeline.status.live import Database
from nomade_pipeline.store.lake import Lake

DAY_SECONDS = 86400.0
# A plot shows what is ahead over half of what lies behind, at so many moments.
AHEAD_SHARE, AHEAD_POINTS = 0.5, 25


def trend_of(
    times: Sequence[datetime], values: Sequence[float], window_seconds: float, limit: float | None, ok_word: str
) -> dict[str, Any] | None:
    """Return the columns of a derived table for one series, and its ``projection`` for a plot; None without samples.

    Times are ISO 8601 text. ``projection`` has ``times``, ``values``, ``low`` and ``high``.
    """
    if not times:
        return None
    import numpy as np

    from nomade_pipeline.analysis.series import SeriesBatch
    from nomade_pipeline.analysis.trend import analyse

    limits = np.array([np.nan if limit is None else limit])
    series = SeriesBatch.of([([time.timestamp() for time in times], values)])
    trends = analyse(series, window_seconds, limits)
    days = np.linspace(0, AHEAD_SHARE * window_seconds / DAY_SECONDS, AHEAD_POINTS)
    curves = zip(("values", "low", "high"), trends.curve(days), strict=True)
    row = trend_row(trends, 0, limits[0], ok_word)
    return {
        **_told(row),
        "projection": {
            "times": [clock.to_text(row["sample_time"] + timedelta(days=float(day))) for day in days],
            **{name: [known(value) for value in curve[0]] for name, curve in curves},
        },
    }


def trends_now(config: Config, name: str, now: datetime) -> list[dict[str, Any]]:
    """Return a row of a derived table for each series that has a sample in its window, as of now.

    Args:
        config: whose data folder is read.
        name: one of `ingest.derived_sources.QUANTITIES`.
        now: the present UTC time.
    """
    database = Database(config.paths)
    quantity = QUANTITIES[name]
    try:
        sources = quantity.within(Reader(database.rows, Lake(config.paths.lake)), config, now)
    finally:
        database.close()
    since = now - timedelta(seconds=quantity.window_seconds)
    rows = [_told(row) for row in trend_rows(sources, quantity, since)]
    return sorted(rows, key=lambda row: (row["cluster"], row["host"], row["subject"], row["metric"]))


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its times as text."""
    return {name: clock.to_text(value) if isinstance(value, datetime) else value for name, value in row.items()}

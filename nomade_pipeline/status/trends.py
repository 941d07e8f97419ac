"""Trends as of now, for the command line: of one series, or of all that a derived table follows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.ingest.derived_sources import QUANTITIES, Name, Reader, Sources
from nomade_pipeline.ingest.trend_frame import rows_of, trend_frame

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

    series = SeriesBatch.of([([time.timestamp() for time in times], values)])
    sources = Sources([Name("", "", "", "")], series, np.array([np.nan if limit is None else limit]))
    trends = analyse(series, window_seconds, sources.limits)
    days = np.linspace(0, AHEAD_SHARE * window_seconds / DAY_SECONDS, AHEAD_POINTS)
    curves = zip(("values", "low", "high"), trends.curve(days), strict=True)
    row = rows_of(trends, sources, ok_word).drop("cluster", "host", "subject", "metric").to_dicts()[0]
    return {
        **_told(row),
        "projection": {
            "times": [clock.to_text(row["sample_time"] + timedelta(days=float(day))) for day in days],
            **{name: [None if np.isnan(value) else float(value) for value in curve[0]] for name, curve in curves},
        },
    }


def trends_now(config: Config, name: str, now: datetime) -> list[dict[str, Any]]:
    """Return a row of a derived table for each series that has a sample in its window, as of now.

    Args:
        config: whose data folder is read.
        name: one of `ingest.derived_sources.QUANTITIES`.
        now: the present UTC time.

    Raises:
        DatabaseError, LakeError: what is stored cannot be read.
    """
    quantity = QUANTITIES[name]
    since = now - timedelta(seconds=quantity.window_seconds)
    frame = trend_frame(quantity.within(Reader(config.paths), config, now), quantity, since)
    return [_told(row) for row in frame.sort("cluster", "host", "subject", "metric").iter_rows(named=True)]


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its times as text."""
    return {name: clock.to_text(value) if isinstance(value, datetime) else value for name, value in row.items()}

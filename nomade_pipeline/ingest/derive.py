"""The derived tables of a UTC day: how each series moves, and how last week's projections did."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.ingest.derived_sources import QUANTITIES, Quantity, Reader, Sources
from nomade_pipeline.ingest.trend_frame import trend_frame
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.derived import HORIZON_DAYS, TREND_SCORES, TREND_TABLES

if TYPE_CHECKING:
    import polars

HALF_HOUR = timedelta(minutes=30)


def derive_day(store: Store, config: Config, name: str, day: date) -> int:
    """Write the derived table of a UTC day anew; return its rows.

    Args:
        store: where.
        config: what ``[derived]`` and the thresholds say.
        name: one of `TREND_TABLES`.
        day: the UTC date; of today what is known by now counts.

    Raises:
        LakeError, DatabaseError: what it is made of cannot be read.
    """
    end = min(clock.start_of(day + timedelta(days=1)), clock.now())
    quantity = QUANTITIES[name]
    sources = quantity.within(Reader(store.paths), config, end)
    return _replace(store, TREND_TABLES[name], day, trend_frame(sources, quantity, clock.start_of(day)))


def trends_of_day(store: Store, config: Config, day: date) -> dict[str, int]:
    """Write all derived tables of trends of a UTC day anew; return the rows of each.

    Raises:
        LakeError, DatabaseError: see `derive_day`.
    """
    return {name: derive_day(store, config, name, day) for name in TREND_TABLES}


def _replace(store: Store, table: Table, day: date, frame: polars.DataFrame) -> int:
    """Put rows in the place of a day of a derived table; return their number."""
    import polars as pl

    stored = {cluster for cluster in store.lake.clusters(table) if day in store.lake.days(table, cluster)}
    return sum(
        store.lake.replace(table, cluster, day, frame.filter(pl.col("cluster") == cluster))
        for cluster in sorted(stored | set(frame["cluster"].unique()))
    )


def score_day(store: Store, config: Config, day: date) -> list[dict[str, Any]]:
    """Write what became of the projections that were made for a UTC day; return the rows.

    A projection is held against the mean of the hour for which it was made; without one it has no score yet.
    """
    import polars as pl

    rows = [row for name, table in TREND_TABLES.items() for row in _scores(store, config, table, QUANTITIES[name], day)]
    _replace(store, TREND_SCORES, day, pl.DataFrame(rows, schema=polars_schema(TREND_SCORES)))
    return rows


def _scores(store: Store, config: Config, table: Table, quantity: Quantity, day: date) -> list[dict[str, Any]]:
    start, reader = clock.start_of(day), Reader(store.paths)
    made = {
        days: store.lake.read(table, start - timedelta(days=days), start - timedelta(days=days - 1))
        for days in HORIZON_DAYS
    }
    if not any(frame.height for frame in made.values()):
        return []
    actual = _by_hour(quantity.read(reader, config, start, min(start + timedelta(days=1), clock.now())))
    found = []
    for days, frame in made.items():
        for row in frame.drop_nulls(f"projected_{days}d").iter_rows(named=True):
            series = row["cluster"], row["host"], row["subject"], row["metric"]
            hour = clock.hour_of(row["sample_time"] + timedelta(days=days))
            if (series, hour) in actual:
                found.append(_score(table, row, days, hour, actual[series, hour]))
    return found


def _by_hour(sources: Sources) -> dict[tuple[tuple[str, ...], datetime], float]:
    """Return the mean of each series in each hour."""
    import numpy as np

    sums: dict[tuple[tuple[str, ...], datetime], list[float]] = {}
    for row, name in enumerate(sources.names):
        for column in np.flatnonzero(~np.isnan(sources.series.times[row])):
            hour = clock.hour_of(clock.from_epoch(sources.series.times[row, column]))
            sums.setdefault((tuple(name), hour), []).append(float(sources.series.values[row, column]))
    return {key: sum(values) / len(values) for key, values in sums.items()}


def _score(table: Table, row: dict[str, Any], days: int, hour: datetime, actual: float) -> dict[str, Any]:
    projected, low, high = (row[f"projected_{days}d{end}"] for end in ("", "_low", "_high"))
    return {
        **{name: row[name] for name in ("cluster", "host", "subject", "metric")},
        "table_name": table.name,
        "horizon_days": days,
        "made_time": row["sample_time"],
        "sample_time": hour + HALF_HOUR,
        "projected": projected,
        "projected_low": low,
        "projected_high": high,
        "actual": actual,
        "error": actual - projected,
        "inside": low <= actual <= high,
    }

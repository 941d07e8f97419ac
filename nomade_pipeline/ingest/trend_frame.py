"""Trends as rows of a derived table."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from nomade_pipeline.ingest.derived_sources import Quantity, Sources
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.derived import HORIZON_DAYS, TREND_TABLES, TREND_WORDS

if TYPE_CHECKING:
    import polars

    from nomade_pipeline.analysis.series import Floats
    from nomade_pipeline.analysis.trend import Trends

DAY_SECONDS = 86400.0
# All trend tables have these columns.
SCHEMA_OF = TREND_TABLES["disk"]


def trend_frame(sources: Sources, quantity: Quantity, since: datetime) -> polars.DataFrame:
    """Return a row of a derived table for each series that has a sample since a moment."""
    import polars as pl

    if not sources.names:
        return pl.DataFrame(schema=polars_schema(SCHEMA_OF))
    from nomade_pipeline.analysis.trend import analyse

    trends = analyse(sources.series, quantity.window_seconds, sources.limits)
    return rows_of(trends, sources, quantity.ok_word).filter(pl.col("sample_time") >= since)


def rows_of(trends: Trends, sources: Sources, ok_word: str) -> polars.DataFrame:
    """Return a row for each series, whatever is known of it; NaN and infinity become null."""
    import polars as pl

    schema = polars_schema(SCHEMA_OF)
    words = pl.Series(TREND_WORDS)[trends.trend]
    better = words.is_in(["declining", "decelerating"]) & bool(ok_word)
    columns = {
        **{name: [getattr(each, name) for each in sources.names] for name in ("cluster", "host", "subject", "metric")},
        "points": trends.points,
        "span_seconds": trends.span_days * DAY_SECONDS,
        **{name: _known(values) for name, values in _numbers(trends, sources.limits).items()},
        **{name: _moments(values) for name, values in _times(trends).items()},
        "trend": words,
        "ok_word": better.replace_strict({True: ok_word, False: None}, return_dtype=pl.String),
        "limit_if_rate_holds": trends.limit_if_rate_holds,
    }
    return pl.DataFrame({name: columns[name] for name in schema}, schema=schema)


def _numbers(trends: Trends, limits: Floats) -> dict[str, Floats]:
    projected = {"": trends.projected, "_low": trends.projected_low, "_high": trends.projected_high}
    return {
        "value": trends.value,
        "value_error": trends.value_error,
        "rate_per_day": trends.rate,
        "rate_error": trends.rate_error,
        "rate_p": trends.rate_p,
        "acceleration_per_day2": trends.acceleration,
        "acceleration_error": trends.acceleration_error,
        "acceleration_p": trends.acceleration_p,
        **{
            f"projected_{days}d{end}": values[:, place]
            for place, days in enumerate(HORIZON_DAYS)
            for end, values in projected.items()
        },
        "limit": limits,
        "jump": trends.jump,
    }


def _times(trends: Trends) -> dict[str, Floats]:
    ahead = {
        "limit_time": trends.limit_days,
        "limit_first_time": trends.limit_low_days,
        "limit_last_time": trends.limit_high_days,
        "rate_limit_time": trends.rate_limit_days,
        "acceleration_limit_time": trends.acceleration_limit_days,
    }
    return {
        "sample_time": trends.time,
        "jump_time": trends.jump_time,
        "restart_time": trends.restart_time,
        **{name: trends.time + days * DAY_SECONDS for name, days in ahead.items()},
    }


def _known(values: Floats) -> polars.Series:
    import numpy as np
    import polars as pl

    return pl.Series(np.where(np.isfinite(values), values, np.nan)).fill_nan(None)


def _moments(seconds: Floats) -> polars.Series:
    import polars as pl

    return (_known(seconds) * 1000).round().cast(pl.Int64).cast(pl.Datetime("ms", "UTC"))

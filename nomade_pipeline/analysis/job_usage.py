"""Rows of the rollups about jobs and nodes, from raw rows of one hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nomade_pipeline.tables.job_rollups import JOB_USAGE, NODE_HISTORY

if TYPE_CHECKING:
    import polars

_KEY = ("cluster", "job_id_raw", "node", "host", "run_start", "hour")
# A reading has one of these.
_MEASUREMENTS = ("cpu_seconds", "memory_bytes", "memory_peak_bytes", "write_bytes", "read_bytes")
_BOOKED = (*_KEY, "readings", "first_time", "last_time")


def job_usage_rows(frame: polars.DataFrame) -> polars.DataFrame:
    """Return what the monitor saw of each job on each node in each hour, as `tables.job_rollups.JOB_USAGE` says.

    Counters of the monitor never fall, so their largest value is the newest; a null is no zero. A row of a hook that
    has no measurement (the prolog's, or an epilog's of a job that nobody watched) is no reading.

    Args:
        frame: rows of raw/job_monitor.
    """
    import polars as pl

    measures = [name for name in JOB_USAGE.column_names if name not in _BOOKED and name != "memory_peak_bytes"]
    measured = pl.any_horizontal(pl.col(name).is_not_null() for name in _MEASUREMENTS)
    return (
        frame.filter(measured)
        .with_columns(
            pl.col("start_time").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").fill_null("").alias("run_start"),
            pl.col("sample_time").dt.truncate("1h").alias("hour"),
        )
        .group_by(_KEY)
        .agg(
            pl.len().cast(pl.Int64).alias("readings"),
            pl.col("sample_time").min().alias("first_time"),
            pl.col("sample_time").max().alias("last_time"),
            pl.max_horizontal("memory_peak_bytes", "memory_bytes").max().alias("memory_peak_bytes"),
            *[pl.col(name).max() for name in measures],
        )
        .sort(_KEY)
    )


def availability() -> polars.Expr:
    """Return the expression that says in which way a node is out of use; null when it is in use."""
    import polars as pl

    flags = pl.concat_str([pl.lit(","), pl.col("flags").fill_null(""), pl.lit(",")])

    def has(flag: str) -> polars.Expr:
        return flags.str.contains(f",{flag},", literal=True)

    state = pl.col("state")
    return (
        pl.when(pl.col("usable") == 1)
        .then(pl.lit(None, dtype=pl.String))
        .when(state.is_null() | (state == "UNKNOWN"))
        .then(pl.lit("unknown"))
        .when(state == "FUTURE")
        .then(pl.lit("future"))
        .when(state.is_in(["DOWN", "ERROR"]))
        .then(pl.lit("down"))
        .when(has("NOT_RESPONDING"))
        .then(pl.lit("not_responding"))
        .when((pl.col("drained") == 1) & state.is_in(["ALLOCATED", "MIXED"]))
        .then(pl.lit("draining"))
        .when(pl.col("drained") == 1)
        .then(pl.lit("drained"))
        .when(has("FAIL"))
        .then(pl.lit("failing"))
        .otherwise(pl.lit("maintenance"))
    )


def node_history_rows(frame: polars.DataFrame) -> polars.DataFrame:
    """Return the stretches in which nodes were out of use, as `tables.job_rollups.NODE_HISTORY` says.

    A stretch ends with the hour, or when the way, the reason or its author changes.

    Args:
        frame: rows of raw/node_state, of one hour and any number of hosts; the readings of several hosts are joined.
    """
    import polars as pl

    same = ["cluster", "node", "hour", "availability", "reason", "reason_user"]
    rows = frame.with_columns(
        availability().alias("availability"), pl.col("sample_time").dt.truncate("1h").alias("hour")
    )
    rows = rows.sort("cluster", "node", "sample_time", "host")
    begins = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in same)
    return (
        rows.with_columns((begins | (pl.int_range(pl.len()) == 0)).cum_sum().alias("_stretch"))
        .drop_nulls("availability")
        .group_by("_stretch", maintain_order=True)
        .agg(
            *[pl.col(name).first() for name in same],
            pl.col("sample_time").min().alias("since_time"),
            pl.col("sample_time").max().alias("until_time"),
            pl.len().cast(pl.Int64).alias("readings"),
            pl.col("state_raw").last(),
            pl.col("reason_time").last(),
        )
        .select(NODE_HISTORY.column_names)
    )

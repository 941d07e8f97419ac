"""Rollup arithmetic: readings of an hour to count, sum, minimum, maximum, last per series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nomade_pipeline.tables.contract import Column, Table

if TYPE_CHECKING:
    import polars

# Between the parts of a subject that needs more than one column.
SUBJECT_SEPARATOR = "/"


def subject_expression(columns: tuple[str, ...]) -> polars.Expr:
    """Return the expression that names a row's subject: the columns joined, empty for none."""
    import polars as pl

    if not columns:
        return pl.lit("").alias("subject")
    return pl.concat_str([pl.col(name).cast(pl.String) for name in columns], separator=SUBJECT_SEPARATOR).alias(
        "subject"
    )


def hourly_aggregates(frame: polars.DataFrame, table: Table) -> polars.DataFrame:
    """Aggregate the measures of a raw table per series and UTC hour.

    A null is not counted. ``seconds`` and ``integral`` weight by the interval, so that
    ``integral / seconds`` is the time-weighted mean whatever the intervals were.

    Args:
        frame: rows of the table, any number of clusters, hosts and hours.
        table: its contract; ``measures`` and ``rollup_by`` decide.

    Returns:
        One row a series and hour: cluster, host, subject, metric, hour, count, seconds, sum,
        integral, min, max, last. Host is empty when the contract rolls up over hosts.
    """
    import polars as pl

    by = [name for name in table.rollup_by if name != "host"]
    host = pl.col("host") if "host" in table.rollup_by else pl.lit("").alias("host")
    named = frame.drop_nulls(by).select(
        "cluster",
        host,
        subject_expression(tuple(by)),
        pl.col("host").alias("_sampled_by"),
        "sample_time",
        _exact(table.column("interval_seconds")),
        *[_exact(measure) for measure in table.measures],
    )
    value, seconds = pl.col("value"), pl.col("interval_seconds")
    return (
        named.unpivot(
            on=[measure.name for measure in table.measures],
            index=["cluster", "host", "subject", "_sampled_by", "sample_time", "interval_seconds"],
            variable_name="metric",
        )
        .with_columns(pl.col("value").cast(pl.Float64))
        .drop_nulls("value")
        # Two configured paths on one file system are one reading of it.
        .unique(
            subset=["cluster", "subject", "_sampled_by", "sample_time", "metric"], keep="first", maintain_order=True
        )
        .sort("sample_time", maintain_order=True)
        .group_by("cluster", "host", "subject", "metric", pl.col("sample_time").dt.truncate("1h").alias("hour"))
        .agg(
            value.count().cast(pl.Int64).alias("count"),
            seconds.sum().alias("seconds"),
            value.sum().alias("sum"),
            (value * seconds).sum().alias("integral"),
            value.min().alias("min"),
            value.max().alias("max"),
            value.last().alias("last"),
        )
        .sort("cluster", "host", "subject", "metric", "hour")
    )


def _exact(measure: Column) -> polars.Expr:
    """Return a measure as the decimal number that was stored, not its nearest 32-bit float."""
    import polars as pl

    value = pl.col(measure.name).cast(pl.Float64)
    return value if measure.decimals is None else value.round(measure.decimals)


def exact_rows(frame: polars.DataFrame, table: Table) -> polars.DataFrame:
    """Return rows with their floats as the decimal numbers that were stored: 0.1, not 0.10000000149."""
    floats = [column for column in table.columns if column.type in ("float32", "float64")]
    return frame.with_columns(_exact(column) for column in floats)


def latest_rows(frame: polars.DataFrame, table: Table) -> polars.DataFrame:
    """Return the newest row of each cluster, host and subject, with a ``subject`` column."""
    return (
        exact_rows(frame, table)
        .with_columns(subject_expression(table.subject))
        .sort("sample_time", maintain_order=True)
        .unique(subset=["cluster", "host", "subject"], keep="last", maintain_order=True)
        .sort("cluster", "host", "subject")
    )

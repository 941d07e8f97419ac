"""Readings of file systems for benchmarks, put straight into the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.system import DISK

if TYPE_CHECKING:
    import polars

    from nomade_pipeline.store.lake import Lake

CLUSTER = "bench"


def publish_disk_rows(lake: Lake, rows: polars.DataFrame) -> None:
    """Publish readings of raw/disk by day; what a frame leaves out is null or plain."""
    import polars as pl

    schema = polars_schema(DISK)
    rows = rows.with_columns(
        cluster=pl.lit(CLUSTER), status=pl.lit("ok"), source=pl.lit("tool"), received_time=pl.col("sample_time")
    )
    rows = rows.with_columns(pl.lit(None).alias(name) for name in schema if name not in rows.columns)
    rows = rows.select(pl.col(name).cast(kind) for name, kind in schema.items())
    for (day,), part in rows.group_by(pl.col("sample_time").dt.date()):
        lake.publish_over(DISK, CLUSTER, day, part)

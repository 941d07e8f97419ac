"""History from sysstat's archives: the hours of a past day in which no agent ran on this host."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Sequence

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import LiveProbe, Probe
from nomade_pipeline.quality.contract import check
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars

ARCHIVED_COLLECTORS = ("iostat", "mpstat", "vmstat")


def publish_archive(store: Store, config: Config, table: Table, day: date, probe: Probe | None = None) -> int:
    """Publish this host's archived readings of a past day; return the number of rows added.

    Only hours without rows of this host are filled, so an agent's own readings are never mixed with
    an archive's. Without an archive nothing happens.

    Raises:
        CollectorError, ProbeError: there is an archive but it cannot be read.
        LakeError: the lake cannot be written.
    """
    from nomade_pipeline.collectors.sadf import archives_for, parse_sadf, read_archive

    if table.collector not in ARCHIVED_COLLECTORS:
        return 0
    probe = probe or LiveProbe()
    readings = [
        reading
        for path in archives_for(day, probe)
        for reading in parse_sadf(read_archive(probe, path), day)
        if reading.table == table.name
    ]
    general = config.general
    checked = check(archive_frame(readings, table, general.cluster_name, general.host), table, clock.now())
    rows = _in_empty_hours(store, table, config, day, checked.good)
    if rows.is_empty():
        return 0
    published = store.lake.publish(table, general.cluster_name, day, rows)
    store.rollups.record_hours(table.name, general.cluster_name, published.hours)
    return published.added


def archive_frame(readings: Sequence[Reading], table: Table, cluster: str, host: str) -> polars.DataFrame:
    """Return readings of one table and host as a frame in the contract's schema."""
    import polars as pl

    rows = [
        {
            "cluster": cluster,
            "host": host,
            "sample_time": reading.sample_time,
            "interval_seconds": reading.interval_seconds,
            "source": reading.source,
            # The archive does not tell when it was written; so a repetition gives the same bytes.
            "received_time": reading.sample_time,
            **row,
        }
        for reading in readings
        for row in reading.rows
    ]
    return pl.DataFrame(rows, schema=polars_schema(table), strict=False)


def _in_empty_hours(store: Store, table: Table, config: Config, day: date, rows: polars.DataFrame) -> polars.DataFrame:
    """Keep the rows of hours in which the lake has nothing of this host."""
    import polars as pl

    stored = store.lake.read_day(table, config.general.cluster_name, day).filter(
        (pl.col("host") == config.general.host) & (pl.col("source") != "sadf")
    )
    hour = pl.col("sample_time").dt.truncate("1h")
    return rows.filter(~hour.is_in(stored.select(hour).to_series().unique().implode()))

"""Where the system quantities of a job come from: columns of raw tables, a day of some hosts at a time.

Days that are near are read from the raw samples, older hours from the hourly rollups, of which an hour is a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Iterator, Mapping

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.memory import memory_pressure_expression
from nomade_pipeline.features.intervals import Samples
from nomade_pipeline.ingest.derived_sources import Reader
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.system import IOSTAT, IOSTAT_CPU, MPSTAT_SUMMARY, VMSTAT

if TYPE_CHECKING:
    import polars

KILOBYTE = 1000.0
# Layers on disks and parts of them; a rollup does not tell the kind of a device, its name does.
NOT_A_DISK = r"^(dm-|md|loop|zram|ram|sr|nbd)"


@dataclass(frozen=True)
class Source:
    """What one raw table tells of jobs.

    Attributes:
        table: its contract.
        columns: the measures that are read.
        means: quantity to the expression whose time-weighted mean it is.
        peaks: quantity to the expression whose maximum it is.
        whole_disks: whether rows are devices, of which the busiest whole disk counts.
    """

    table: Table
    columns: tuple[str, ...]
    means: Mapping[str, polars.Expr] = field(default_factory=dict)
    peaks: Mapping[str, polars.Expr] = field(default_factory=dict)
    whole_disks: bool = False


def sources() -> tuple[Source, ...]:
    """Return the tables that system quantities are made of."""
    import polars as pl

    rates = [pl.col(f"swap_{way}_bytes_per_second").cast(pl.Float64) for way in ("in", "out")]
    swapped = pl.when(pl.any_horizontal(rate.is_not_null() for rate in rates)).then(pl.sum_horizontal(rates) / KILOBYTE)
    return (
        Source(
            IOSTAT_CPU,
            ("iowait_percent",),
            means={"avg_iowait": pl.col("iowait_percent")},
            peaks={"peak_iowait": pl.col("iowait_percent")},
        ),
        Source(
            MPSTAT_SUMMARY,
            ("busy_percent", "imbalance_ratio", "busy_max_percent"),
            means={"avg_core_busy": pl.col("busy_percent"), "imbalance_ratio": pl.col("imbalance_ratio")},
            peaks={"max_core_busy": pl.col("busy_max_percent")},
        ),
        Source(
            VMSTAT,
            (
                "procs_blocked",
                "memory_available_bytes",
                "memory_total_bytes",
                "swap_in_bytes_per_second",
                "swap_out_bytes_per_second",
                "psi_memory_some_percent",
            ),
            means={"memory_pressure": memory_pressure_expression(), "procs_blocked": pl.col("procs_blocked")},
            peaks={"swap_activity": swapped},
        ),
        Source(IOSTAT, ("util_percent",), means={"device_util": pl.col("util_percent")}, whole_disks=True),
    )


# Every host has CPUs and memory, but not every one a disk: these tables tell how much of a run was sampled.
COVERAGE_TABLES = (IOSTAT_CPU, MPSTAT_SUMMARY, VMSTAT)


def raw_samples(
    lake: Lake, cluster: str, day: date, source: Source, part: tuple[str, str]
) -> Iterator[tuple[str, Samples]]:
    """Yield host and samples of the hosts of a range that have any on a UTC day, from the raw table."""
    import polars as pl

    kind = ("device_kind",) if source.whole_disks else ()
    names = ("host", *kind, "sample_time", "interval_seconds", *source.columns)
    rows = lake.read_day(source.table, cluster, day, columns=names, part=part)
    if source.whole_disks:
        rows = rows.filter(pl.col("device_kind") == "disk").group_by("host", "sample_time").agg(
            pl.col("interval_seconds").first(), pl.col(source.columns).max()
        )  # fmt: skip
    ends = pl.col("sample_time").dt.epoch("ms").cast(pl.Float64) / 1000
    length = pl.col("interval_seconds").cast(pl.Float64)
    rows = rows.sort("host", "sample_time").with_columns(
        _end=ends,
        # Two samplers on one host, or a late start, must not count a moment twice.
        _start=pl.max_horizontal(ends - length, ends.shift(1).over("host")),
    )
    rows = rows.with_columns(_seconds=pl.col("_end") - pl.col("_start"))
    yield from _by_host(rows, rows, source)


def _by_host(means: polars.DataFrame, peaks: polars.DataFrame, source: Source) -> Iterator[tuple[str, Samples]]:
    """Yield the samples of each host.

    Args:
        means: rows sorted by host and time, with ``_start``, ``_end``, ``_seconds`` and the columns that means need.
        peaks: the same rows with the columns that peaks need.
        source: what to make of them.
    """
    import polars as pl

    if means.is_empty():
        return
    seconds = means["_seconds"].to_numpy()
    found = means.select(expression.cast(pl.Float64).alias(name) for name, expression in source.means.items())
    values = found.fill_null(float("nan")).to_numpy()
    highest = peaks.select(expression.cast(pl.Float64).alias(name) for name, expression in source.peaks.items())
    tops = highest.fill_null(float("-inf")).to_numpy() if source.peaks else np.empty((len(values), 0))
    known = np.isfinite(values)
    # The last column is 1 wherever there is a sample: its weight is the time that was sampled.
    columns = np.column_stack([np.where(known, values, 0.0), np.ones(len(values))])
    weights = np.column_stack([np.where(known, seconds[:, None], 0.0), seconds])
    starts, ends = means["_start"].to_numpy(), means["_end"].to_numpy()
    hosts = means["host"].rle_id().to_numpy()
    edges = np.flatnonzero(np.diff(hosts, prepend=-1, append=hosts[-1] + 1))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = slice(first, last)
        yield means["host"][first], Samples(starts[rows], ends[rows], weights[rows], columns[rows], tops[rows])


def rolled_up_samples(
    reader: Reader, cluster: str, source: Source, start: datetime, end: datetime
) -> Iterator[tuple[str, Samples]]:
    """Yield host and samples between two moments from the hourly rollups, of which an hour is one sample.

    Coarser: quantities that are made of several columns are made of their hourly means, peaks of their hourly maxima,
    and the busiest disk is that of the hour.
    """
    import polars as pl

    marks = ", ".join("?" for _ in source.columns)
    rows = reader.rows(
        "SELECT s.host, s.subject, CAST(strftime('%s', r.hour) AS REAL), s.metric, r.seconds, r.integral / r.seconds, "
        "r.max FROM hourly_rollup r JOIN series s USING (series_id) WHERE s.cluster = ? AND s.table_name = ? "
        f"AND s.metric IN ({marks}) AND r.hour >= ? AND r.hour < ? AND r.seconds > 0",
        (cluster, source.table.name, *source.columns, clock.to_text(start), clock.to_text(end)),
    )
    names = ("host", "subject", "_start", "metric", "_seconds", "mean", "max")
    kinds = (pl.String, pl.String, pl.Float64, pl.String, pl.Float64, pl.Float64, pl.Float64)
    frame = pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")
    if source.whole_disks:
        frame = frame.filter(~pl.col("subject").str.contains(NOT_A_DISK))
    hour, by = timedelta(hours=1).total_seconds(), ("host", "_start")
    seconds = frame.group_by(by).agg(pl.col("_seconds").max().clip(upper_bound=hour))
    hours = seconds.sort(by).with_columns(_end=pl.col("_start") + hour)
    means, peaks = (
        hours.join(_wide(frame, source, value), on=by, how="left", maintain_order="left") for value in ("mean", "max")
    )
    yield from _by_host(means, peaks, source)


def _wide(frame: polars.DataFrame, source: Source, value: str) -> polars.DataFrame:
    """Return a column a measure, a row a host and hour."""
    import polars as pl

    return frame.group_by("host", "_start").agg(
        pl.col(value).filter(pl.col("metric") == name).max().alias(name) for name in source.columns
    )

"""Valid rows, frames, readings and stores to start from; a test names only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Mapping

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.contract import COMMON_NAMES, Column, Table
from nomade_pipeline.tables.system import IOSTAT_CPU

if TYPE_CHECKING:
    import polars

CLUSTER, HOST = "alpha", "node1"
T0 = datetime(2026, 3, 5, 10, 0, tzinfo=UTC)
DAY = T0.date()


def at(minutes: float = 0.0, start: datetime = T0) -> datetime:
    """Return a moment so many minutes after ``start``."""
    return start + timedelta(minutes=minutes)


def value_of(column: Column) -> Any:
    """Return a valid value of a column."""
    plain: dict[str, Any] = {"text": "x", "bool": False, "time": T0, "date": DAY, "float32": 2.0, "float64": 2.0}
    return column.allowed[0] if column.allowed else plain.get(column.type, 1)


def row_of(table: Table, **values: Any) -> dict[str, Any]:
    """Return a whole valid row of a raw table, with some values of one's own."""
    common = {
        "cluster": CLUSTER,
        "host": HOST,
        "sample_time": T0,
        "interval_seconds": 60.0,
        "source": "tool",
        "received_time": T0,
    }
    unknown = set(values) - set(table.column_names)
    assert not unknown, f"{table.name} has no {unknown}"
    return {**{column.name: value_of(column) for column in table.columns}, **common, **values}


def frame_of(table: Table, rows: Iterable[Mapping[str, Any]]) -> polars.DataFrame:
    """Return rows as a frame in the contract's schema."""
    import polars as pl

    from nomade_pipeline.store.schema import polars_schema

    return pl.DataFrame(list(rows), schema=polars_schema(table), strict=False)


def data_of(table: Table, **values: Any) -> dict[str, Any]:
    """Return a row as a collector gives it: without the common columns."""
    return {name: value for name, value in row_of(table, **values).items() if name not in COMMON_NAMES}


def reading_of(table: Table, moment: datetime, *rows: Mapping[str, Any], interval: float = 60.0) -> Reading:
    """Return a reading; without rows it has one valid row."""
    return Reading(table.name, [dict(row) for row in rows] or [data_of(table)], moment, interval)


def spool(root: Path, *readings: Reading, host: str = HOST, writer: str = "agent", cluster: str = CLUSTER) -> Path:
    """Append readings to a spool, each received a second after it was sampled; return the last one's file."""
    to = SpoolWriter(root, cluster, host, writer)
    for reading in readings:
        with clock.set_to(reading.sample_time + timedelta(seconds=1)):
            to.append([reading])
    return to.path_for(readings[-1])


def cpu_rows(minutes: Iterable[float], host: str = HOST, **values: Any) -> list[dict[str, Any]]:
    """Return rows of ``iostat_cpu`` at some minutes after T0, received a second later."""
    return [
        row_of(
            IOSTAT_CPU,
            **{"host": host, "sample_time": at(m), "received_time": at(m) + timedelta(seconds=1), **values},
        )
        for m in minutes
    ]

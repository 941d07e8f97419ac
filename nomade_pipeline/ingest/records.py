"""Records of past events (jobs that ended) that a command writes: to frames, and straight into the lake."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Iterable, Sequence

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import Rejected, Row
from nomade_pipeline.ingest.partition import is_over
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.quarantine import Refused
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.store.spool import printable_text, storable
from nomade_pipeline.tables.contract import Column, Table

if TYPE_CHECKING:
    import polars

    from nomade_pipeline.store.lake import Published


def frame_of(
    rows: Sequence[Row], table: Table, *, cluster: str, host: str, source: str, received: datetime | None = None
) -> polars.DataFrame:
    """Return a collector's rows as a frame in the contract's schema, with values as the spool would store them.

    Args:
        rows: as a collector gives them.
        table: a table of events.
        cluster: of all rows.
        host: of all rows.
        source: of all rows.
        received: when they were received; None: at their own time, so that a repetition gives the same bytes.
    """
    import polars as pl

    own = [row[table.own_time] for row in rows]
    shared = {"cluster": cluster, "host": host, "interval_seconds": 0.0, "source": source}
    columns = {
        **{name: [value] * len(rows) for name, value in shared.items()},
        "sample_time": own,
        "received_time": own if received is None else [received] * len(rows),
        **{column.name: [_value(row.get(column.name), column) for row in rows] for column in table.data_columns},
    }
    schema = polars_schema(table)
    return pl.DataFrame([pl.Series(name, columns[name], dtype=kind, strict=False) for name, kind in schema.items()])


def _value(value: Any, column: Column) -> Any:
    return value if isinstance(value, datetime) else storable(value, column)


def publish_past(store: Store, table: Table, cluster: str, day: date, frame: polars.DataFrame) -> Published:
    """Publish rows of one UTC day that fulfil the contract, book their hours, and leave a day that is over closed.

    Raises:
        LakeError: see `Lake.publish`.
    """
    over = is_over(day, clock.now())
    publish = store.lake.publish_over if over else store.lake.publish
    published = publish(table, cluster, day, frame)
    store.rollups.record_hours(table.name, cluster, published.hours)
    return published


def refused_of(rejected: Iterable[Rejected]) -> list[Refused]:
    """Return what a parser rejected as the quarantine keeps it: printable."""
    return [Refused(each.reason, printable_text(each.text)) for each in rejected]

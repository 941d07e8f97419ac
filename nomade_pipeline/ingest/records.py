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


def data_frame(rows: Sequence[Row], table: Table) -> polars.DataFrame:
    """Return a collector's rows as a frame of the data columns, with values as the spool would store them."""
    import polars as pl

    schema = polars_schema(table)
    return pl.DataFrame(
        [
            pl.Series(
                column.name,
                [_value(row.get(column.name), column) for row in rows],
                dtype=schema[column.name],
                strict=False,
            )
            for column in table.data_columns
        ]
    )


def stamped(
    data: polars.DataFrame, table: Table, *, cluster: str, host: str, source: str, received: datetime | None = None
) -> polars.DataFrame:
    """Return data columns of a table of events with the common ones, in the contract's schema.

    Args:
        data: the data columns.
        table: a table of events.
        cluster: of all rows.
        host: of all rows.
        source: of all rows.
        received: when they were received; None: at their own time, so that a repetition gives the same bytes.
    """
    import polars as pl

    own = pl.col(table.own_time)
    common = {
        "cluster": pl.lit(cluster),
        "host": pl.lit(host),
        "sample_time": own,
        "interval_seconds": pl.lit(0.0),
        "source": pl.lit(source),
        "received_time": own if received is None else pl.lit(received),
    }
    schema = polars_schema(table)
    return data.with_columns(value.cast(schema[name]).alias(name) for name, value in common.items()).select(*schema)


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

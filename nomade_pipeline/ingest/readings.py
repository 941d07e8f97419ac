"""Rows of a raw table back to the readings that a collector would give: for what is fed to the spool by a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

from nomade_pipeline.collectors.base import Reading, event_readings
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    from pathlib import Path

    import polars


def readings_of(table: Table, rows: polars.DataFrame) -> Iterator[tuple[str, Reading]]:
    """Yield each host's readings in the order of their times, with the host; null is left out.

    Args:
        table: the contract.
        rows: in its schema.
    """
    own = [column.name for column in table.data_columns]
    by = ["host", "source"] if table.own_time else ["sample_time", "host", "interval_seconds", "source"]
    for key, part in rows.sort(by).partition_by(by, as_dict=True, maintain_order=True).items():
        named = dict(zip(by, key, strict=True))
        data = [
            {name: value for name, value in row.items() if value is not None}
            for row in part.select(own).iter_rows(named=True)
        ]
        if table.own_time:
            yield from ((named["host"], reading) for reading in event_readings(table, data, named["source"]))
        else:
            yield (
                named["host"],
                Reading(table.name, data, named["sample_time"], named["interval_seconds"], named["source"]),
            )


def write_to_spool(root: Path, cluster: str, table: Table, rows: polars.DataFrame) -> int:
    """Append rows to the spool of a cluster as its hosts' agents would; return their number.

    Raises:
        SpoolError: the spool cannot be written.
    """
    writers: dict[str, SpoolWriter] = {}
    written = 0
    for host, reading in readings_of(table, rows):
        writer = writers.setdefault(host, SpoolWriter(root, cluster, host))
        written += writer.append([reading])
    return written

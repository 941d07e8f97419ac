"""Rows of a raw table back to the readings that a collector would give: for what is fed to the spool by a program."""

from __future__ import annotations

import itertools
from operator import itemgetter
from typing import TYPE_CHECKING, Iterator

from nomade_pipeline.collectors.base import Reading, event_readings
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    from pathlib import Path

    import polars


def readings_of(table: Table, rows: polars.DataFrame) -> Iterator[tuple[str, Reading]]:
    """Yield the readings of each host in the order of their times, with the host; null is left out.

    Args:
        table: the contract.
        rows: in its schema.
    """
    own = [column.name for column in table.data_columns]
    shared = ("host", "source") if table.own_time else ("host", "source", "sample_time", "interval_seconds")
    for key, group in itertools.groupby(rows.sort(shared).iter_rows(named=True), key=itemgetter(*shared)):
        data = [{name: row[name] for name in own if row[name] is not None} for row in group]
        if table.own_time:
            yield from ((key[0], reading) for reading in event_readings(table, data, key[1]))
        else:
            host, source, sample_time, interval = key
            yield host, Reading(table.name, data, sample_time, interval, source)


def write_to_spool(root: Path, cluster: str, table: Table, rows: polars.DataFrame) -> int:
    """Append rows to the spool of a cluster as its hosts' agents would; return their number.

    Raises:
        SpoolError: the spool cannot be written.
    """
    by_host: dict[str, list[Reading]] = {}
    for host, reading in readings_of(table, rows):
        by_host.setdefault(host, []).append(reading)
    return sum(SpoolWriter(root, cluster, host).append(readings) for host, readings in by_host.items())

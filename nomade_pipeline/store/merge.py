"""Joining the files of a day in parts of some hosts, so that a day of any size fits into memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Iterator, Protocol, Sequence

from nomade_pipeline.store.parquet import winners
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars

# Sorting a million rows of the widest table takes about 500 MB.
MERGE_ROWS = 1_000_000

HostRange = tuple[str, str]


class Source(Protocol):
    """Rows of one table that can be read by host."""

    def hosts(self) -> Counter[str]:
        """Return the number of rows of each host."""

    def rows(self, hosts: HostRange) -> polars.DataFrame:
        """Return the rows of the hosts from the first to the last named one."""


def merged(table: Table, sources: Sequence[Source]) -> Iterator[polars.DataFrame]:
    """Yield the winners of all sources, sorted by key over all frames together.

    The key begins with cluster and host, and a source holds one cluster, so the parts follow each
    other in the order of hosts.
    """
    counts: Counter[str] = sum((source.hosts() for source in sources), Counter())
    for hosts in _ranges(counts):
        yield winners(table, [source.rows(hosts) for source in sources])


def _ranges(counts: Counter[str]) -> Iterator[HostRange]:
    """Split the hosts, in order, into ranges of about ``MERGE_ROWS`` rows."""
    first: str | None = None
    rows = 0
    for host in sorted(counts):
        first = host if first is None else first
        rows += counts[host]
        if rows >= MERGE_ROWS:
            yield first, host
            first, rows = None, 0
    if first is not None:
        yield first, max(counts)


class Rows:
    """A frame as a source."""

    def __init__(self, frame: polars.DataFrame) -> None:
        self._frame = frame

    def hosts(self) -> Counter[str]:
        """See Source."""
        return counted(self._frame)

    def rows(self, hosts: HostRange) -> polars.DataFrame:
        """See Source."""
        return self._frame.filter(self._frame["host"].is_between(*hosts))


def counted(frame: polars.DataFrame) -> Counter[str]:
    """Return the number of rows of each host of a frame."""
    return Counter({str(host): int(count) for host, count in frame.group_by("host").len().iter_rows()})

"""Joining the files of a day in parts, some hosts at a time, so that a day of any size fits into memory.

A part is a range of values of `Table.split_by`: of hosts, or of job numbers where no host is in the key.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Iterator, Protocol, Sequence

from nomade_pipeline.store.parquet import winners
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars

# Sorting a million rows of the widest table takes about 500 MB.
MERGE_ROWS = 1_000_000

Range = tuple[str, str]


class Source(Protocol):
    """Rows of one table that can be read in parts."""

    def counts(self) -> Counter[str]:
        """Return the number of rows of each value of `Table.split_by`."""

    def rows(self, part: Range) -> polars.DataFrame:
        """Return the rows whose value lies between the first and the last named one."""


def merged(table: Table, sources: Sequence[Source]) -> Iterator[polars.DataFrame]:
    """Yield the winners of all sources, sorted by key over all frames together.

    The key begins with cluster and `Table.split_by`, and a source holds one cluster, so the parts follow
    each other in the order of that column.
    """
    counts: Counter[str] = sum((source.counts() for source in sources), Counter())
    for part in _ranges(counts):
        yield winners(table, [source.rows(part) for source in sources])


def _ranges(counts: Counter[str]) -> Iterator[Range]:
    """Split the values, in order, into ranges of about ``MERGE_ROWS`` rows."""
    first: str | None = None
    rows = 0
    for value in sorted(counts):
        first = value if first is None else first
        rows += counts[value]
        if rows >= MERGE_ROWS:
            yield first, value
            first, rows = None, 0
    if first is not None:
        yield first, max(counts)


class Rows:
    """A frame as a source."""

    def __init__(self, table: Table, frame: polars.DataFrame) -> None:
        self._column = table.split_by
        self._frame = frame

    def counts(self) -> Counter[str]:
        """See Source."""
        return counted(self._frame, self._column)

    def rows(self, part: Range) -> polars.DataFrame:
        """See Source."""
        return self._frame.filter(self._frame[self._column].is_between(*part))


def counted(frame: polars.DataFrame, column: str) -> Counter[str]:
    """Return the number of rows of each value of a text column."""
    return Counter({str(value): int(count) for value, count in frame.group_by(column).len().iter_rows()})

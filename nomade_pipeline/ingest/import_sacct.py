"""A dump of `sacct` as frames of text, whatever its columns and delimiter, a part of the file at a time.

Lines that are a whole record each are split at once. Where one is not, it and its neighbours go through
`collectors.sacct_split`, which puts broken records together or refuses them.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Iterator, Sequence

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.collectors.sacct_columns import OLDER, PARSERS, WANTED
from nomade_pipeline.collectors.sacct_split import Layout, Record, Splitter, cluster_named, find_layout, read_header
from nomade_pipeline.ingest.import_parts import ImportRefusedError, Part

if TYPE_CHECKING:
    import polars

CHUNK_BYTES = 24 * 2**20
_SEARCHED_BYTES = 2**20

# The columns of which something is made; others are left out as soon as they are split off.
USED = frozenset((*(name.lower() for name in (*WANTED, *OLDER.values())), *PARSERS))

_ID = r"^[0-9]+(?:_(?:[0-9]+|\[[^\]|]*\]?)|\+[0-9]+)?(?:\.[0-9A-Za-z_+-]+)?$"
_STATE = r"^(?:[A-Z_]+(?: by [0-9]+)?\+?)?$"


def read_sacct(path: Path, columns: Sequence[str] = ()) -> Iterator[Part]:
    """Yield the records of a dump.

    Args:
        path: the file.
        columns: names of its columns, where it has no header.

    Raises:
        ImportRefusedError: nothing names the columns.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_SEARCHED_BYTES).decode("utf-8", "surrogateescape")
        layout, begin = find_layout(head, columns)
        if layout is None:
            raise ImportRefusedError(
                f"{path}: no line names the columns, JobID among them; dump with a header (`sacct -P`), or name them "
                "with --columns"
            )
        file.seek(len(head[:begin].encode("utf-8", "surrogateescape")))
        reader = _Reader(layout, cluster_named(head[:begin]))
        size = max(path.stat().st_size, 1)
        if layout.quoted and _holds(path, b'"'):
            yield reader.slowly(file.read(), 1.0)
        else:
            for data, done in _whole_records(file, layout.terminator.encode(), size):
                yield reader.part(data, done)
        yield reader.rest()


def _holds(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(mark) >= 0


def _whole_records(file: BinaryIO, terminator: bytes, size: int) -> Iterator[tuple[bytes, float]]:
    """Yield the file in chunks that end where a record may end, and the share of it that is then read."""
    kept = b""
    while data := file.read(CHUNK_BYTES):
        data = kept + data
        cut = data.rfind(terminator) + len(terminator)
        if cut < len(terminator):
            kept = data
            continue
        kept = data[cut:]
        yield data[:cut], file.tell() / size
    if kept:
        yield kept, 1.0


class _Reader:
    """Turns chunks into frames.

    Args:
        layout: how the records are written.
        cluster: the cluster that a line before the header named.
    """

    def __init__(self, layout: Layout, cluster: str) -> None:
        self._layout = layout
        self._cluster = cluster
        self._lines: list[str] = []
        # Of a file whose lines are seldom whole records, or of several layouts, every line goes the slow way.
        self._splitter: Splitter | None = None

    def part(self, data: bytes, done: float) -> Part:
        """Return the records of the next chunk; its last lines wait, since the next one may go on with them."""
        if self._splitter is not None:
            return self.slowly(data, done)
        import polars as pl

        text = _text(data)
        if "\r\n" in text and text.count("\r\n") == text.count("\n"):
            text = text.replace("\r\n", "\n")
        pieces = text.split(self._layout.terminator)
        lines = pl.Series([*self._lines, *(pieces if pieces[-1] else pieces[:-1])], dtype=pl.String)
        cells, whole = self._split(lines)
        near = ~whole | ~whole.shift(1, fill_value=True) | ~whole.shift(-1, fill_value=True)
        usual = (~near).arg_true()
        if usual.is_empty() or self._changes_layout(lines.filter(~whole)):
            self._lines = []
            return self._slow_text(self._layout.terminator.join([*lines, ""]), done)
        ready = int(usual[-1])
        self._lines = lines[ready:].to_list()
        frame = cells.filter(~near & (pl.int_range(len(lines), eager=True) < ready))
        if self._cluster and "cluster" not in frame.columns:
            frame = frame.with_columns(cluster=pl.lit(self._cluster))
        slow, rejected = self._stretches(lines[:ready], near[:ready])
        return Part(pl.concat([frame, self._frame(slow)], how="diagonal"), done, rejected)

    def slowly(self, data: bytes, done: float) -> Part:
        """Return the records of the next chunk, split line by line."""
        waited = "".join(f"{line}{self._layout.terminator}" for line in self._lines)
        self._lines = []
        return self._slow_text(waited + _text(data), done)

    def rest(self) -> Part:
        """Return what waited."""
        if self._splitter is None:
            return self._fast_and_last()
        found = self._splitter.close()
        return Part(self._frame(found.records), 1.0, found.rejected)

    def _fast_and_last(self) -> Part:
        splitter = Splitter(self._layout, self._cluster)
        splitter.feed("".join(f"{line}{self._layout.terminator}" for line in self._lines))
        found = splitter.close()
        return Part(self._frame(found.records), 1.0, found.rejected)

    def _slow_text(self, text: str, done: float) -> Part:
        if self._splitter is None:
            self._splitter = Splitter(self._layout, self._cluster)
        self._splitter.feed(text)
        found = self._splitter.drain()
        return Part(self._frame(found.records), done, found.rejected)

    def _changes_layout(self, odd: polars.Series) -> bool:
        """Whether one of these lines names another cluster, or other columns."""
        if odd.str.starts_with("CLUSTER: ").any():
            return True
        headers = (read_header(line) for line in odd.filter(odd.str.contains("(?i)jobid")))
        return any(layout is not None and layout.columns != self._layout.columns for layout in headers)

    def _split(self, lines: polars.Series) -> tuple[polars.DataFrame, polars.Series]:
        """Split lines into the columns that are used, and tell which of them are a whole record."""
        import polars as pl

        columns = self._layout.columns
        cells = lines.str.split_exact(self._layout.delimiter, len(columns) - 1).struct.unnest()
        fields = dict(zip(columns, cells.columns, strict=True))
        whole = lines.str.count_matches(self._layout.delimiter, literal=True) == len(columns) - 1
        fits = pl.col(fields["jobid" if "jobid" in fields else "jobidraw"]).str.contains(_ID)
        if "state" in fields:
            fits &= pl.col(fields["state"]).str.contains(_STATE)
        whole &= cells.select(fits.alias("fits"))["fits"].fill_null(value=False)
        # Of a column that is told twice the last one counts, as in a record.
        return cells.select(pl.col(field).alias(name) for name, field in fields.items() if name in USED), whole

    def _stretches(self, lines: polars.Series, near: polars.Series) -> tuple[list[Record], list[Rejected]]:
        records: list[Record] = []
        rejected: list[Rejected] = []
        runs = near.rle_id()
        for run in runs.filter(near).unique(maintain_order=True):
            splitter = Splitter(self._layout, self._cluster)
            splitter.feed("".join(f"{line}{self._layout.terminator}" for line in lines.filter(runs == run)))
            found = splitter.close()
            records += found.records
            rejected += found.rejected
        return records, rejected

    def _frame(self, records: Sequence[Record]) -> polars.DataFrame:
        """Return records as a frame of the columns that are used."""
        import polars as pl

        names = dict.fromkeys(name for record in records for name in record if name in USED)
        return pl.DataFrame(
            [pl.Series(name, [record.get(name) for record in records], dtype=pl.String) for name in names]
        )


def _text(data: bytes) -> str:
    """Decode bytes; those that are no UTF-8 are written out, as they are in the spool."""
    return data.decode("utf-8", "backslashreplace")

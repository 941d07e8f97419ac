"""One Parquet file of a raw table: read whole or in part with one open, written whole, never trusted blindly."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Iterable, Iterator, Sequence

from nomade_pipeline.store.merge import Range, counted
from nomade_pipeline.store.parquet import ContentHash, newest_time, read_chunks, resliced, write_chunks
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.contract import COMPUTED_LAYERS, Table

if TYPE_CHECKING:
    import polars


class LakeError(Exception):
    """The lake cannot be read or written; the message says which file and what to do."""


class TableFile:
    """A file of a raw table. Reading raises LakeError when it is damaged, FileNotFoundError when it has gone.

    Args:
        table: the contract; older files lack columns, which are then null.
        path: the file.
    """

    def __init__(self, table: Table, path: Path) -> None:
        self.table = table
        self.path = path

    def read(
        self,
        *,
        keep: polars.Expr | None = None,
        part: Range | None = None,
        columns: Sequence[str] | None = None,
    ) -> polars.DataFrame:
        """Return all rows, or those that fulfil all conditions, in the contract's schema.

        Args:
            keep: a condition.
            part: a range of `Table.split_by`: row groups outside of it are not decoded.
            columns: only these; None for all.
        """
        import polars as pl

        conditions = [] if keep is None else [keep]
        if part is not None:
            conditions.append(pl.col(self.table.split_by).is_between(pl.lit(part[0]), pl.lit(part[1])))
        # The conditions look at these columns.
        names = () if columns is None else (*columns, self.table.split_by, "sample_time")
        chunks = (chunk.filter(*conditions) for chunk in self._chunks(part, names))
        return pl.concat([chunk if columns is None else chunk.select(columns) for chunk in chunks])

    def count(self) -> int:
        """Return the number of rows, from the footer."""
        import pyarrow.parquet as pq

        with self._readable():
            return int(pq.read_metadata(self.path).num_rows)

    def rows_by_hour(self) -> dict[datetime, int]:
        """Return the number of rows of each UTC hour that has any, from the sample times alone."""
        import polars as pl
        import pyarrow.parquet as pq

        with self._readable(), pq.ParquetFile(self.path) as file:
            times = pl.DataFrame(pl.from_arrow(file.read(columns=["sample_time"])))
        counts = times.group_by(pl.col("sample_time").dt.truncate("1h")).len().sort("sample_time")
        return {hour: int(count) for hour, count in counts.iter_rows()}

    def newest(self) -> datetime | None:
        """Return the newest sample time, from the footer; None when there are no rows."""
        with self._readable():
            return newest_time(self.path)

    def content_hash(self) -> str:
        """Return the hash of the rows."""
        digest = ContentHash()
        for chunk in self._chunks():
            if chunk.height:
                digest.update(chunk)
        return digest.hexdigest()

    def counts(self) -> Counter[str]:
        """Return the number of rows of each value of `Table.split_by`; see `merge.Source`."""
        return sum((counted(chunk, self.table.split_by) for chunk in self._chunks()), Counter())

    def rows(self, part: Range) -> polars.DataFrame:
        """Return the rows of a range of `Table.split_by`; see `merge.Source`."""
        return self.read(part=part)

    def write(self, frames: Iterable[polars.DataFrame]) -> tuple[str, int]:
        """Write rows, sorted by key over all frames, and wait until they are on the disk.

        Returns:
            The content hash and the number of rows.

        Raises:
            OSError: the disk is full, or permission is missing.
        """
        written = write_chunks(self.table, resliced(frames), self.path)
        sync(self.path)
        return written

    def _chunks(self, part: Range | None = None, names: Sequence[str] = ()) -> Iterator[polars.DataFrame]:
        data = self.path.read_bytes()
        with self._readable():
            for chunk in read_chunks(data, self.table.split_by, part, names):
                yield conform(chunk, self.table, names)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn what damaged files raise into a LakeError."""
        import polars as pl
        import pyarrow as pa

        try:
            yield
        except FileNotFoundError:
            raise
        except (pl.exceptions.PolarsError, pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        except pl.exceptions.PanicException as error:
            # Polars panics on a damaged schema; that is no Exception, and would end the whole process.
            raise self._damaged(error) from None

    def _damaged(self, error: BaseException) -> LakeError:
        again = "compute" if self.table.layer in COMPUTED_LAYERS else "ingest"
        advice = f"move it away and {again} the day again"
        return LakeError(f"{self.path} cannot be read as table {self.table.name}: {error}; {advice}")


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk: the spool is deleted one day."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hive_values(folder: Path, key: str) -> list[str]:
    """Return the values of a hive key below a folder, sorted."""
    return [name[len(key) + 1 :] for name in names_in(folder) if name.startswith(f"{key}=")]


def names_in(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none when it does not exist."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []

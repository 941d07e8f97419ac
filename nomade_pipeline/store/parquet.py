"""Frames and Parquet files of raw tables: which rows win, what they hash to, how they are written.

Everything here is deterministic: the same rows give the same order, the same hash and the same bytes.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Sequence

from nomade_pipeline.store.schema import arrow_schema
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars
    import pyarrow

# Frozen: bytes and content hashes depend on it. A row group of the widest table is near 10 MB.
ROW_GROUP_ROWS = 131_072
COMPRESSION_LEVEL = 9


def winners(table: Table, frames: Sequence[polars.DataFrame]) -> polars.DataFrame:
    """Join rows, keep the last received of each key, and sort by key.

    Readings with the same key and time of receipt are told apart by their content, so that the
    result never depends on the order in which they came. A record of an event that is told again as it
    was keeps its first time of receipt: reading the accounting again changes nothing.
    """
    import polars as pl

    rows = pl.concat(frames)
    key = list(table.key)
    if rows.select(key).is_duplicated().any():
        rest = [name for name in table.column_names if name not in {*key, "received_time"}]
        rows = rows.sort([*key, "received_time", *rest])
        if table.own_time:
            rows = rows.filter(_differs_from_the_row_before([*key, *rest]))
        rows = rows.unique(subset=key, keep="last", maintain_order=True)
    return rows.sort(key)


def _differs_from_the_row_before(columns: Sequence[str]) -> polars.Expr:
    import polars as pl

    first = pl.int_range(pl.len()) == 0
    return first | pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in columns)


def content_hash(frame: polars.DataFrame) -> str:
    """Return a hash of the rows' values in their order, the same under every library version."""
    digest = ContentHash()
    for chunk in frame.iter_slices(ROW_GROUP_ROWS):
        digest.update(chunk)
    return digest.hexdigest()


class ContentHash:
    """The hash of rows that come in slices of ``ROW_GROUP_ROWS``, the last one shorter."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, chunk: polars.DataFrame) -> None:
        """Add the next slice."""
        self._digest.update(_chunk_digest(chunk))

    def hexdigest(self) -> str:
        """Return the hash of all slices so far."""
        return self._digest.hexdigest()


def _chunk_digest(chunk: polars.DataFrame) -> bytes:
    import pyarrow.compute as pc

    digest = hashlib.sha256()
    content: pyarrow.Table = chunk.to_arrow(compat_level=_oldest_format())
    for name in content.column_names:
        column = content[name].combine_chunks()
        digest.update(f"{name}:{column.type}:{len(column)};".encode())
        if column.null_count == len(column):
            digest.update(bytes(len(column)))
            continue
        digest.update(column.is_valid().to_numpy(zero_copy_only=False).tobytes())
        if str(column.type) in ("string", "large_string"):
            texts = column.fill_null("")
            digest.update(pc.binary_length(texts).to_numpy(zero_copy_only=False).tobytes())
            digest.update(_utf8(texts))
        else:
            digest.update(_numbers(column).tobytes())
    return digest.digest()


def _utf8(texts: pyarrow.Array) -> memoryview:
    """Return the bytes of all texts of a column without nulls, one behind the other, as Arrow holds them."""
    import numpy as np

    _, offsets, content = texts.buffers()
    kind = np.int64 if str(texts.type) == "large_string" else np.int32
    places = np.frombuffer(offsets, kind)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(content or b"")[places[0] : places[-1]]


def _numbers(column: pyarrow.Array) -> Any:
    """Return a numeric, boolean, time or date column as NumPy values with nulls as zero."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_date(column.type):
        column = column.cast(pa.int32())
    return column.fill_null(pa.scalar(0).cast(column.type)).to_numpy(zero_copy_only=False)


def _oldest_format() -> polars.CompatLevel:
    """Return the Arrow format without string views, which hash the same in every release."""
    import polars as pl

    return pl.CompatLevel.oldest()


def write_chunks(table: Table, chunks: Iterable[polars.DataFrame], path: Path) -> tuple[str, int]:
    """Write rows, sorted by key, as one deterministic Parquet file with the contract's schema.

    Args:
        table: the contract.
        chunks: the rows in slices of ``ROW_GROUP_ROWS``, the last one shorter; each is a row group.
        path: the file.

    Returns:
        The content hash and the number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(table)
    digest, rows = ContentHash(), 0
    options = {"compression": "zstd", "compression_level": COMPRESSION_LEVEL, "write_page_checksum": True}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for chunk in chunks:
            ordered = chunk.select(table.column_names)
            content = ordered.to_arrow(compat_level=_oldest_format())
            columns = [column.cast(field.type) for column, field in zip(content.columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=ROW_GROUP_ROWS)
            digest.update(ordered)
            rows += chunk.height
    return digest.hexdigest(), rows


def write_parquet(table: Table, frame: polars.DataFrame, path: Path) -> tuple[str, int]:
    """Write a frame, sorted by key; see `write_chunks`."""
    return write_chunks(table, frame.iter_slices(ROW_GROUP_ROWS), path)


def read_parquet(data: bytes) -> polars.DataFrame:
    """Return all rows of a Parquet file from its bytes; see `read_chunks`."""
    import polars as pl

    return pl.concat(read_chunks(data))


def read_chunks(
    data: bytes, column: str = "", part: tuple[str, str] | None = None, names: Sequence[str] = ()
) -> Iterator[polars.DataFrame]:
    """Yield the row groups of a Parquet file after checking their pages' checksums; at least one frame.

    Arrow reads it: Polars checks no sums, and panics on some damaged files.

    Args:
        data: the file's bytes.
        column: a text column that the rows are sorted by within a cluster.
        part: first and last value of it that is of interest; row groups that cannot hold any are passed over.
        names: only these columns, as far as the file has them; none for all.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: the file is damaged.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
        wanted = [
            index for index in range(file.num_row_groups) if _may_hold(file.metadata.row_group(index), column, part)
        ]
        held = [name for name in file.schema_arrow.names if name in names] if names else None
        for index in wanted:
            yield pl.DataFrame(pl.from_arrow(file.read_row_group(index, columns=held)))
        if not wanted:
            yield pl.DataFrame(pl.from_arrow(file.schema_arrow.empty_table()))


def _may_hold(group: Any, column: str, part: tuple[str, str] | None) -> bool:
    """Whether a row group may hold rows of a range of values, by its statistics."""
    if part is None:
        return True
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    statistics = columns[column].statistics if column in columns else None
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min <= part[1] and statistics.max >= part[0])


def newest_time(path: Path) -> datetime | None:
    """Return the newest sample time of a Parquet file from its footer; None when it is empty.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: the file is damaged.
    """
    import pyarrow.parquet as pq

    newest: datetime | None = None
    metadata = pq.read_metadata(path)
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema == "sample_time" and column.statistics is not None:
                latest = column.statistics.max
                newest = latest if newest is None else max(newest, latest)
    return newest


def resliced(frames: Iterable[polars.DataFrame]) -> Iterator[polars.DataFrame]:
    """Turn frames of any length into slices of ``ROW_GROUP_ROWS``; of nothing, none."""
    import polars as pl

    waiting: polars.DataFrame | None = None
    for frame in frames:
        waiting = frame if waiting is None else pl.concat([waiting, frame])
        while waiting.height >= ROW_GROUP_ROWS:
            yield waiting.head(ROW_GROUP_ROWS)
            waiting = waiting.slice(ROW_GROUP_ROWS)
    if waiting is not None and waiting.height:
        yield waiting


def by_hour(frame: polars.DataFrame) -> list[tuple[datetime, polars.DataFrame]]:
    """Split rows by the UTC hour of their sample time, oldest first."""
    import polars as pl

    parts = frame.with_columns(pl.col("sample_time").dt.truncate("1h").alias("_hour")).partition_by(
        "_hour", as_dict=True, include_key=False
    )
    return sorted(((key[0], part) for key, part in parts.items()), key=lambda pair: pair[0])


def in_hour(hour: datetime) -> polars.Expr:
    """Return the condition that a row's sample time lies in a UTC hour."""
    import polars as pl

    return (pl.col("sample_time") >= hour) & (pl.col("sample_time") < hour + timedelta(hours=1))

"""Frames and Parquet files of raw tables: which rows win, what they hash to, how they are written.

Everything here is deterministic: the same rows give the same order, the same hash and the same bytes.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from nomade_pipeline.store.schema import arrow_schema
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars
    import pyarrow

# A fixed size makes files deterministic; 128k rows keep a row group of the widest table near 10 MB.
ROW_GROUP_ROWS = 131_072
COMPRESSION_LEVEL = 9


def winners(table: Table, frames: Sequence[polars.DataFrame]) -> polars.DataFrame:
    """Join rows, keep the last received of each key, and sort by key.

    Readings with the same key and time of receipt are told apart by their content, so that the
    result never depends on the order in which they came.
    """
    import polars as pl

    rows = pl.concat(frames)
    key = list(table.key)
    if rows.select(key).is_duplicated().any():
        rest = [name for name in table.column_names if name not in {*key, "received_time"}]
        rows = rows.sort([*key, "received_time", *rest]).unique(subset=key, keep="last", maintain_order=True)
    return rows.sort(key)


def content_hash(frame: polars.DataFrame) -> str:
    """Return a hash of the rows' values in their order, the same under every library version."""
    import pyarrow.compute as pc

    digest = hashlib.sha256()
    content: pyarrow.Table = frame.to_arrow(compat_level=_oldest_format())
    for name in content.column_names:
        column = content[name].combine_chunks()
        digest.update(f"{name}:{column.type}:{len(column)};".encode())
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        digest.update(valid.tobytes())
        if pc.all(column.is_null()).as_py():
            continue
        if str(column.type) in ("string", "large_string"):
            texts = column.fill_null("")
            digest.update(pc.binary_length(texts).to_numpy(zero_copy_only=False).tobytes())
            digest.update("".join(texts.to_pylist()).encode())
        else:
            digest.update(_numbers(column).tobytes())
    return digest.hexdigest()


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


def write_parquet(table: Table, frame: polars.DataFrame, path: Path) -> None:
    """Write rows, sorted by key, as one deterministic Parquet file with the contract's schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(table)
    content = frame.select(table.column_names).to_arrow(compat_level=_oldest_format())
    columns = [column.cast(field.type) for column, field in zip(content.columns, schema, strict=True)]
    pq.write_table(
        pa.Table.from_arrays(columns, schema=schema),
        path,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        row_group_size=ROW_GROUP_ROWS,
        write_page_checksum=True,
    )


def read_parquet(data: bytes) -> polars.DataFrame:
    """Return the rows of a Parquet file from its bytes, after checking its pages' checksums.

    Arrow reads it: Polars checks no sums, and panics on some damaged files.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: the file is damaged.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
    return pl.DataFrame(pl.from_arrow(content))


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

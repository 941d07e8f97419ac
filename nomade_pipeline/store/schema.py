"""Polars and Arrow schemas, derived from the table contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import polars
    import pyarrow


def polars_schema(table: Table) -> dict[str, polars.DataType]:
    """Return the contract's columns as Polars types, in storage order; times are UTC milliseconds."""
    import polars as pl

    types: dict[str, polars.DataType] = {
        "text": pl.String(),
        "bool": pl.Boolean(),
        "int32": pl.Int32(),
        "int64": pl.Int64(),
        "float32": pl.Float32(),
        "float64": pl.Float64(),
        "time": pl.Datetime("ms", "UTC"),
        "date": pl.Date(),
    }
    return {column.name: types[column.type] for column in table.columns}


def arrow_schema(table: Table) -> pyarrow.Schema:
    """Return the contract as an Arrow schema: nullability, units and descriptions as metadata."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "time": pa.timestamp("ms", "UTC"),
        "date": pa.date32(),
    }
    fields = [
        pa.field(
            column.name,
            types[column.type],
            nullable=column.nullable,
            metadata={"description": column.description, "unit": column.unit},
        )
        for column in table.columns
    ]
    return pa.schema(fields, metadata={"nomade.table": table.name, "nomade.contract_version": str(table.version)})


def conform(frame: polars.DataFrame, table: Table, names: Sequence[str] = ()) -> polars.DataFrame:
    """Bring a frame to the contract: missing columns as null, extra ones dropped, types widened.

    Args:
        frame: the rows.
        table: the contract.
        names: only these columns of it; none for all.

    Raises:
        polars.exceptions.PolarsError: a value cannot be held by the contract's type.
        ValueError: a column is missing that is never null; only nullable ones are ever added.
    """
    import polars as pl

    schema = {name: kind for name, kind in polars_schema(table).items() if not names or name in names}
    if frame.schema == schema:
        return frame
    missing = [name for name in schema if not table.column(name).nullable and name not in frame.columns]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    return frame.select(
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in schema.items()
    )

"""Polars and Arrow schemas, derived from the table contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def conform(frame: polars.DataFrame, table: Table) -> polars.DataFrame:
    """Bring a frame to the contract: missing columns as null, extra ones dropped, types widened.

    Raises:
        polars.exceptions.PolarsError: a value cannot be held by the contract's type.
        ValueError: a column is missing that is never null; only nullable ones are ever added.
    """
    import polars as pl

    schema = polars_schema(table)
    if frame.schema == schema:
        return frame
    missing = [c.name for c in table.columns if not c.nullable and c.name not in frame.columns]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    return frame.select(
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in schema.items()
    )

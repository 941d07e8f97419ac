"""Columns of numbers to rows of a table's contract, every one marked as simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

import numpy as np

from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.contract import SIMULATED, Column, Table
from nomade_pipeline.workload.scenario import MINUTE, Scenario

if TYPE_CHECKING:
    import polars

# Who asks Slurm.
HEAD = "simhead"


def texts(names: tuple[str, ...] | list[str], numbers: Integers) -> polars.Series:
    """Return the names with these numbers."""
    import polars as pl

    return pl.Series(names, dtype=pl.String).gather(numbers)


def moments(scenario: Scenario, seconds: Any) -> polars.Series:
    """Return seconds since the scenario's start as times; negative ones and NaN as null."""
    import polars as pl

    known = np.nan_to_num(np.asarray(seconds, float), nan=-1.0)
    start = int(scenario.start.timestamp() * 1000)
    series = pl.Series((known * 1000).round().astype(np.int64) + start)
    return series.set(pl.Series(known < 0), None).cast(pl.Datetime("ms", "UTC"))


def rows(
    scenario: Scenario,
    table: Table,
    host: polars.Series | str,
    seconds: Any,
    data: Mapping[str, Any],
    interval: float = MINUTE,
) -> polars.DataFrame:
    """Return rows in the contract's schema.

    Args:
        scenario: whose rows.
        table: the contract.
        host: of each row, or of all.
        seconds: sample time of each row, seconds since the scenario's start.
        data: data columns: arrays, series or a value for all rows; NaN is null. What is missing is null.
        interval: see `INTERVAL_SECONDS`.
    """
    import polars as pl

    schema = polars_schema(table)
    time = moments(scenario, seconds)
    common = {
        "cluster": scenario.cluster,
        "host": host,
        "sample_time": time,
        "interval_seconds": interval,
        "source": SIMULATED,
        "received_time": time,
    }
    values = {**common, **data}
    unknown = set(values) - set(schema)
    assert not unknown, f"{table.name} has no {unknown}"
    held = {name: _series(value, len(time)) for name, value in values.items()}
    frame = pl.DataFrame(held, height=len(time))
    return frame.select(_fitted(column, schema[column.name], held) for column in table.columns)


def _series(value: Any, height: int) -> polars.Series:
    import polars as pl

    if isinstance(value, pl.Series):
        return value
    if isinstance(value, np.ndarray):
        return pl.Series(value.ravel())
    return pl.Series([value]).new_from_index(0, height)


def _fitted(column: Column, kind: polars.DataType, held: Mapping[str, polars.Series]) -> polars.Expr:
    """Return a column in its type and with the digits that the spool would keep."""
    import polars as pl

    if column.name not in held:
        return pl.lit(None, dtype=kind).alias(column.name)
    value = pl.col(column.name)
    if held[column.name].dtype.is_float():
        value = value.fill_nan(None)
        if kind.is_integer():
            value = value.round()
        elif column.decimals is not None:
            # Adding zero turns -0.0 into 0.0, as the spool does.
            value = value.round(column.decimals) + 0.0
    return value.cast(kind)

"""Contract checks in Polars: which rows may enter the lake, and why the others may not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nomade_pipeline.tables.contract import Column, Table

if TYPE_CHECKING:
    import polars

# A host whose clock is ahead by more writes rows of a future that others have not reached.
MAX_FUTURE = timedelta(minutes=5)

REASON = "_reason"


@dataclass(frozen=True)
class Checked:
    """Rows that fulfil the contract, and those that do not with their first fault in ``_reason``."""

    good: polars.DataFrame
    bad: polars.DataFrame

    def reasons(self) -> dict[str, int]:
        """Return how many rows were refused for each reason."""
        return {str(row[0]): int(row[1]) for row in self.bad.group_by(REASON).len().sort(REASON).iter_rows()}


def check(frame: polars.DataFrame, table: Table, now: datetime) -> Checked:
    """Split rows into those that fulfil the contract and those that break it.

    Checked are nulls, ranges, closed sets, finiteness and a sample time in the future. Uniqueness is
    established at publication. Extra columns are passed through.

    Args:
        frame: rows in the contract's types.
        table: the contract.
        now: the present UTC time.
    """
    import polars as pl

    faults = [fault for column in table.columns for fault in _faults(column)]
    faults.append(
        (pl.col("sample_time") > now + MAX_FUTURE, "sample_time is in the future; is the host's clock right?")
    )
    reason = pl.coalesce([pl.when(condition).then(pl.lit(text)) for condition, text in faults])
    judged = frame.with_columns(reason.alias(REASON))
    return Checked(
        good=judged.filter(pl.col(REASON).is_null()).drop(REASON),
        bad=judged.filter(pl.col(REASON).is_not_null()),
    )


def _faults(column: Column) -> list[tuple[polars.Expr, str]]:
    """Return the conditions under which a value breaks its column's contract, each with its reason."""
    import polars as pl

    value = pl.col(column.name)
    faults: list[tuple[polars.Expr, str]] = []
    if not column.nullable:
        faults.append((value.is_null(), f"{column.name} is missing"))
    if column.type in ("float32", "float64"):
        faults.append((value.is_infinite() | value.is_nan(), f"{column.name} is not finite"))
    if column.minimum is not None:
        faults.append((value < column.minimum, f"{column.name} is below {column.minimum:g}"))
    if column.maximum is not None:
        faults.append((value > column.maximum, f"{column.name} is above {column.maximum:g}"))
    if column.allowed:
        faults.append((~value.is_in(list(column.allowed)), f"{column.name} is none of {', '.join(column.allowed)}"))
    return faults

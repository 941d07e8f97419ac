"""Whether values are possible, judged by the table contracts: a wrong number is worse than none."""

from __future__ import annotations

from typing import Optional

from nomade_pipeline.collectors.base import Row
from nomade_pipeline.tables.contract import Column, Table

_INTEGER_BITS = {"int32": 31, "int64": 63}


def impossible(column: Column, value: object) -> Optional[str]:
    """Return why a number cannot be a value of a column; None when it can, and for texts and nulls."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if column.minimum is not None and value < column.minimum:
        return f"{column.name} is {value:g}: below {column.minimum:g}, the counters were reset or the output is damaged"
    if column.maximum is not None and value > column.maximum:
        return f"{column.name} is {value:g}: above {column.maximum:g}"
    if abs(value) >= 2 ** _INTEGER_BITS.get(column.type, 1000):
        return f"{column.name} is {value:g}: too large for {column.type}"
    return None


def refuse_impossible(table: Table, row: Row) -> Row:
    """Return a row whose numbers are all possible.

    Raises:
        ValueError: one is not.
    """
    for column in table.number_columns:
        value = row.get(column.name)
        reason = None if value is None else impossible(column, value)
        if reason is not None:
            raise ValueError(reason)
    return row

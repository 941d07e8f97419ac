"""What all readers of Slurm's tables share: a record is the fields of one line by title, and becomes a row."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Optional, Tuple

from nomade_pipeline.collectors.base import Rejected, Row
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.slurm_values import parse_size
from nomade_pipeline.tables.contract import Table

Record = Dict[str, str]

# Only these stand for nothing in a text: a user may well be called `none` or `na`.
_UNTOLD = frozenset(("", "(null)", "N/A"))


def told(record: Record, title: str) -> Optional[str]:
    """Return a text of a record; None when it is absent or stands for nothing."""
    text = record.get(title, "")
    return None if text in _UNTOLD else text


def count(text: Optional[str]) -> Optional[int]:
    """Read a number of CPUs or nodes: `2`, `2-4` (at least 2), `10K`; None for none.

    Raises:
        ValueError: it is no number.
    """
    return None if text is None else parse_size(text.split("-")[0])


def rows_of(
    records: Iterable[Record], row_of: Callable[[Record], Row], contract: Table
) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows in records, and the records that could not be read, each with the reason.

    Args:
        records: the records.
        row_of: makes one row; a ValueError or a KeyError of its own rejects the record.
        contract: the table of the rows; two with the same subject are one too many.
    """
    rows: List[Row] = []
    rejected: List[Rejected] = []
    seen = set()
    for record in records:
        try:
            row = refuse_impossible(contract, row_of(record))
        except (ValueError, KeyError) as error:
            rejected.append(reject(record, error))
            continue
        subject = tuple(row[name] for name in contract.subject)
        if subject in seen:
            rejected.append(reject(record, ValueError(f"{' '.join(subject)} is listed twice")))
            continue
        seen.add(subject)
        rows.append(row)
    return rows, rejected


def reject(record: Record, error: Exception) -> Rejected:
    """Return a record as one that could not be read."""
    reason = f"there is no {error.args[0]}" if isinstance(error, KeyError) else str(error)
    return Rejected(" ".join(record.values()), reason)

"""What the readers of imported files give: frames of sacct's columns as text, part by part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Iterable, Iterator, TypeVar

from nomade_pipeline.collectors.base import Rejected

if TYPE_CHECKING:
    import polars

_Item = TypeVar("_Item")


class ImportRefusedError(Exception):
    """A file cannot be imported at all; the message says why and what to do."""


@dataclass(frozen=True)
class Part:
    """A part of a file.

    Attributes:
        frame: records, with the names of sacct's columns in lower case; cells are text, the four times of a job may
            be times without a zone.
        done: share of the file that is read, 0 to 1.
        rejected: what could not be read, with the reason.
    """

    frame: polars.DataFrame
    done: float
    rejected: list[Rejected] = field(default_factory=list)


def text_frame(columns: Iterable[polars.Series]) -> polars.DataFrame:
    """Return columns as text, empty for null; times stay times."""
    import polars as pl

    return pl.DataFrame(
        [
            column if isinstance(column.dtype, pl.Datetime) else column.cast(pl.String).fill_null("")
            for column in columns
        ]
    )


def one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield items while another thread makes the next one."""
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, items, None)
            yield item

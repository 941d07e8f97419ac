"""Reading the cells of one job: what cannot be read is null and noted, so that nothing is lost in silence."""

from __future__ import annotations

from typing import Callable, List, Mapping, Optional, TypeVar

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.collectors.sacct_split import Record
from nomade_pipeline.collectors.slurm_values import parse_size

Value = TypeVar("Value")


class Cells:
    """The cells of one record.

    Args:
        record: cells by column.
        notices: takes what could not be read.
    """

    def __init__(self, record: Record, notices: List[Rejected]) -> None:
        self._record = record
        self._notices = notices

    def has(self, name: str) -> bool:
        """Whether the output has a column."""
        return name in self._record

    def text(self, *names: str) -> Optional[str]:
        """Return the first cell of these columns that is not empty."""
        for name in names:
            text = self._record.get(name)
            if text and text.strip():
                return text
        return None

    def read(self, parse: Callable[[str], Optional[Value]], *names: str) -> Optional[Value]:
        """Return the first cell of these columns that has a value."""
        for name in names:
            text = self._record.get(name)
            if not text:
                continue
            try:
                value = parse(text)
            except ValueError:
                self._note(name, text)
                continue
            if value is not None:
                return value
        return None

    def amount(self, tres: Mapping[str, str], name: str, *, base: int = 1024) -> Optional[int]:
        """Return the amount of a trackable resource of this record; see `parse_size`."""
        try:
            return parse_size(tres.get(name), base=base)
        except ValueError:
            self._note(name, tres[name])
            return None

    def _note(self, name: str, text: str) -> None:
        self._notices.append(Rejected(f"{self.number} {name}={text}", f"{name} cannot be read and is null"))

    @property
    def number(self) -> str:
        """The number of the job or step as people write it."""
        return self._record.get("jobid") or self._record.get("jobidraw", "")

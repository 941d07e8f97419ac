"""Tables that Slurm's commands print: columns are found by the titles of the header, never by their place.

Our own commands end every field with a *mark*, a byte that is no text followed by random digits. Who names a job
cannot guess it, so a name may hold anything, line breaks included, and neither shifts a column nor forges a row.
Recorded texts come in other forms: fields separated by `|` or another character, or by blanks. Those are read
strictly: a line that has another number of fields than its header is rejected, with the reason.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import Callable, Container, Dict, List, Optional, Sequence, Tuple

from nomade_pipeline.collectors.base import CollectorError, Rejected
from nomade_pipeline.collectors.slurm_commands import FIELD
from nomade_pipeline.collectors.slurm_records import Record

_MARK = re.compile(r"[^\x1f\n]{1,40}(\x1f[0-9a-f]{8})")
_DELIMITERS = ("|", "\t", "^", ";", ",")
# A line of a terminal's record that shows a command: `$ squeue`, `[user@n16 ~]$ sinfo`, `adev0: squeue`, `% sinfo`.
_PROMPT = re.compile(r"\s*(?:\[[^\]]*\]|[\w.@~-]+(?::\S*)?)?\s*[$#%:>]\s+\S")
_TITLE = re.compile(r"[A-Z][\w()/:.-]*")
_CLUSTER = re.compile(r"CLUSTER:\s*(\S+)\s*")


@dataclass
class Table:
    """What one command printed: the titles of its header, its rows by title, what could not be read, whose it is."""

    titles: Tuple[str, ...]
    rows: List[Record] = field(default_factory=list)
    rejected: List[Rejected] = field(default_factory=list)
    kind: str = ""


def new_mark() -> str:
    """Return a mark that no earlier run used."""
    return FIELD + os.urandom(4).hex()


def long_format(names: Sequence[str], mark: str) -> str:
    """Return the argument of `squeue -O` and `sinfo -O` for fields of any width, each followed by the mark.

    A field without a width is never cut; a field that a release does not know is left out, header included.
    """
    return ",".join(f"{name}:{mark}" for name in names)


def marked_table(text: str) -> Optional[Table]:
    """Read a table whose fields end in a mark; None when the text is none.

    Raises:
        CollectorError: it is cut off.
    """
    match = _MARK.match(text)
    if match is None:
        return None
    cells = text.split(match.group(1))
    width = next((place for place, cell in enumerate(cells) if cell.startswith("\n")), 0)
    if not width or len(cells) % width != 1 or cells[-1] != "\n":
        raise CollectorError("parse", f"the table is cut off, or a field is missing: …{text[-60:]!r}")
    titles = _distinct(cells[:width])
    cells[width::width] = [cell[1:] for cell in cells[width::width]]
    begins = range(width, len(cells) - 1, width)
    return Table(titles, [dict(zip(titles, cells[begin : begin + width])) for begin in begins])


def text_tables(text: str, kind_of: Callable[[Container[str]], Optional[str]]) -> List[Table]:
    """Read every table of a recorded text whose header is known.

    Args:
        text: one or more tables, perhaps with the prompts and other lines of a terminal between them.
        kind_of: tells from the titles in upper case whose table it is; None when they are no titles of ours.

    Raises:
        CollectorError: the text holds the answers of several clusters, which the rows do not tell apart.
    """
    clusters = [match.group(1) for match in map(_CLUSTER.fullmatch, text.split("\n")) if match]
    if len(clusters) > 1:
        raise CollectorError("parse", f"several clusters in one text, {', '.join(clusters)}: ask for one at a time")
    tables: List[Table] = []
    split = _Split(None)
    is_open = False
    for line in text.split("\n"):
        header = _header(line, kind_of)
        if header is not None:
            split, table = header
            tables.append(table)
            is_open = True
        elif _PROMPT.match(line) or _CLUSTER.fullmatch(line):
            is_open = False
        elif is_open and line.strip():
            _add(tables[-1], line, split)
    return tables


@dataclass(frozen=True)
class _Split:
    """How the lines of a table come apart.

    Attributes:
        delimiter: the character between fields, None for blanks.
        has_end: it also ends each line.
        before_last: where the last title but one ends in the header.
    """

    delimiter: Optional[str]
    has_end: bool = False
    before_last: int = 0

    def cells(self, line: str) -> List[str]:
        """Return the fields of a line."""
        if self.delimiter is None:
            cells = line.split()
            # Numbers are aligned with the ends of their titles: with nothing behind, the last field is empty.
            is_padded = len(line) > self.before_last > 0 and not line[self.before_last :].strip()
            return [*cells, ""] if is_padded else cells
        found = [cell.strip() for cell in line.split(self.delimiter)]
        return found[:-1] if self.has_end and found[-1] == "" else found


def _header(line: str, kind_of: Callable[[Container[str]], Optional[str]]) -> Optional[Tuple[_Split, Table]]:
    """Return how a header's table is split, and the table without rows; None when the line is no header."""
    for delimiter in (*_DELIMITERS, None):
        if delimiter is not None and delimiter not in line:
            continue
        split = _Split(delimiter, delimiter is not None and line.rstrip(" \r").endswith(delimiter))
        titles = [title.upper() for title in split.cells(line)]
        kind = kind_of(titles)
        if kind is not None and all(map(_TITLE.fullmatch, titles)):
            before_last = len(line.rstrip()[: -len(titles[-1])].rstrip())
            return replace(split, before_last=before_last), Table(_distinct(titles), kind=kind)
    return None


def _distinct(titles: Sequence[str]) -> Tuple[str, ...]:
    """Number the titles that a header repeats: sprio has two columns PARTITION."""
    seen: Dict[str, int] = {}
    named = []
    for title in titles:
        seen[title] = seen.get(title, 0) + 1
        named.append(title if seen[title] == 1 else f"{title} {seen[title]}")
    return tuple(named)


def _add(table: Table, line: str, split: _Split) -> None:
    """Add a line to its table, or to what could not be read; a table that is none of ours loses its kind."""
    width = len(table.titles)
    cells = split.cells(line)
    if set("".join(cells)) == {"-"}:
        # sacct and sacctmgr underline their headers.
        table.kind = ""
    if split.delimiter is None and len(cells) > width:
        rest = line.split(None, width - 1)[-1].rstrip()
        # Blanks may stand in the last field where it is a reason in parentheses; elsewhere they hide a shift.
        if rest.startswith("(") and rest.endswith(")"):
            cells = [*cells[: width - 1], rest]
    if len(cells) == width:
        table.rows.append(dict(zip(table.titles, cells)))
        return
    reason = f"{len(cells)} fields where the header has {width}: {' '.join(table.titles)}"
    table.rejected.append(Rejected(line, reason))

"""Splitting the output of `sacct -P` or `-p` into records, for any set of columns and any delimiter.

The header names the columns. A record has exactly as many cells as the header: names of jobs may hold newlines and
delimiters, so a record that was broken is put together where the count proves how, and refused else.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.collectors.sacct_columns import JOB_ID, PARSERS, XDMOD_COLUMNS, parse_state

Record = Dict[str, str]

_NAME = re.compile(r"([A-Za-z][A-Za-z0-9_]*)", re.ASCII)
_CLUSTER = re.compile(r"^CLUSTER: (\S+)\n?", re.MULTILINE)
_NO_HEADER = "no line names the columns, JobID among them; record it with a header and `-P`"
_DELIMITERS = ("\x1f", "^|^", "|#", "|", "\t", ";", ",")
_LONGEST_HEADER_SEARCH = 50


@dataclass(frozen=True)
class Layout:
    """How the records of an output are written.

    Attributes:
        columns: names in lower case, in order.
        delimiter: between cells.
        trailing: the delimiter also ends each record (`-p`).
        quoted: a comma-separated file, in which a cell may be quoted.
    """

    columns: Tuple[str, ...]
    delimiter: str
    trailing: bool = False
    quoted: bool = False

    @property
    def terminator(self) -> str:
        """What ends a record."""
        return f"{self.delimiter}\n" if self.trailing else "\n"


@dataclass
class Split:
    """The records of an output by column, and what is none.

    Attributes:
        layout: how the output was read; None when it was not.
        records: cells by column; ``cluster`` is there where a `CLUSTER:` line named it.
        rejected: what could not be read, with the reason.
    """

    layout: Optional[Layout] = None
    records: List[Record] = field(default_factory=list)
    rejected: List[Rejected] = field(default_factory=list)


def read_header(line: str) -> Optional[Layout]:
    """Return the layout that a header line tells; None when the line is none."""
    line = line.rstrip("\r").lstrip("\ufeff")
    if line.startswith('"'):
        return _layout(re.findall(r'"([^"]*)"', line), ",", trailing=line.endswith(","), quoted=True)
    pieces = _NAME.split(line)
    names, between = pieces[1::2], set(pieces[2:-1:2])
    if pieces[0] or len(between) > 1:
        return None
    delimiter = between.pop() if between else pieces[-1]
    if not delimiter.strip(" -") or pieces[-1] not in ("", delimiter):
        return None
    return _layout(names, delimiter, trailing=bool(pieces[-1]), quoted=delimiter == ",")


def _layout(names: Sequence[str], delimiter: str, *, trailing: bool, quoted: bool) -> Optional[Layout]:
    columns = tuple(name.strip().lower() for name in names)
    if not {"jobid", "jobidraw"} & set(columns):
        return None
    return Layout(columns, delimiter, trailing, quoted)


def find_layout(text: str, columns: Sequence[str] = ()) -> Tuple[Optional[Layout], int]:
    """Return how a text is written and where its first record begins.

    Args:
        text: the output, or its beginning.
        columns: names of the columns of an output without header.
    """
    begin = 0
    for line in text.split("\n", _LONGEST_HEADER_SEARCH)[:_LONGEST_HEADER_SEARCH]:
        layout = read_header(line)
        if layout is not None:
            return layout, begin + len(line) + 1
        begin += len(line) + 1
    first = next((line for line in text.split("\n", _LONGEST_HEADER_SEARCH) if line.strip()), "")
    if columns:
        return _headless(first, tuple(name.strip().lower() for name in columns)), 0
    layout = Layout(XDMOD_COLUMNS, "|")
    cells = first.split("|")
    fits = len(cells) == len(XDMOD_COLUMNS) and is_plausible(dict(zip(XDMOD_COLUMNS, cells)))
    return (layout if fits else None), 0


def _headless(first: str, columns: Tuple[str, ...]) -> Optional[Layout]:
    """Return the layout in which the first record has the named columns."""
    for delimiter in _DELIMITERS:
        surplus = first.count(delimiter) + 1 - len(columns)
        if surplus == 0 or (surplus == 1 and first.endswith(delimiter)):
            return Layout(columns, delimiter, trailing=surplus == 1, quoted=delimiter == ",")
    return None


def split(text: str, columns: Sequence[str] = ()) -> Split:
    """Split an output into records.

    Args:
        text: the output.
        columns: names of its columns, for an output without header.
    """
    layout, begin = find_layout(text, columns)
    if layout is None:
        return Split(None, rejected=[Rejected(text, _NO_HEADER)] if text.strip() else [])
    splitter = Splitter(layout, cluster_named(text[:begin]))
    splitter.feed(text[begin:])
    return splitter.close()


def cluster_named(text: str) -> str:
    """Return the cluster that a `CLUSTER:` line names, the last of several; empty for none."""
    names = _CLUSTER.findall(text)
    return names[-1] if names else ""


class Splitter:
    """Splits an output that comes in parts, each of which ends with a record's end.

    Args:
        layout: how the records are written; a header within the output replaces it.
        cluster: the cluster that a line before the header named.
    """

    def __init__(self, layout: Layout, cluster: str = "") -> None:
        self._layout = layout
        self._cluster = cluster
        self._result = Split(layout)
        # A record that is whole but may go on with a line of its last cell, and cells of one that is not whole.
        self._whole: Optional[List[str]] = None
        self._begun: List[str] = []

    def feed(self, text: str) -> None:
        """Split the next part; a comma-separated file comes as a whole."""
        if self._layout.quoted:
            self._take_quoted(text)
            return
        if "\r\n" in text and text.count("\r\n") == text.count("\n"):
            text = text.replace("\r\n", "\n")
        pieces = text.split(self._layout.terminator)
        for piece in pieces if pieces[-1] else pieces[:-1]:
            self._take(piece)

    def drain(self) -> Split:
        """Return what was split since the last time; a record that may go on is not among it."""
        result, self._result = self._result, Split(self._layout)
        return result

    def close(self) -> Split:
        """Return what was split since the last time, and the record that waited: nothing follows."""
        self._refuse(self._begun, "the output ends within a record")
        self._finish(None)
        return self.drain()

    def _take(self, piece: str) -> None:
        """Take what stands before a record's end."""
        piece = self._without_cluster_line(piece)
        if (not piece.strip() and not self._begun) or self._is_header(piece):
            return
        cells = piece.split(self._layout.delimiter)
        if len(cells) == len(self._layout.columns) and is_record(self._layout.columns, cells):
            self._take_record(cells)
        elif self._begun:
            self._join(cells)
        elif len(cells) == 1 and self._whole is not None and self._goes_on(piece):
            self._whole[-1] += f"\n{piece}"
        else:
            self._join(cells)

    def _take_record(self, cells: List[str]) -> None:
        """Take a whole record; one behind the beginning of another may be a part of that one's name."""
        together = self._with_begun(cells)
        if self._begun and settled(self._layout.columns, together, self._layout.delimiter) is not None:
            self._refuse(together, "one record with a newline in a name, or a broken one and the next")
            return
        self._refuse(self._begun, "a record is broken off")
        self._finish(cells)

    def _with_begun(self, cells: List[str]) -> List[str]:
        """Return the cells behind those of a record that has begun: what was taken for its end was none."""
        if not self._begun:
            return cells
        if self._layout.trailing:
            return [*self._begun, f"\n{cells[0]}", *cells[1:]]
        return [*self._begun[:-1], f"{self._begun[-1]}\n{cells[0]}", *cells[1:]]

    def _take_quoted(self, body: str) -> None:
        """Take a comma-separated file, in which cells with newlines and commas are quoted."""
        stream, taken = io.StringIO(body, newline=""), 0
        try:
            for row in csv.reader(stream):
                cells = row[:-1] if self._layout.trailing and row[-1:] == [""] else row
                self._take_row(cells)
                taken = stream.tell()
        except csv.Error as error:
            self._result.rejected.append(Rejected(body[taken:], f"no comma-separated values: {error}"))

    def _take_row(self, cells: List[str]) -> None:
        if not any(cells) or tuple(cell.strip().lower() for cell in cells) == self._layout.columns:
            return
        if len(cells) == len(self._layout.columns) and is_record(self._layout.columns, cells):
            self._finish(cells)
        else:
            self._join(cells, last=True)

    def _join(self, cells: List[str], *, last: bool = False) -> None:
        """Add cells to the record that has begun; refuse what can be no record."""
        count = len(self._layout.columns)
        cells = self._with_begun(cells)
        self._begun = []
        if len(cells) < count and not last and self._may_begin(cells):
            self._begun = cells
            return
        whole = settled(self._layout.columns, cells, self._layout.delimiter) if len(cells) >= count else None
        if whole is not None:
            self._finish(whole)
        else:
            self._refuse(cells, f"not {count} cells" if len(cells) != count else "the cells do not fit their columns")

    def _finish(self, cells: Optional[List[str]]) -> None:
        """Pass on the record that waited, and let this one wait."""
        self._begun = []
        if self._whole is not None:
            record = dict(zip(self._layout.columns, self._whole))
            if self._cluster:
                record.setdefault("cluster", self._cluster)
            self._result.records.append(record)
        self._whole = cells

    def _refuse(self, cells: Sequence[str], reason: str) -> None:
        if cells:
            self._result.rejected.append(Rejected(self._layout.delimiter.join(cells), reason))
        self._begun = []

    def _may_begin(self, cells: Sequence[str]) -> bool:
        """Whether cells can be the beginning of a record: the job's number, if it is there, is one."""
        place = _id_place(self._layout.columns)
        return len(cells) <= place + 1 or JOB_ID.fullmatch(cells[place]) is not None

    def _goes_on(self, piece: str) -> bool:
        """Whether a line without delimiter belongs to the last cell of the record before it."""
        layout = self._layout
        begins_one = _id_place(layout.columns) == 0 and JOB_ID.fullmatch(piece) is not None
        return not layout.trailing and layout.columns[-1] not in PARSERS and not begins_one

    def _without_cluster_line(self, piece: str) -> str:
        match = _CLUSTER.match(piece)
        if match is None:
            return piece
        self._finish(None)
        self._cluster = match.group(1)
        return piece[match.end() :]

    def _is_header(self, piece: str) -> bool:
        """Whether the header is repeated; one with other columns holds from here on."""
        if "jobid" not in piece.lower():
            return False
        layout = read_header(piece + (self._layout.delimiter if self._layout.trailing else ""))
        if layout is None or layout.delimiter != self._layout.delimiter:
            return False
        self._refuse(self._begun, "a record is broken off")
        self._finish(None)
        self._layout = layout
        return True


def _id_place(columns: Sequence[str]) -> int:
    return columns.index("jobid" if "jobid" in columns else "jobidraw")


def is_record(columns: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether cells look like a record: a job's number, and a state where there is one."""
    if JOB_ID.fullmatch(cells[_id_place(columns)]) is None:
        return False
    try:
        parse_state(cells[columns.index("state")] if "state" in columns else None)
    except ValueError:
        return False
    return True


def is_plausible(record: Record) -> bool:
    """Whether every cell fits its column."""
    for name, text in record.items():
        parse = PARSERS.get(name)
        try:
            if parse is not None:
                parse(text)
        except ValueError:
            return False
    return True


def settled(columns: Sequence[str], cells: Sequence[str], delimiter: str) -> Optional[List[str]]:
    """Return the one way in which cells, some of them parts of one cell, fit the columns; None for none or several."""
    surplus = len(cells) - len(columns)
    found: List[List[str]] = []
    for place in range(len(columns)) if surplus else (0,):
        joined = delimiter.join(cells[place : place + surplus + 1])
        candidate = [*cells[:place], joined, *cells[place + surplus + 1 :]]
        if candidate not in found and is_plausible(dict(zip(columns, candidate))):
            found.append(candidate)
    return found[0] if len(found) == 1 else None

"""The spool: append-only NDJSON files that hold every reading until the lake has it.

One line is one *reading*: all rows of one table that one collector took at one moment, column by
column (``data`` maps a column to a list with one entry a row), with what the rows share beside it. A
reading is thus stored whole or not at all. Files are
``<table>/<host>/<hour UTC>.<writer>.ndjson``; one writer a file, under an exclusive lock.

This module is the only code that writes the spool. Standard library only, Python 3.9.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import time
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.config.settings import FORMS
from nomade_pipeline.tables.catalog import raw_table_named
from nomade_pipeline.tables.contract import JSON_TYPES, Column, Table

FORMAT_VERSION = 1
HOUR_FORMAT = "%Y-%m-%dT%H"
WRITERS = ("agent", "monitor", "epilog", "manual")
_FILE_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d)\.([a-z]+)\.ndjson")

# Surrogates that do not stand for an undecodable byte.
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")

# Another writer holds a file for one write only; longer means that it is stuck.
LOCK_SECONDS = 5.0


class SpoolError(Exception):
    """A reading could not be stored; nothing of its file was written.

    ``category`` is one of ``tables.operations.CATEGORIES``.
    """

    def __init__(self, category: str, message: str) -> None:
        """Keep the category for the collection log."""
        super().__init__(message)
        self.category = category


class BadLine(ValueError):
    """A line of the spool that is no reading; the message says why."""


@dataclass(frozen=True)
class Batch:
    """A decoded line: ``rows`` rows as lists in ``data``, and what they share."""

    table: str
    cluster: str
    host: str
    sample_time: str
    interval_seconds: float
    source: str
    received_time: str
    rows: int
    data: Dict[str, list[Any]]

    def to_rows(self) -> list[Dict[str, Any]]:
        """Return the rows one by one, with every column of the contract; a column not sent is null."""
        shared = {
            "cluster": self.cluster,
            "host": self.host,
            "sample_time": self.sample_time,
            "interval_seconds": self.interval_seconds,
            "source": self.source,
            "received_time": self.received_time,
        }
        absent = [None] * self.rows
        columns = {c.name: self.data.get(c.name, absent) for c in raw_table_named(self.table).data_columns}
        return [{**shared, **{name: values[i] for name, values in columns.items()}} for i in range(self.rows)]


@dataclass(frozen=True)
class SpoolFile:
    """One file of the spool, as its path tells."""

    path: Path
    table: str
    host: str
    hour: datetime
    writer: str


class SpoolWriter:
    """Appends the readings of one host.

    Args:
        root: the spool's folder; made when missing.
        cluster: name of the cluster.
        host: name of this host; also a folder.
        writer: one of ``WRITERS``.
    """

    def __init__(self, root: Path, cluster: str, host: str, writer: str = "agent") -> None:
        if writer not in WRITERS:
            raise ValueError(f"unknown spool writer {writer!r}; there are {', '.join(WRITERS)}")
        for name in (cluster, host):
            if not is_folder_name(name):
                raise ValueError(f"{name!r:.80}: {FORMS['name'][1]}")
        self.root = Path(root)
        # The present file of each table; see `LiveProbe` for why an agent does not make a Path every minute.
        self._files: Dict[str, Tuple[str, Path]] = {}
        self.cluster = cluster
        self.host = host
        self.writer = writer

    def append(self, readings: Sequence[Reading]) -> int:
        """Store readings and return the number of their rows.

        Readings of one file are stored together or not at all.

        Raises:
            SpoolError: the disk is full, permission is missing or the file stays locked.
        """
        lines: Dict[Path, list[bytes]] = {}
        received = clock.now()
        for reading in readings:
            if reading.rows:
                lines.setdefault(self.path_for(reading), []).append(self._encode(reading, received))
        for path, encoded in lines.items():
            append_lines(path, b"".join(encoded))
        return sum(len(reading.rows) for reading in readings)

    def path_for(self, reading: Reading) -> Path:
        """Return the file that a reading belongs to."""
        hour = reading.sample_time.astimezone(timezone.utc).strftime(HOUR_FORMAT)
        kept = self._files.get(reading.table)
        if kept is None or kept[0] != hour:
            path = self.root / reading.table / self.host / f"{hour}.{self.writer}.ndjson"
            self._files[reading.table] = kept = (hour, path)
        return kept[1]

    def _encode(self, reading: Reading, received: datetime) -> bytes:
        source = f"manual-{reading.source}" if self.writer == "manual" else reading.source
        line = {
            "v": FORMAT_VERSION,
            "table": reading.table,
            "cluster": self.cluster,
            "host": self.host,
            "sample_time": clock.to_text(reading.sample_time),
            "interval_seconds": round(reading.interval_seconds, 3),
            "source": source,
            "received_time": clock.to_text(received),
            "rows": len(reading.rows),
            "data": _columns_of(reading),
        }
        return json.dumps(line, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _columns_of(reading: Reading) -> Dict[str, list[Any]]:
    """Turn rows into columns; a column that is null in every row is left out.

    Raises:
        ValueError: a row has a column that the contract does not know.
    """
    table = raw_table_named(reading.table)
    known = {column.name for column in table.data_columns}
    for row in reading.rows:
        if not known.issuperset(row):
            raise ValueError(f"table {table.name} has no column {', '.join(sorted(set(row) - known))}")
    columns = {}
    for column in table.data_columns:
        values = [storable(row.get(column.name), column) for row in reading.rows]
        if any(value is not None for value in values):
            columns[column.name] = values
    return columns


def storable(value: Any, column: Column) -> Any:
    """Return a value as JSON can hold it: rounded, finite, printable."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        # Adding zero turns -0.0 into 0.0, which equals it but would hash differently.
        return (round(value, column.decimals) if column.decimals is not None else value) + 0.0
    if isinstance(value, str):
        return printable_text(value)
    if isinstance(value, datetime):
        return clock.to_text(value)
    return value


def printable_text(text: str) -> str:
    """Return a text as UTF-8 can hold it: undecodable bytes and lone surrogates as escapes."""
    if text.isascii():
        return text
    lone = _NO_BYTE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    return lone.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def append_lines(path: Path, data: bytes) -> None:
    """Append whole lines to a spool file in one write, under its lock.

    A torn last line, left by a writer that was killed, is closed first, so that it spoils no other.

    Raises:
        SpoolError: nothing was written; the category is ``storage`` or ``permission``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open_locked(path)
    except OSError as error:
        raise _spool_error(path, error) from error
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        _write_whole(descriptor, size, b"\n" + data if torn else data, path)
    except OSError as error:
        raise _spool_error(path, error) from error
    finally:
        os.close(descriptor)


def _write_whole(descriptor: int, size: int, data: bytes, path: Path) -> None:
    """Write all of ``data`` or take back what was written of it."""
    try:
        written = os.write(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    if written != len(data):
        os.ftruncate(descriptor, size)
        raise SpoolError("storage", f"{path}: only {written} of {len(data)} bytes fitted; is the disk full?")


def _open_locked(path: Path) -> int:
    """Open a spool file for appending, under its lock, and return the descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _lock(descriptor, path)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Retention deleted the file between opening and locking: what is written there would be lost.
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    """Take the exclusive lock of an open spool file."""
    deadline = clock.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock.monotonic() > deadline:
                raise SpoolError("storage", f"{path} stays locked by another writer; is one stuck?") from None
            time.sleep(0.01)
        else:
            return


def _spool_error(path: Path, error: OSError) -> SpoolError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SpoolError("permission", f"cannot write {path}: {error.strerror}; check the owner of the data folder")
    return SpoolError("storage", f"cannot write {path}: {error.strerror}")


def decode_line(line: bytes, loads: Callable[[bytes], Any] = json.loads) -> Batch:
    """Decode one line of the spool and check it against its table's contract.

    Args:
        line: the bytes without or with the newline.
        loads: a faster JSON reader where one is at hand.

    Raises:
        BadLine: it is no reading; the message names the fault.
    """
    try:
        content = loads(line)
    except (ValueError, RecursionError) as error:
        # One reason for all of them: reasons are counted, and where it broke is seen in the line itself.
        raise BadLine("not JSON") from error
    if not isinstance(content, dict):
        raise BadLine("not a JSON object")
    if content.get("v") != FORMAT_VERSION:
        raise BadLine(f"spool format {content.get('v')!r:.80} is not {FORMAT_VERSION}")
    try:
        table = raw_table_named(str(content.get("table"))[:80])
    except KeyError as error:
        raise BadLine(str(error.args[0])) from error
    batch = _batch_of(content, table)
    for name, values in batch.data.items():
        _check_column(table, batch, name, values)
    return batch


_ENVELOPE: Dict[str, tuple[type, ...]] = {
    "cluster": (str,),
    "host": (str,),
    "sample_time": (str,),
    "interval_seconds": (int, float),
    "source": (str,),
    "received_time": (str,),
    "rows": (int,),
    "data": (dict,),
}


def is_folder_name(name: str) -> bool:
    """Whether a cluster or host may be called so: its name becomes a folder's."""
    return re.fullmatch(FORMS["name"][0], name) is not None


def _batch_of(content: Dict[str, Any], table: Table) -> Batch:
    """Check the part of a line that all rows share.

    A newer agent may send a column that this version does not know: it is left out, not an error.
    """
    for name, types in _ENVELOPE.items():
        if type(content.get(name)) not in types:
            raise BadLine(f"{name} is {content.get(name)!r:.80}")
    for name in ("sample_time", "received_time"):
        try:
            clock.from_text(content[name])
        except (ValueError, OverflowError) as error:
            raise BadLine(f"{name} is no time with an offset") from error
    for name in ("cluster", "host"):
        if not is_folder_name(content[name]):
            raise BadLine(f"{name} {content[name]!r:.80} cannot be a folder's name")
    data = {c.name: content["data"][c.name] for c in table.data_columns if c.name in content["data"]}
    if content["rows"] < 0 or (content["rows"] > 1 and not data):
        raise BadLine("rows is not the length of any column")
    return Batch(**{**{name: content[name] for name in _ENVELOPE}, "table": table.name, "data": data})


def _check_column(table: Table, batch: Batch, name: str, values: Any) -> None:
    """Check one column of a line: right length, right types."""
    if not isinstance(values, list) or len(values) != batch.rows:
        raise BadLine(f"{name} has not {batch.rows} values")
    column = table.column(name)
    wrong = set(map(type, values)) - set(JSON_TYPES[column.type]) - {type(None)}
    if wrong:
        found = ", ".join(sorted(kind.__name__ for kind in wrong))
        raise BadLine(f"{name} holds {found}, expected {column.type}")


def spool_files(root: Path, table: Optional[str] = None, day: Optional[date] = None) -> Iterator[SpoolFile]:
    """Yield the spool's files, of one table and UTC day where given, in the order of table, host, hour and writer.

    Names that are not of the spool's form are passed over: editors and backup tools leave such files.
    """
    prefix = "" if day is None else day.isoformat()
    tables = [table] if table is not None else _names(root)
    for name in tables:
        for host in _names(root / name):
            folder = root / name / host
            # Names decide before there is a Path, which interns its parts; see `LiveProbe`.
            for file_name in (each for each in _names(folder) if each.startswith(prefix)):
                file = _spool_file(folder, file_name)
                if file is not None:
                    yield file


def _spool_file(folder: Path, name: str) -> Optional[SpoolFile]:
    """Return what the place of a spool file tells; None when its name is not of the spool's form."""
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        return None
    try:
        hour = datetime.fromisoformat(f"{match.group(1)}:00:00+00:00")
    except ValueError:
        return None
    return SpoolFile(folder / name, folder.parent.name, folder.name, hour, match.group(2))


def _names(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none when it does not exist."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def whole_lines(data: bytes) -> list[bytes]:
    """Split the content of a spool file into its complete lines; what follows the last newline waits."""
    return [line for line in data.split(b"\n")[:-1] if line]

"""The agent's log: JSON lines with rotation, and plain lines for whoever looks on.

Written by hand, as `logging` and its handlers would take a tenth of the agent's memory.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, TextIO, Tuple

from nomade_pipeline import clock

LARGEST_BYTES, KEPT_FILES = 5_000_000, 3
REPEAT_SECONDS = 3600.0
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


class LogFile:
    """A file of lines that is replaced when it is full: ``x.log``, then ``x.log.1`` and so on.

    Where it cannot be written it says so once and is tried again with the next line: the agent's
    work does not depend on its log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: Optional[int] = None
        self._complained = False

    def write(self, line: str) -> None:
        """Append one line, which ends with a newline."""
        data = line.encode("utf-8", "backslashreplace")
        try:
            if self._descriptor is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = self._open()
            if os.fstat(self._descriptor).st_size + len(data) > LARGEST_BYTES:
                self._rotate()
            os.write(self._descriptor, data)
        except OSError as error:
            if not self._complained:
                self._complained = True
                print(f"cannot write the log {self.path}: {error.strerror}", file=sys.stderr)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _rotate(self) -> None:
        for number in range(KEPT_FILES, 0, -1):
            older = Path(f"{self.path}.{number - 1}") if number > 1 else self.path
            if older.exists():
                older.replace(f"{self.path}.{number}")
        self.close()
        self._descriptor = self._open()

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Journal:
    """Writes events with named fields; callable from any thread.

    Args:
        path: the log file, None for none.
        level: least severe level that is written, a name as in ``[general] log_level``.
        stream: where people look on; everything goes to a terminal, only warnings and worse elsewhere.
    """

    def __init__(self, path: Optional[Path], level: str, stream: Optional[TextIO] = None) -> None:
        self._lock = threading.Lock()
        self._level = level
        self._file = LogFile(path) if path is not None else None
        self._stream = stream
        self._stream_level = "DEBUG" if stream is not None and stream.isatty() else "WARNING"

    def set_level(self, level: str) -> None:
        """Change the least severe level that is written."""
        self._level = level

    def debug(self, event: str, **fields: Any) -> None:
        """Write what helps to find a fault."""
        self._write("DEBUG", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Write what happened."""
        self._write("INFO", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write what somebody should look at."""
        self._write("WARNING", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write what went wrong."""
        self._write("ERROR", event, fields)

    def _write(self, level: str, event: str, fields: Dict[str, Any]) -> None:
        if _LEVELS[level] < _LEVELS[self._level]:
            return
        time = clock.to_text(clock.now())
        with self._lock:
            if self._file is not None:
                entry = {"time": time, "level": level.lower(), "event": event, **fields}
                self._file.write(json.dumps(entry, default=str) + "\n")
            if self._stream is not None and _LEVELS[level] >= _LEVELS[self._stream_level]:
                self._stream.write(_plain_line(time, level, event, fields))
                self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()


def _plain_line(time: str, level: str, event: str, fields: Dict[str, Any]) -> str:
    """Word an event for a person; a traceback follows on lines of its own."""
    told = " ".join(f"{name}={_plain(value)}" for name, value in fields.items() if name != "trace")
    trace = f"\n{fields['trace']}" if "trace" in fields else ""
    return f"{time[11:19]}Z {level.lower():7} {event} {told}".rstrip() + trace + "\n"


def _plain(value: Any) -> str:
    """Format a value so that no control character or broken text reaches a terminal."""
    text = str(value)
    return text if text and text.isprintable() else json.dumps(text)


@dataclass
class _Said:
    text: str
    at: float
    unsaid: int = 0
    total: int = 1


class Repeats:
    """Keeps a fault that repeats every minute from filling the log: the first time, then once an hour."""

    def __init__(self, every: float = REPEAT_SECONDS) -> None:
        self._every = every
        self._said: Dict[str, _Said] = {}

    def due(self, subject: str, text: str, monotonic: float) -> Tuple[bool, int]:
        """Take note of a fault.

        Returns:
            Whether to say it now, and how often it happened unsaid since it was last said.
        """
        said = self._said.get(subject)
        if said is None or said.text != text:
            self._said[subject] = _Said(text, monotonic, total=1 if said is None else said.total + 1)
            return True, 0
        said.total += 1
        if monotonic - said.at < self._every:
            said.unsaid += 1
            return False, said.unsaid
        unsaid, said.unsaid, said.at = said.unsaid, 0, monotonic
        return True, unsaid

    def cleared(self, subject: str) -> int:
        """Forget a subject's fault and return how often it happened; 0 when there was none."""
        said = self._said.pop(subject, None)
        return 0 if said is None else said.total

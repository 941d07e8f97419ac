"""Alerts as JSON lines in a file: a record that needs no network."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nomade_pipeline.alerts.delivery.webhook import payload_of
from nomade_pipeline.alerts.notice import Message
from nomade_pipeline.transport.deadline import within
from nomade_pipeline.transport.failure import DeliveryError

# A file that is larger is moved aside before the next line, in place of the one that was moved before.
LARGEST_BYTES = 50_000_000
_MODE, _FOLDER_MODE = 0o640, 0o755


@dataclass(frozen=True)
class FileTarget:
    """Appends to a file, which may be moved away at any time and is when it has grown large.

    Attributes:
        name: the target's.
        path: the file; its folder is made within one that exists.
    """

    name: str
    path: str
    kind: ClassVar[str] = "file"

    def send(self, message: Message, seconds: float) -> None:
        """See `Sender`."""
        line = json.dumps(payload_of(message), allow_nan=False).encode("ascii") + b"\n"
        within(seconds, self.path, lambda _: _append(self.path, line))


def _append(path: str, line: bytes) -> None:
    """Append a line in one write; one that is cut off is reported, as it is no use to a reader."""
    try:
        with contextlib.suppress(FileExistsError):
            Path(path).parent.mkdir(_FOLDER_MODE)
        if os.path.isfile(path) and Path(path).stat().st_size > LARGEST_BYTES:
            Path(path).replace(f"{path}.1")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DeliveryError(f"{path} cannot be written: {error.strerror}") from error
    if written < len(line):
        raise DeliveryError(f"{path} cannot be written: the disk is full")

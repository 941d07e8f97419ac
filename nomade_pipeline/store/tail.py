"""The newest readings of the spool: what is true now, seconds after it was sampled.

The only code that reads the spool's newest lines; `status`, sensors and the dashboard use it.
Standard library only.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Iterator

from nomade_pipeline import clock
from nomade_pipeline.store.spool import BadLine, Batch, SpoolFile, decode_line, spool_files, whole_lines

# One reading of 256 cores is 12 kB; a few of them fit.
_BLOCK = 65536


def newest_batches(root: Path, table: str) -> list[Batch]:
    """Return the newest readable reading of each host and writer of a table.

    A host whose newest hour holds no readable line is represented by the hour before it.
    """
    newest: dict[tuple[str, str], Batch] = {}
    files = list(spool_files(root, table))
    for file in sorted(files, key=lambda file: file.hour, reverse=True):
        if (file.host, file.writer) in newest:
            continue
        batch = _last_batch(file.path)
        if batch is not None:
            newest[file.host, file.writer] = batch
    return [newest[key] for key in sorted(newest)]


def batches_since(root: Path, table: str, since: datetime) -> Iterator[Batch]:
    """Yield the readable readings of a table sampled after ``since``, in the files' order."""
    for file in spool_files(root, table):
        if file.hour >= clock.hour_of(since):
            yield from (batch for batch in _batches(file) if clock.from_text(batch.sample_time) > since)


def _batches(file: SpoolFile) -> Iterator[Batch]:
    """Yield the readings of a file; lines that cannot be read are the ingest's business."""
    try:
        data = file.path.read_bytes()
    except FileNotFoundError:
        return
    for line in whole_lines(data):
        batch = _decoded(line)
        if batch is not None:
            yield batch


def _decoded(line: bytes) -> Batch | None:
    try:
        return decode_line(line)
    except BadLine:
        return None


def _last_batch(path: Path) -> Batch | None:
    """Return the last readable reading of a file, reading only as much of its end as needed."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = 0
            while length < size:
                length = min(size, max(_BLOCK, 2 * length))
                file.seek(size - length)
                lines = whole_lines(file.read(length))
                # The first line of a block may be cut; it counts only when the block is the whole file.
                for line in reversed(lines if length == size else lines[1:]):
                    batch = _decoded(line)
                    if batch is not None:
                        return batch
    except FileNotFoundError:
        return None
    return None

"""From the collectors to the spool: nothing is lost while the spool cannot be written.

Readings wait in memory, packed and bounded, and are stored in order as soon as that is possible
again. When the bound is reached the oldest go, and their number is told.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Deque, List, Optional, Sequence, Set, Tuple

from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.store.spool import SpoolError, SpoolWriter

# About a day of a 64-core host; small beside what a node has, large beside the agent's own needs.
LIMIT_BYTES = 8_000_000
# So many groups wait as they are, since they are stored within milliseconds; more means trouble.
_UNPACKED = 16


@dataclass
class _Group:
    """Readings that belong together, those of one run: stored in order, the log row last."""

    writer: SpoolWriter
    tables: Tuple[str, ...]
    readings: Optional[Tuple[Reading, ...]]
    packed: bytes = b""

    def pack(self) -> None:
        """Keep the readings as compressed bytes, about a tenth of their size as objects."""
        if self.readings is None:
            return
        # Imported in times of trouble only, to keep the agent small.
        import pickle
        import zlib

        self.packed = zlib.compress(pickle.dumps(self.readings, protocol=5), 1)
        self.readings = None

    def unpack(self) -> Tuple[Reading, ...]:
        """Return the readings."""
        if self.readings is not None:
            return self.readings
        import pickle
        import zlib

        readings: Tuple[Reading, ...] = pickle.loads(zlib.decompress(self.packed))  # noqa: S301 - our own bytes
        return readings


@dataclass(frozen=True)
class Delivered:
    """What one round of deliveries did.

    Attributes:
        rows: rows stored.
        waiting: groups that still wait.
        dropped: readings given up since the round before, because too many waited.
        problem: why something waits; None when nothing does.
        refused: readings that the spool will never take, each with the reason: faults of a collector.
    """

    rows: int
    waiting: int
    dropped: int
    problem: Optional[str]
    refused: Tuple[str, ...]


class Delivery:
    """A bounded queue of readings before the spool.

    `add` may be called from any thread and never touches the disk; `flush` by one thread at a time.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._groups: Deque[_Group] = deque()
        self._packed_bytes = 0
        self._in_hand = 0
        self._dropped = 0
        self.dropped_total = 0
        self.problem: Optional[str] = None

    @property
    def waiting(self) -> int:
        """Number of runs whose readings are not stored yet."""
        return len(self._groups) + self._in_hand

    def add(self, writer: SpoolWriter, readings: Sequence[Reading]) -> None:
        """Queue the readings of one run for a writer."""
        group = _Group(writer, tuple(reading.table for reading in readings), tuple(readings))
        if len(self._groups) >= _UNPACKED:
            group.pack()
        with self._lock:
            self._groups.append(group)
            self._packed_bytes += len(group.packed)
            self._trim()

    def flush(self) -> Delivered:
        """Store what waits, in order for each table; what cannot be stored waits on."""
        failed: Set[Tuple[str, str]] = set()
        kept: Deque[_Group] = deque()
        rows = 0
        refused: List[str] = []
        problem: Optional[str] = None
        while True:
            group = self._take()
            if group is None:
                break
            stored, rest, fault = self._store(group, failed, refused)
            rows += stored
            problem = fault or problem
            if rest is not None:
                kept.append(rest)
        self._put_back(kept)
        self.problem = problem
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        return Delivered(rows, self.waiting, dropped, problem, tuple(refused))

    def _take(self) -> Optional[_Group]:
        with self._lock:
            if not self._groups:
                return None
            group = self._groups.popleft()
            self._packed_bytes -= len(group.packed)
            self._in_hand += 1
            return group

    def _put_back(self, kept: Deque[_Group]) -> None:
        for group in kept:
            group.pack()
        with self._lock:
            self._groups.extendleft(reversed(kept))
            self._packed_bytes += sum(len(group.packed) for group in kept)
            self._in_hand = 0
            self._trim()

    def _trim(self) -> None:
        """Give up the oldest groups while too much waits; the lock is held."""
        while self._packed_bytes > self._limit:
            group = self._groups.popleft()
            self._packed_bytes -= len(group.packed)
            self._dropped += len(group.tables)
            self.dropped_total += len(group.tables)

    @staticmethod
    def _store(
        group: _Group, failed: Set[Tuple[str, str]], refused: List[str]
    ) -> Tuple[int, Optional[_Group], Optional[str]]:
        """Store one group.

        Returns:
            The rows stored, what is left of the group, and why.
        """
        root = str(group.writer.root)
        if (root, group.tables[0]) in failed:
            return 0, group, None
        rows = 0
        readings = group.unpack()
        for position, reading in enumerate(readings):
            rest = _Group(group.writer, group.tables[position:], readings[position:])
            if (root, reading.table) in failed:
                return rows, rest, None
            try:
                rows += group.writer.append([reading])
            except (SpoolError, OSError) as error:
                failed.add((root, reading.table))
                return rows, rest, str(error)
            except (ValueError, TypeError, KeyError) as error:
                refused.append(f"a reading of table {reading.table} cannot be stored: {error}")
        return rows, None, None

"""CPU time, reading and writing of one job's processes, added up over their lives.

The kernel gives what a child has read, written and computed to the parent that waits for it (`wait_task_zombie`):
/proc/PID/io of a shell grows by all that an ended `dd` had written. So an ended process is neither forgotten nor kept
beside its parent's figures, but taken off what its nearest living ancestor has grown by, if that has grown by so much;
else nobody waited for it, and its last reading stays in the sum. The sums only grow.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

from nomade_pipeline.collectors.job_files import LOCAL, NETWORK, FileKinds, OpenFile, Positions, attribute
from nomade_pipeline.collectors.process_table import Identity, Process
from nomade_pipeline.probes import Probe

_IO_FIELDS = {"rchar": "read", "wchar": "write", "read_bytes": "stored_read", "write_bytes": "stored_write"}


@dataclass
class Amounts:
    """Counters: CPU in ticks, the rest in bytes; stored_… is what reached or came from storage."""

    cpu_ticks: int = 0
    read: int = 0
    write: int = 0
    stored_read: int = 0
    stored_write: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """Return the sum."""
        return Amounts(*(a + b for a, b in zip(astuple(self), astuple(other))))

    def minus(self, other: Amounts) -> Amounts:
        """Return the difference, never below zero."""
        return Amounts(*(max(0, a - b) for a, b in zip(astuple(self), astuple(other))))

    def covers(self, other: Amounts) -> bool:
        """Whether every counter is at least the other's."""
        return all(a >= b for a, b in zip(astuple(self), astuple(other)))


@dataclass
class Kinds:
    """Of the bytes read and written, those told to be on network and on local file systems."""

    network_read: int = 0
    local_read: int = 0
    network_write: int = 0
    local_write: int = 0

    def plus(self, other: Kinds) -> Kinds:
        """Return the sum."""
        return Kinds(*(a + b for a, b in zip(astuple(self), astuple(other))))


@dataclass
class Known:
    """A process at its last look.

    Attributes:
        parent: process id of its parent.
        amounts: its counters, children that it has waited for included.
        child_faults: page faults of those children; it grows with each of them.
        kinds: where its own bytes went, for what follows when it ends.
        positions: of its open files.
    """

    parent: int
    amounts: Amounts
    child_faults: int = 0
    kinds: Kinds = field(default_factory=Kinds)
    positions: Positions = field(default_factory=dict)


@dataclass
class Ledger:
    """The sums of one job on one node."""

    sums: Amounts = field(default_factory=Amounts)
    kinds: Kinds = field(default_factory=Kinds)
    known: Dict[Identity, Known] = field(default_factory=dict)
    is_read: bool = False

    def look(self, probe: Probe, processes: Sequence[Process], files: FileKinds) -> int:
        """Take in the present readings; return the number of processes whose I/O could not be read."""
        now: Dict[Identity, Known] = {}
        unread = 0
        inherited = self._inherited(processes)
        for process in processes:
            before = self.known.get(process.identity, Known(process.parent, Amounts()))
            try:
                amounts = read_io(probe, process.pid)
                self.is_read = True
            except PermissionError:
                unread += 1
                # Its CPU time is open to everyone.
                amounts = before.amounts
            except OSError:
                # It ended while we looked; the next look settles it.
                amounts = before.amounts
            amounts = Amounts(process.cpu_ticks, *astuple(amounts)[1:])
            known = Known(process.parent, amounts, process.child_faults, before.kinds, before.positions)
            self._grow(process, before, known, inherited.get(process.pid, []), files)
            now[process.identity] = known
        self.known = now
        return unread

    def _inherited(self, processes: Sequence[Process]) -> Dict[int, List[Known]]:
        """Return the ended processes by the nearest living ancestor, which may have waited for them."""
        alive = {process.identity for process in processes}
        at_last_look = {identity[0]: identity for identity in self.known}
        heirs: Dict[int, List[Known]] = {}
        for identity, ended in self.known.items():
            if identity in alive:
                continue
            parent, passed = at_last_look.get(ended.parent), {identity}
            # Numbers that were used again while we looked could close a circle.
            while parent is not None and parent not in alive and parent not in passed:
                passed.add(parent)
                parent = at_last_look.get(self.known[parent].parent)
            if parent in passed:
                continue
            if parent is not None:
                heirs.setdefault(parent[0], []).append(ended)
        return heirs

    def _grow(self, process: Process, before: Known, known: Known, ended: Sequence[Known], files: FileKinds) -> None:
        """Add what a process has grown by, without what is in the sums already as its children's."""
        grown = known.amounts.minus(before.amounts)
        reaped: List[Known] = []
        for child in sorted(ended, key=lambda each: each.amounts.write, reverse=True):
            if grown.covers(child.amounts):
                grown = grown.minus(child.amounts)
                reaped.append(child)
        self.sums = self.sums.plus(grown)
        if not grown.read and not grown.write:
            return
        told = _told(process, before, known, grown, reaped, files)
        self.kinds = self.kinds.plus(told)
        known.kinds = before.kinds.plus(told)

    def to_dict(self) -> Dict[str, Any]:
        """Return the ledger for JSON."""
        return {
            "sums": astuple(self.sums),
            "kinds": astuple(self.kinds),
            "is_read": self.is_read,
            "known": [
                [*identity, each.parent, each.child_faults, astuple(each.amounts), astuple(each.kinds),
                 [[number, *place] for number, place in each.positions.items()]]
                for identity, each in self.known.items()
            ],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Dict[str, Any]) -> Ledger:
        """Return the ledger that `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        known = {
            (int(pid), int(start)): Known(
                int(parent),
                Amounts(*map(int, amounts)),
                int(faults),
                Kinds(*map(int, kinds)),
                {int(number): (str(mount), int(position)) for number, mount, position in positions},
            )
            for pid, start, parent, faults, amounts, kinds, positions in content["known"]
        }
        return cls(Amounts(*map(int, content["sums"])), Kinds(*map(int, content["kinds"])), known, content["is_read"])


def _told(
    process: Process, before: Known, known: Known, grown: Amounts, reaped: Sequence[Known], files: FileKinds
) -> Kinds:
    """Tell where a process has read and written, by the files that it has open."""
    opened: List[OpenFile] = []
    try:
        opened, known.positions = files.open_files(process.pid, before.positions)
    except PermissionError:
        return Kinds()
    except FileNotFoundError:
        # It has ended meanwhile.
        opened = []
    if not opened:
        # A process at its end has closed its files.
        return _as_before(grown, Kinds(), [before])
    by_children = known.child_faults > before.child_faults
    read = attribute(grown.read, grown.stored_read, opened, writing=False, by_children=by_children)
    write = attribute(grown.write, grown.stored_write, opened, writing=True, by_children=by_children)
    told = Kinds(read[NETWORK], read[LOCAL], write[NETWORK], write[LOCAL])
    return told.plus(_as_before(grown, told, reaped)) if by_children else told


def _as_before(grown: Amounts, told: Kinds, ended: Sequence[Known]) -> Kinds:
    """Divide what processes did after their last look as they did until then; nothing is told for unseen ones."""
    seen = Kinds()
    for child in ended:
        seen = seen.plus(child.kinds)
    network_read, local_read = _divided(
        grown.read - told.network_read - told.local_read, seen.network_read, seen.local_read
    )
    network_write, local_write = _divided(
        grown.write - told.network_write - told.local_write, seen.network_write, seen.local_write
    )
    return Kinds(network_read, local_read, network_write, local_write)


def _divided(amount: int, first: int, second: int) -> Tuple[int, int]:
    if amount <= 0 or first + second == 0:
        return 0, 0
    share = amount * first // (first + second)
    return share, amount - share


def read_io(probe: Probe, pid: int) -> Amounts:
    """Return what a process has read and written, from /proc/PID/io.

    Raises:
        OSError: it has ended, or is not ours to read.
    """
    values: Dict[str, int] = {}
    for line in probe.read(f"/proc/{pid}/io").splitlines():
        name, _, value = line.partition(":")
        if name in _IO_FIELDS and value.strip().isdigit():
            values[_IO_FIELDS[name]] = int(value)
    return Amounts(**values)

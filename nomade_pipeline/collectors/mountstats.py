"""/proc/self/mountstats: totals of NFS mounts since they were mounted, and rates between two readings.

Every per-operation line has eight numbers, or nine since kernel 5.3 (tool_traps 94): calls,
transmissions, major time-outs, bytes sent, bytes received, and milliseconds of queueing, of waiting
for the reply and of the whole call; the ninth counts errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Tuple

from nomade_pipeline.collectors.base import CollectorError, Rejected, Row
from nomade_pipeline.collectors.mounts import NFS_TYPES, decoded
from nomade_pipeline.collectors.procfs import CounterResetError, increase

# Which words of an `xprt:` line are the calls sent and the accumulated backlog.
_TRANSPORT = {"tcp": (7, 11), "rdma": (7, 11), "udp": (4, 8)}
_OPERATION_NUMBERS = 8


@dataclass(frozen=True)
class Operation:
    """Totals of one kind of call."""

    calls: int
    transmissions: int
    timeouts: int
    sent_bytes: int
    received_bytes: int
    queue_ms: int
    rtt_ms: int
    execute_ms: int


@dataclass
class MountStats:
    """Totals of one NFS mount; sent and backlog add up all its connections, None when not reported."""

    source: str
    point: str
    age_seconds: Optional[int] = None
    version: Optional[str] = None
    sent: Optional[int] = None
    backlog: Optional[int] = None
    operations: Dict[str, Operation] = field(default_factory=dict)


def parse_mountstats(text: str) -> Dict[str, MountStats]:
    """Read the NFS mounts by mount point; of two on one point the last one, which covers the other.

    Raises:
        CollectorError: the text has no line of a mounted device, or holds words in place of numbers.
    """
    found: Dict[str, MountStats] = {}
    current: Optional[MountStats] = None
    devices = 0
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["device"] and "mounted" in words:
            devices += 1
            current = _begin(line)
            if current is not None:
                found[current.point] = current
        elif current is not None and words:
            try:
                _continue(current, words)
            except (ValueError, IndexError) as error:
                raise CollectorError(
                    "parse", f"mountstats: {line.strip()[:80]!r} of {current.point}: {error}"
                ) from error
    if not devices:
        raise CollectorError("parse", "mountstats: no line begins with 'device'")
    return found


def _begin(line: str) -> Optional[MountStats]:
    """Read `device SOURCE mounted on POINT with fstype TYPE …`; None unless it is NFS."""
    source, _, rest = line.strip()[len("device ") :].partition(" mounted on ")
    point, _, kind = rest.partition(" with fstype ")
    if not kind.split() or kind.split()[0] not in NFS_TYPES:
        return None
    return MountStats(decoded(source), decoded(point))


def _continue(stats: MountStats, words: List[str]) -> None:
    head = words[0]
    if head == "age:":
        stats.age_seconds = int(words[1])
    elif head == "opts:":
        options = ",".join(words[1:]).split(",")
        stats.version = next((each[5:] for each in options if each.startswith("vers=")), None)
        # Old kernels write vers=4,minorversion=1.
        minor = next((each[13:] for each in options if each.startswith("minorversion=")), "0")
        if stats.version == "4" and minor != "0":
            stats.version = f"4.{minor}"
    elif head == "xprt:" and words[1] in _TRANSPORT:
        sent, backlog = _TRANSPORT[words[1]]
        # One line a connection (`nconnect`).
        stats.sent = (stats.sent or 0) + int(words[sent])
        stats.backlog = (stats.backlog or 0) + int(words[backlog])
    elif head.endswith(":") and head[:-1].isupper() and len(words) > _OPERATION_NUMBERS:
        stats.operations[head[:-1]] = Operation(*(int(word) for word in words[1 : 1 + _OPERATION_NUMBERS]))


def mountstats_rates(
    before: Mapping[str, MountStats], after: Mapping[str, MountStats], seconds: float
) -> Tuple[List[Row], List[Rejected]]:
    """Return rows of table nfs from two readings, and the mounts that have none with the reason."""
    rows: List[Row] = []
    rejected: List[Rejected] = []
    for point, new in after.items():
        old = before.get(point)
        if old is None or old.source != new.source:
            rejected.append(Rejected(f"{new.source} mounted on {point}", "mounted during the interval: no rate yet"))
            continue
        try:
            rows.append(_rates(old, new, seconds))
        except CounterResetError as error:
            rejected.append(Rejected(f"{new.source} mounted on {point}", str(error)))
    return rows, rejected


def _rates(old: MountStats, new: MountStats, seconds: float) -> Row:
    if seconds <= 0:
        raise CounterResetError("no time has passed")
    if old.age_seconds is not None and new.age_seconds is not None:
        increase("the age of the mount", old.age_seconds, new.age_seconds)
    calls, backlog = _calls(old, new)
    row: Row = {
        "mount": new.point,
        "filesystem_id": new.source,
        "version": new.version,
        "operations_per_second": calls / seconds,
        "backlog": backlog / calls if backlog is not None and calls else None,
        "shared_with": None,
    }
    for kind in ("read", "write"):
        row.update(_operation(kind, old.operations.get(kind.upper()), new.operations.get(kind.upper()), seconds))
    return row


def _calls(old: MountStats, new: MountStats) -> Tuple[int, Optional[int]]:
    """Return calls sent and growth of the backlog; without a known transport, the sum of all calls."""
    if old.sent is not None and new.sent is not None and old.backlog is not None and new.backlog is not None:
        return increase("calls sent", old.sent, new.sent), increase("the backlog", old.backlog, new.backlog)
    before = sum(each.calls for each in old.operations.values())
    return increase("calls", before, sum(each.calls for each in new.operations.values())), None


_NEVER = Operation(0, 0, 0, 0, 0, 0, 0, 0)


def _operation(kind: str, old: Optional[Operation], new: Optional[Operation], seconds: float) -> Row:
    # The kernel leaves out kinds of calls that the protocol version does not have.
    old, new = old or _NEVER, new or _NEVER
    calls = increase(f"{kind} calls", old.calls, new.calls)
    sent = increase(f"{kind} transmissions", old.transmissions, new.transmissions)
    moved = increase(f"{kind} bytes", old.sent_bytes + old.received_bytes, new.sent_bytes + new.received_bytes)
    rtt = increase(f"{kind} round trips", old.rtt_ms, new.rtt_ms)
    execute = increase(f"{kind} times", old.execute_ms, new.execute_ms)
    return {
        f"{kind}_operations_per_second": calls / seconds,
        f"{kind}_bytes_per_second": moved / seconds,
        f"{kind}_bytes_per_operation": moved / calls if calls else None,
        f"{kind}_retransmissions_per_second": (sent - calls) / seconds if sent >= calls else None,
        f"{kind}_rtt_seconds": rtt / calls / 1000.0 if calls else None,
        f"{kind}_execute_seconds": execute / calls / 1000.0 if calls else None,
    }

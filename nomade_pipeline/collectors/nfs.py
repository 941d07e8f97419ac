"""NFS mounts: `nfsiostat <interval> 2`, or differences of /proc/self/mountstats.

nfsiostat's first report covers the time since the mount and is dropped. Its `rpc bklog` is divided
by the interval once too often, which is undone here; it adds up only one of several connections
(`nconnect`), reads the wrong field for RDMA and splits mount points at blanks: such mounts are
measured from mountstats instead.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

from nomade_pipeline.collectors.base import (
    PROC,
    TOOL,
    Collected,
    Collector,
    CollectorError,
    Parsed,
    Reading,
    Rejected,
    Row,
    Skipped,
)
from nomade_pipeline.collectors.commands import GRACE_SECONDS, run_tool
from nomade_pipeline.collectors.mounts import NFS_TYPES, Mount, parse_mountinfo, visible
from nomade_pipeline.collectors.mountstats import MountStats, mountstats_rates, parse_mountstats
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.sysstat import number
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables import system

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import NfsSettings

_MOUNT_LINE = re.compile(r"(?P<source>\S.*) mounted on (?P<point>/.*):")
_VALUE = re.compile(r"-?[\d.,]+ \([^)]*\)|\S+")
_GAP = re.compile(r"\s{2,}|\t+")
_KINDS = ("read", "write")


@dataclass
class Block:
    """What one report says of one mount: values by section and column, as printed."""

    source: str
    point: str
    sections: Dict[str, Dict[str, str]] = field(default_factory=dict)


def parse(text: str) -> Parsed:
    """Read the newest report of recorded nfsiostat output.

    A single report covers the time since the mount; it is read nevertheless. The length of the
    interval is not in the output, so retransmissions per second and the backlog are null.

    Raises:
        CollectorError: no mount could be read.
    """
    return parse_nfsiostat(text, None)


def parse_nfsiostat(text: str, seconds: Optional[float]) -> Parsed:
    """Read the newest report; ``seconds`` is the length of its interval, None when it is not known.

    Raises:
        CollectorError: no mount could be read.
    """
    if text.lstrip().startswith("device ") and "statvers=" in text:
        raise CollectorError("parse", "nfs: mountstats holds totals since the mount; a rate needs two readings")
    blocks, rejected = _blocks(text)
    reports = max(Counter(each.point for each in blocks).values(), default=0)
    rows: List[Row] = []
    for block in _newest(blocks, reports, rejected):
        try:
            rows.append(_row(block, seconds))
        except ValueError as error:
            rejected.append(Rejected(f"{block.source} mounted on {block.point}", str(error)))
    if not rows:
        why = rejected[0].reason if rejected else "no line says 'SERVER:/EXPORT mounted on /MOUNT:'"
        raise CollectorError("parse", f"nfsiostat: nothing could be read: {why}")
    return Parsed({"nfs": rows}, tuple(rejected))


def _blocks(text: str) -> Tuple[List[Block], List[Rejected]]:
    blocks: List[Block] = []
    rejected: List[Rejected] = []
    section = ""
    header: List[str] = []
    for line in text.splitlines():
        match = _MOUNT_LINE.fullmatch(line.strip())
        if match:
            blocks.append(Block(match.group("source"), match.group("point")))
            section, header = "", []
        elif not blocks or not line.strip():
            continue
        elif "ops/s" in line:
            head, colon, rest = line.strip().partition(":")
            section, columns = (head, rest) if colon else ("total", line)
            header = _GAP.split(columns.strip())
        elif header:
            values = _VALUE.findall(line)
            if len(values) == len(header):
                blocks[-1].sections[section] = dict(zip(header, values))
            else:
                rejected.append(Rejected(line, f"{len(values)} values under {len(header)} columns"))
            header = []
    return blocks, rejected


def _newest(blocks: Sequence[Block], reports: int, rejected: List[Rejected]) -> List[Block]:
    """Return each mount's last block; in output of several reports a lone block is the one since the mount."""
    count = Counter(each.point for each in blocks)
    newest: Dict[str, Block] = {each.point: each for each in blocks}
    for point in list(newest):
        if reports > 1 and count[point] == 1:
            rejected.append(Rejected(point, "only the totals since the mount are in the output"))
            del newest[point]
    return list(newest.values())


def _row(block: Block, seconds: Optional[float]) -> Row:
    total = block.sections.get("total")
    if total is None or any(kind not in block.sections for kind in _KINDS):
        raise ValueError("one of the sections of totals, reads and writes is missing or cut off")
    rate = _cell(total, "ops/s")
    backlog = _optional(total, "rpc bklog")
    row: Row = {
        "mount": block.point,
        "filesystem_id": block.source,
        "version": None,
        "operations_per_second": rate,
        "backlog": backlog * seconds if backlog is not None and seconds and rate > 0 else None,
        "shared_with": None,
    }
    for kind in _KINDS:
        row.update(_operation(kind, block.sections[kind], seconds))
    return refuse_impossible(system.NFS, row)


def _operation(kind: str, cells: Dict[str, str], seconds: Optional[float]) -> Row:
    rate = _cell(cells, "ops/s")
    size, rtt, execute = (_optional(cells, name) for name in ("kB/op", "avg RTT (ms)", "avg exe (ms)"))
    retransmitted = number(cells["retrans"].split(" ")[0]) if "retrans" in cells else None
    known = rate > 0
    return {
        f"{kind}_operations_per_second": rate,
        f"{kind}_bytes_per_second": _cell(cells, "kB/s") * 1024.0,
        f"{kind}_bytes_per_operation": size * 1024.0 if known and size is not None else None,
        f"{kind}_retransmissions_per_second": (
            retransmitted / seconds if retransmitted is not None and seconds else None
        ),
        f"{kind}_rtt_seconds": rtt / 1000.0 if known and rtt is not None else None,
        f"{kind}_execute_seconds": execute / 1000.0 if known and execute is not None else None,
    }


def _cell(cells: Dict[str, str], name: str) -> float:
    if name not in cells:
        raise ValueError(f"the column {name} is missing")
    return number(cells[name])


def _optional(cells: Dict[str, str], name: str) -> Optional[float]:
    return number(cells[name]) if name in cells else None


def collect(probe: Probe, settings: NfsSettings, interval: int) -> Collected:
    """Measure one interval of all NFS mounts.

    Raises:
        Skipped: nothing is mounted by NFS.
        CollectorError: the tool failed, or neither it nor mountstats is there.
        Interrupted: the agent is stopping.
    """
    del settings
    mounts = _nfs_mounts(probe)
    if not mounts:
        raise Skipped("not_present", "no NFS file system is mounted")
    if probe.which("nfsiostat") is None or any(_misread(each) for each in mounts):
        rows, rejected, seconds = _measure_proc(probe, interval)
        source = PROC
    else:
        completed = run_tool(probe, ("nfsiostat", str(interval), "2"), interval + GRACE_SECONDS)
        blocks, _ = _blocks(completed.stdout)
        if max(Counter(each.point for each in blocks).values(), default=0) < 2:
            raise CollectorError("parse", "nfsiostat: there is no second report in the output")
        parsed = parse_nfsiostat(completed.stdout, interval)
        rows, rejected, seconds, source = parsed.rows["nfs"], list(parsed.rejected), completed.seconds, TOOL
    reading = Reading("nfs", _described(rows, mounts), probe.now(), seconds, source)
    return Collected((reading,), tuple(rejected))


def _nfs_mounts(probe: Probe) -> List[Mount]:
    try:
        text = probe.read("/proc/self/mountinfo")
    except OSError as error:
        raise CollectorError("permission", f"/proc/self/mountinfo cannot be read: {error.strerror}") from error
    return [each for each in visible(parse_mountinfo(text)).values() if each.fstype in NFS_TYPES]


def _misread(mount: Mount) -> bool:
    """Tell whether nfsiostat gives wrong numbers for a mount; see the module's description."""
    several = mount.option("nconnect") not in (None, "1")
    return several or mount.option("proto") in ("rdma", "rdma6") or any(c.isspace() for c in mount.point + mount.source)


def _measure_proc(probe: Probe, interval: float) -> Tuple[List[Row], List[Rejected], float]:
    before, began = _snapshot(probe)
    probe.wait(interval)
    after, ended = _snapshot(probe)
    rows, rejected = mountstats_rates(before, after, ended - began)
    return rows, rejected, ended - began


def _snapshot(probe: Probe) -> Tuple[Dict[str, MountStats], float]:
    try:
        return parse_mountstats(probe.read("/proc/self/mountstats")), probe.monotonic()
    except OSError as error:
        raise CollectorError(
            "tool_missing", "nfsiostat is not installed and /proc/self/mountstats cannot be read: install nfs-common"
        ) from error


def _described(rows: Sequence[Row], mounts: Sequence[Mount]) -> List[Row]:
    """Add the protocol version, and whose counters these are: mounts of one file system share them."""
    by_point = {each.point: each for each in mounts}
    first: Dict[str, str] = {}
    for each in mounts:
        first.setdefault(each.device_number, each.point)
    described = []
    for row in rows:
        mount = by_point.get(row["mount"])
        if mount is None:
            described.append(row)
            continue
        owner = first[mount.device_number]
        described.append(
            {
                **row,
                "version": mount.option("vers") or row["version"],
                "shared_with": owner if owner != mount.point else None,
            }
        )
    return described


COLLECTOR = Collector(
    name="nfs",
    title="NFS mounts: calls, bytes, round-trip times, retransmissions",
    command="nfsiostat <interval> 2",
    tables=(system.NFS,),
    collect=collect,
    parse=parse,
    spans_interval=True,
    optional=True,
)

"""Space and inodes of file systems: `stat -f` on each path, every one in its own process.

A dead NFS server hangs statfs for good, so each path is asked by its own child and its own thread.
One that does not answer in time is a reading ``hung``, and is not asked again as long as that child
lives: there is never more than one a path. Automount points that are not mounted are never touched.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

from nomade_pipeline import clock
from nomade_pipeline.collectors import df
from nomade_pipeline.collectors.base import Collected, Collector, CollectorError, Reading, Rejected, Row
from nomade_pipeline.collectors.commands import first_line
from nomade_pipeline.collectors.mounts import NETWORK_TYPES, Mount, mount_of, parse_mountinfo, real_mounts, visible
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.probes import Completed, Interrupted, Probe, ProbeError, TimedOut
from nomade_pipeline.tables import system

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import DiskSettings

# Block size, blocks, free, available to users, inodes, free inodes.
STATFS_FORMAT = "--format=%S %b %f %a %c %d"
_COUNT = re.compile(r"\d{1,20}", re.ASCII)
# The collector waits statfs_timeout itself; the child may live on, and ends when the server is back.
_CHILD_SECONDS = float("inf")

_STATUS_OF_MESSAGE = (
    ("No such file or directory", "absent"),
    ("Not a directory", "absent"),
    ("Permission denied", "denied"),
)

parse = df.parse


class Answer(threading.Thread):
    """The question for one path, in its own daemon thread so that a dead file system cannot hold the agent.

    Attributes:
        mount: the mount that holds the path, once known.
        completed: what `stat` said, None while it has not ended.
        error: why `stat` could not be run.
    """

    def __init__(self, probe: Probe, path: str, mounts: Sequence[Mount]) -> None:
        """Prepare the question; `start` asks it."""
        super().__init__(name=f"statfs {path}", daemon=True)
        self.probe, self.path, self.mounts = probe, path, mounts
        self.mount = mount_of(path, mounts)
        self.completed: Optional[Completed] = None
        self.error: Optional[ProbeError] = None

    @property
    def is_automount(self) -> bool:
        """Whether the path lies below an automount point that is not mounted at the moment."""
        return self.mount is not None and self.mount.fstype == "autofs"

    def run(self) -> None:
        """Ask; the answer is left in the attributes."""
        try:
            if self.path not in visible(self.mounts):
                self._follow_links()
            if not self.is_automount:
                self.completed = self.probe.run(("stat", "-f", STATFS_FORMAT, "--", self.path), _CHILD_SECONDS)
        except ProbeError as error:
            self.error = error

    def _follow_links(self) -> None:
        """Find the mount behind symbolic links (`/home -> /mnt/home`); an absent path keeps its guess."""
        answer = self.probe.run(("readlink", "-f", "--", self.path), _CHILD_SECONDS)
        target = answer.stdout[:-1] if answer.returncode == 0 and answer.stdout.endswith("\n") else self.path
        self.mount = mount_of(target, self.mounts)


_pending: Dict[Tuple[int, str], Answer] = {}
_pending_lock = threading.Lock()


def collect(probe: Probe, settings: DiskSettings, interval: int) -> Collected:
    """Read the configured paths, or every real mount when none is configured.

    ``interval`` is the time since the last cycle.

    Raises:
        CollectorError: mountinfo cannot be read.
        Interrupted: the agent is stopping.
    """
    mounts = _mounts(probe)
    paths = list(dict.fromkeys(settings.filesystems)) or [each.point for each in real_mounts(mounts)]
    answers = [_ask(probe, path, mounts) for path in paths]
    # Real time, not the probe's: these are threads of this process.
    deadline = clock.monotonic() + settings.statfs_timeout
    host = _host(probe)
    rows: List[Row] = []
    rejected: List[Rejected] = []
    for answer in answers:
        answer.join(max(0.0, deadline - clock.monotonic()))
        row, reason = _row_of(answer, host, settings.statfs_timeout)
        rows.append(row)
        if reason:
            rejected.append(Rejected(answer.path, reason))
    return Collected((Reading("disk", rows, probe.now(), float(interval)),), tuple(rejected))


def _mounts(probe: Probe) -> Tuple[Mount, ...]:
    try:
        return parse_mountinfo(probe.read("/proc/self/mountinfo"))
    except OSError as error:
        raise CollectorError("permission", f"/proc/self/mountinfo cannot be read: {error.strerror}") from error


def _host(probe: Probe) -> str:
    try:
        return probe.read("/proc/sys/kernel/hostname").strip().split(".")[0].lower() or "localhost"
    except OSError:
        return "localhost"


def _ask(probe: Probe, path: str, mounts: Sequence[Mount]) -> Answer:
    """Return the question that still waits for an answer, or a new one."""
    key = (id(probe), path)  # a waiting thread holds its probe, so the number is not given away
    with _pending_lock:
        answer = _pending.get(key)
        if answer is None or not answer.is_alive():
            answer = _pending[key] = Answer(probe, path, mounts)
            answer.start()
        for old in [each for each, waiting in _pending.items() if each != key and not waiting.is_alive()]:
            del _pending[old]
    return answer


def _row_of(answer: Answer, host: str, timeout: float) -> Tuple[Row, Optional[str]]:
    """Return the row of an answer, and the reason when part of it was not believed.

    Raises:
        Interrupted: the agent is stopping.
    """
    row = _described(answer, host)
    trouble = _trouble(answer, timeout)
    if trouble is not None or answer.completed is None:
        status, message = trouble or ("error", "stat was not run")
        return {**row, "status": status, "message": message}, None
    if answer.completed.returncode != 0:
        return _failed(row, answer.completed), None
    try:
        figures = statfs_figures(answer.completed.stdout)
    except ValueError as error:
        return {**row, "status": "error", "message": str(error)}, str(error)
    return {**row, **figures, "statfs_seconds": answer.completed.seconds}, None


def _trouble(answer: Answer, timeout: float) -> Optional[Tuple[str, Optional[str]]]:
    """Return status and message of a path that was not asked, or that did not answer."""
    if answer.is_alive():
        return "hung", f"statfs did not answer within {timeout:g} s"
    if answer.is_automount:
        return "automount", None
    if isinstance(answer.error, Interrupted):
        raise answer.error
    if answer.error is not None:
        return "hung" if isinstance(answer.error, TimedOut) else "error", str(answer.error)
    return None


def _described(answer: Answer, host: str) -> Row:
    row: Row = dict.fromkeys(df.COLUMNS)
    row.update(path=answer.path, status="ok")
    mount = answer.mount
    if mount is not None:
        is_shared = mount.fstype in NETWORK_TYPES and bool(mount.source)
        row.update(
            mount=mount.point,
            filesystem_id=mount.source if is_shared else f"{host}:{mount.point}",
            device=mount.source,
            fstype=mount.fstype,
            read_only=mount.is_read_only,
        )
    return row


def _failed(row: Row, completed: Completed) -> Row:
    said = first_line(completed.stderr) or f"stat ended with status {completed.returncode}"
    status = next((status for text, status in _STATUS_OF_MESSAGE if text in said), "error")
    if status == "absent":
        row = {**row, **dict.fromkeys(("mount", "filesystem_id", "device", "fstype", "read_only"))}
    return {**row, "status": status, "message": said}


@dataclass(frozen=True)
class _Statfs:
    block_bytes: int
    blocks: int
    free: int
    available: int
    inodes: int
    inodes_free: int


def statfs_figures(text: str) -> Row:
    """Return the figures of table disk from the output of `stat -f` in ``STATFS_FORMAT``.

    used = total - free; used_percent = used / (used + available), as df has it. A file system without
    a fixed number of inodes (btrfs) has null inodes; one of size zero has a null percentage.

    Raises:
        ValueError: the text is not six whole numbers, or they contradict each other.
    """
    words = text.split()
    if len(words) != 6 or not all(_COUNT.fullmatch(word) for word in words):
        raise ValueError(f"stat -f gave {text.strip()[:80]!r} where six whole numbers were expected")
    fs = _Statfs(*(int(word) for word in words))
    if fs.free > fs.blocks or fs.available > fs.blocks or (fs.inodes and fs.inodes_free > fs.inodes):
        raise ValueError(f"stat -f gave more free than there is: {text.strip()!r}")
    used = fs.blocks - fs.free
    room = used + fs.available
    inodes_used = fs.inodes - fs.inodes_free if fs.inodes else None
    figures: Row = {
        "total_bytes": fs.blocks * fs.block_bytes,
        "used_bytes": used * fs.block_bytes,
        "free_bytes": fs.free * fs.block_bytes,
        "available_bytes": fs.available * fs.block_bytes,
        "used_percent": 100.0 * used / room if room else None,
        "inodes_total": fs.inodes or None,
        "inodes_used": inodes_used,
        "inodes_free": fs.inodes_free if fs.inodes else None,
        "inodes_used_percent": 100.0 * inodes_used / fs.inodes if inodes_used is not None else None,
    }
    return refuse_impossible(system.DISK, figures)


COLLECTOR = Collector(
    name="disk",
    title="File systems: space, inodes, and whether they answer",
    command="stat -f PATH",
    tables=(system.DISK,),
    collect=collect,
    parse=parse,
    spans_interval=False,
)

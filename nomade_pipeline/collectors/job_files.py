"""On which kind of file system a process reads and writes: /proc/PID/fdinfo, mountinfo, then the settings.

/proc/PID/io has no figures per file. What a process has read or written since the last look is therefore told by the
files that it has open: first by how far the position of each has moved, then what is left by the only kind of file
that is open. The limits are in `docs/job-monitor.md`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from nomade_pipeline.collectors.mounts import LOCAL_TYPES, NETWORK_TYPES, Mount, parse_mountinfo
from nomade_pipeline.probes import Probe

NETWORK, LOCAL = "network", "local"
# A file system of which nothing tells where it lies, and what is no file system for data (pipe, socket, device).
UNTOLD, NO_STORAGE = "untold", "no storage"

# Network file systems beyond those whose source names the same storage everywhere.
_NETWORK = NETWORK_TYPES | {
    "smbfs", "coda", "fuse.sshfs", "fuse.s3fs", "fuse.mount-s3", "fuse.gcsfuse", "fuse.blobfuse2", "fuse.goofys",
    "fuse.rclone", "fuse.mfs", "fuse.moosefs", "fuse.lizardfs", "fuse.cvmfs2", "fuse.dfuse",
}  # fmt: skip
_MEMORY = frozenset({"tmpfs", "ramfs", "hugetlbfs"})
_PSEUDO = frozenset(
    {
        "proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "mqueue", "bpf",
        "pstore", "configfs", "fusectl", "binfmt_misc", "nsfs", "autofs", "rpc_pipefs", "efivarfs", "selinuxfs",
    }
)  # fmt: skip
# A process with more open files than this is told by the first ones.
_MOST_FILES = 1024
_O_PATH = 0o10000000
# Standard input, output and error say little about where a program keeps its data.
_LAST_STREAM = 2


@dataclass(frozen=True)
class OpenFile:
    """One open file of a process.

    Attributes:
        descriptor: its number.
        kind: NETWORK, LOCAL, UNTOLD or NO_STORAGE.
        reads, writes: for what it is open.
        moved: bytes that its position has moved since the last look, or from its beginning.
    """

    descriptor: int
    kind: str
    reads: bool
    writes: bool
    moved: int


# Mount and position of each open file, by descriptor, as the last look left them.
Positions = Dict[int, Tuple[str, int]]


@dataclass
class FileKinds:
    """Tells network from local for the mounts of one moment.

    Attributes:
        probe: the host.
        mounts: those that the monitor itself sees.
        nfs_paths, local_paths: `[monitor]` of the configuration, for mounts whose type does not tell.
    """

    probe: Probe
    mounts: Sequence[Mount]
    nfs_paths: Tuple[str, ...]
    local_paths: Tuple[str, ...]
    _own: Dict[str, Mount] = field(init=False)
    _others: Dict[str, Dict[str, Mount]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the mounts by their number."""
        self._own = {mount.mount_id: mount for mount in self.mounts}

    def open_files(self, pid: int, before: Positions) -> Tuple[List[OpenFile], Positions]:
        """Return the open files of a process, and their positions for the next look.

        Raises:
            OSError: it has ended, or is not ours to read.
        """
        files: List[OpenFile] = []
        positions: Positions = {}
        for name in self.probe.listdir(f"/proc/{pid}/fdinfo")[:_MOST_FILES]:
            try:
                told = _parse_fdinfo(self.probe.read(f"/proc/{pid}/fdinfo/{name}"))
            except OSError:
                # It was closed while we looked.
                continue
            if told is None or not name.isdigit():
                continue
            position, flags, mount_id = told
            mode = flags & os.O_ACCMODE
            kind = NO_STORAGE if flags & _O_PATH else self._kind_of(pid, name, mount_id)
            moved = _moved(before.get(int(name)), mount_id, position)
            positions[int(name)] = (mount_id, position)
            files.append(OpenFile(int(name), kind, mode != os.O_WRONLY, mode != os.O_RDONLY, moved))
        return files, positions

    def _kind_of(self, pid: int, descriptor: str, mount_id: str) -> str:
        mount = self._own.get(mount_id) or self._elsewhere(pid, mount_id)
        if mount is None:
            # Pipes, sockets and the like are on mounts that no list shows.
            return NO_STORAGE
        kind = kind_by_type(mount)
        if kind != UNTOLD:
            return kind
        try:
            path = self.probe.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            path = mount.point
        by_path = kind_by_path(path, self.nfs_paths, self.local_paths)
        return (LOCAL if mount.fstype in LOCAL_TYPES else UNTOLD) if by_path is None else by_path

    def _elsewhere(self, pid: int, mount_id: str) -> Optional[Mount]:
        """Return a mount that only the process's own mount namespace shows (a container, a private /tmp)."""
        try:
            namespace = self.probe.readlink(f"/proc/{pid}/ns/mnt")
            if namespace not in self._others:
                mounts = parse_mountinfo(self.probe.read(f"/proc/{pid}/mountinfo"))
                self._others[namespace] = {mount.mount_id: mount for mount in mounts}
        except OSError:
            return None
        return self._others[namespace].get(mount_id)


def kind_by_type(mount: Mount) -> str:
    """Return the kind of a mount by its type; UNTOLD where that does not tell.

    A loop device holds an image, which may lie anywhere.
    """
    if mount.fstype in _NETWORK:
        return NETWORK
    if mount.fstype in _PSEUDO:
        return NO_STORAGE
    if mount.fstype in _MEMORY or (mount.fstype in LOCAL_TYPES and not mount.device_number.startswith("7:")):
        return LOCAL
    return UNTOLD


def kind_by_path(path: str, nfs_paths: Sequence[str], local_paths: Sequence[str]) -> Optional[str]:
    """Return the kind of the longest path of the settings that holds a path; None when none does."""
    named = [(NETWORK, each) for each in nfs_paths] + [(LOCAL, each) for each in local_paths]
    holding = [(len(each.rstrip("/")), kind) for kind, each in named if _holds(each.rstrip("/"), path)]
    return max(holding)[1] if holding else None


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _parse_fdinfo(text: str) -> Optional[Tuple[int, int, str]]:
    """Read position, flags and mount number; None when one is missing."""
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        return int(values["pos"]), int(values["flags"], 8), values["mnt_id"].strip()
    except (KeyError, ValueError):
        return None


def _moved(before: Optional[Tuple[str, int]], mount_id: str, position: int) -> int:
    """Return how far a position has moved forward; the number may by now stand for another file."""
    if before is not None and before[0] == mount_id and before[1] <= position:
        return position - before[1]
    return max(0, position)


def attribute(
    grown: int, stored: int, files: Sequence[OpenFile], *, writing: bool, by_children: bool
) -> Mapping[str, int]:
    """Divide what a process has read or written among the kinds of file systems.

    First by the positions that have moved. The rest went to files by position (`pwrite`) or files closed since: it is
    told by the kinds of files that are open beyond the standard streams, if that is one kind, or all of them moved.
    Where pipes or sockets are open, only as much of the rest is told as the kernel counted for storage.

    Args:
        grown: bytes of `read` or `write` calls.
        stored: bytes that the kernel counted as read from or written to storage meanwhile.
        files: the files that are open now.
        writing: about writing; else about reading.
        by_children: part of it was done by children that have ended, whose files are not known.

    Returns:
        Bytes by NETWORK and LOCAL; what is missing from ``grown`` could not be told.
    """
    fitting = [each for each in files if (each.writes if writing else each.reads)]
    storage = [each for each in fitting if each.kind != NO_STORAGE]
    moved = _by_kind(storage)
    total = sum(moved.values())
    if total > grown:
        # A file that was opened with an offset, or is shared with other processes, moves further than we wrote.
        moved = {kind: each * grown // total for kind, each in moved.items()}
    rest = grown - sum(moved.values())
    if len(storage) < len(fitting):
        rest = min(rest, max(0, stored - sum(moved.values())))
    if rest > 0 and not by_children:
        main = [each for each in storage if each.descriptor > _LAST_STREAM] or storage
        for kind, share in _shares(main, rest).items():
            moved[kind] = moved.get(kind, 0) + share
    return {kind: moved.get(kind, 0) for kind in (NETWORK, LOCAL)}


def _shares(files: Sequence[OpenFile], amount: int) -> Dict[str, int]:
    """Divide an amount among the kinds of files, by how far they moved; nothing where one kind did not move."""
    kinds = {each.kind for each in files}
    if len(kinds) == 1:
        return {kinds.pop(): amount}
    weights = _by_kind(files)
    if not weights or len(weights) < len(kinds):
        return {}
    total = sum(weights.values())
    return {kind: amount * weight // total for kind, weight in weights.items()}


def _by_kind(files: Sequence[OpenFile]) -> Dict[str, int]:
    moved: Dict[str, int] = {}
    for each in files:
        if each.moved:
            moved[each.kind] = moved.get(each.kind, 0) + each.moved
    return moved

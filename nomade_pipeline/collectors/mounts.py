"""/proc/self/mountinfo: what is mounted where, and which mount holds a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

NFS_TYPES = ("nfs", "nfs4")
# File systems whose source names the same storage on every host of the cluster.
NETWORK_TYPES = frozenset(
    {
        *NFS_TYPES, "lustre", "gpfs", "beegfs", "beegfs_nodev", "cifs", "smb3", "ceph", "fuse.ceph", "afs", "panfs",
        "glusterfs", "fuse.glusterfs", "orangefs", "pvfs2", "wekafs", "fuse.juicefs",
    }
)  # fmt: skip
LOCAL_TYPES = frozenset(
    {
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "jfs",
        "f2fs",
        "reiserfs",
        "bcachefs",
        "nilfs2",
        "vfat",
        "gfs2",
        "ocfs2",
    }
)
REAL_TYPES = NETWORK_TYPES | LOCAL_TYPES

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo.

    Attributes:
        device_number: ``major:minor``; mounts of one file system share it.
        root: the folder of the file system that is mounted.
        point: where it is mounted.
        fstype, source: type and source as the kernel names them.
        options: options of the mount and of the file system.
        mount_id: number of the mount, as `/proc/PID/fdinfo` names it.
    """

    device_number: str
    root: str
    point: str
    fstype: str
    source: str
    options: Tuple[str, ...]
    mount_id: str = ""

    @property
    def is_read_only(self) -> bool:
        """Whether the mount or the file system refuses writing."""
        return "ro" in self.options

    def option(self, name: str) -> Optional[str]:
        """Return the value of an option such as ``vers=4.2``; None when it is not given."""
        return next((each[len(name) + 1 :] for each in self.options if each.startswith(name + "=")), None)


def decoded(text: str) -> str:
    """Undo the kernel's octal escapes of blank, tab, newline and backslash."""
    # The kernel escapes single bytes below 0x80 only; everything else is passed through.
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8) & 0xFF), text)


def parse_mountinfo(text: str) -> Tuple[Mount, ...]:
    """Read mountinfo in mounting order; lines of another shape are left out."""
    mounts = []
    for line in text.splitlines():
        head, dash, tail = line.partition(" - ")
        # Blanks within fields are escaped. The source may be empty, so the right half must keep its blanks.
        left, right = head.split(), tail.split(" ")
        if not dash or len(left) < 6 or len(right) < 2:
            continue
        options = (*left[5].split(","), *(right[2].split(",") if len(right) > 2 else ()))
        point, source = decoded(left[4]), decoded(right[1])
        mounts.append(Mount(left[2], decoded(left[3]), point, right[0], source, tuple(filter(None, options)), left[0]))
    return tuple(mounts)


def visible(mounts: Sequence[Mount]) -> Dict[str, Mount]:
    """Return the mount that is seen at each mount point: the last one covers the earlier ones."""
    return {each.point: each for each in mounts}


def mount_of(path: str, mounts: Sequence[Mount]) -> Optional[Mount]:
    """Return the mount that holds an absolute path without symbolic links; None for no mounts at all."""
    seen = visible(mounts)
    candidate = path.rstrip("/") or "/"
    while candidate not in seen and candidate != "/":
        candidate = candidate.rpartition("/")[0] or "/"
    return seen.get(candidate)


def real_mounts(mounts: Sequence[Mount]) -> Tuple[Mount, ...]:
    """Return one mount a real file system, without bind mounts, pseudo file systems and images."""
    chosen: Dict[str, Mount] = {}
    for each in visible(mounts).values():
        if each.fstype not in REAL_TYPES:
            continue
        known = chosen.get(each.device_number)
        if known is None or (each.root == "/" and known.root != "/"):
            chosen[each.device_number] = each
    return tuple(chosen.values())

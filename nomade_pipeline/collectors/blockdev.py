"""What kind of block device a name is, and its identity that survives a reboot (tool_traps 86)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from nomade_pipeline.probes import Probe

DISK, PARTITION, DM, MD, LOOP, OTHER = "disk", "partition", "dm", "md", "loop", "other"

_PARTITION = re.compile(r"(?:(?:sd|vd|hd|xvd)[a-z]+|dasd[a-z]+|(?:nvme\d+n|mmcblk|nbd|md|pmem)\d+p)\d+")
# Memory, optical and floppy drives, tapes, network blocks: devices, but no disks of this host.
_NO_DISK = re.compile(r"(?:zram|ram|sr|fd|st|nbd)\d+")
_BY_NAME = (
    (LOOP, re.compile(r"loop\d+")),
    (DM, re.compile(r"dm-\d+")),
    (PARTITION, _PARTITION),
    (MD, re.compile(r"md[_d]?\w+")),
    (OTHER, _NO_DISK),
    (DISK, re.compile(r"(?:sd|vd|hd|xvd|dasd)[a-z]+|nvme\d+n\d+|mmcblk\d+|pmem\d+")),
)
_SAFE = re.compile(r"[A-Za-z0-9][\w.!:+-]*")


@dataclass(frozen=True)
class Identity:
    """Kind of a block device and its stable identity, None when it has none."""

    kind: str
    id: Optional[str] = None


def kind_of_name(name: str) -> str:
    """Return the kind that a kernel name suggests; /sys knows better."""
    return next((kind for kind, pattern in _BY_NAME if pattern.fullmatch(name)), OTHER)


def identify(name: str, probe: Probe) -> Identity:
    """Ask /sys what a device is; without /sys, judge by its name."""
    kind = kind_of_name(name)
    safe = name.replace("/", "!")  # sysfs writes cciss/c0d0 as cciss!c0d0
    if not _SAFE.fullmatch(safe):
        return Identity(kind)
    folder = f"/sys/class/block/{safe}"
    try:
        present = probe.listdir(folder)
    except OSError:
        return Identity(kind)
    if "partition" in present:
        return Identity(PARTITION, _partition_id(folder, probe))
    if kind == OTHER and "device" in present and not _NO_DISK.fullmatch(name):
        kind = DISK
    return Identity(kind, _id_in(folder, probe))


def _partition_id(folder: str, probe: Probe) -> Optional[str]:
    """Return the disk's identity and the partition's number, as udev's by-id links do."""
    number = _text(f"{folder}/partition", probe)
    # The folder is a link into its disk's folder, so `..` is the disk.
    disk = _id_in(f"{folder}/..", probe)
    return f"{disk}-part{number}" if disk and number else None


def _id_in(folder: str, probe: Probe) -> Optional[str]:
    places = ("device/wwid", "wwid", "device/serial", "serial", "dm/uuid", "md/uuid")
    return next(filter(None, (_text(f"{folder}/{place}", probe) for place in places)), None)


def _text(path: str, probe: Probe) -> Optional[str]:
    try:
        return probe.read(path).strip("\0 \t\r\n") or None
    except OSError:
        return None

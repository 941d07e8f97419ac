"""Readers of /proc counters and the differences between two readings.

A counter that went back (a reset, or a 32-bit wrap) gives no value for that interval
(tool_traps 89): it is unknown, neither zero nor negative.
"""

from __future__ import annotations

import re
import resource
from dataclasses import dataclass, fields
from typing import Dict, Optional, Tuple

from nomade_pipeline.collectors.base import CollectorError

PAGE_BYTES = resource.getpagesize()
# Kernel counters have 64 bits; a longer row of digits is damage.
_COUNTER = re.compile(r"\d{1,20}", re.ASCII)
# /proc/diskstats counts in units of 512 bytes whatever the device's own sector size.
SECTOR_BYTES = 512


class CounterResetError(ValueError):
    """A counter is smaller than before."""


def increase(what: str, before: int, after: int) -> int:
    """Return how much a counter grew.

    Raises:
        CounterResetError: it is smaller than before.
    """
    if after < before:
        raise CounterResetError(f"{what} went back from {before} to {after}: the counter was reset or wrapped")
    return after - before


def _integers(path: str, words: list[str]) -> Tuple[int, ...]:
    try:
        return tuple(int(word) for word in words)
    except ValueError as error:
        raise CollectorError("parse", f"{path}: {' '.join(words)[:80]!r} are not whole numbers") from error


@dataclass(frozen=True)
class CpuTimes:
    """Ticks that a CPU spent in each state since boot; user and nice include the guests."""

    user: int = 0
    nice: int = 0
    system: int = 0
    idle: int = 0
    iowait: int = 0
    irq: int = 0
    softirq: int = 0
    steal: int = 0
    guest: int = 0
    guest_nice: int = 0


@dataclass(frozen=True)
class Stat:
    """One reading of /proc/stat; cpus maps ``all`` and the CPU numbers to their ticks."""

    cpus: Dict[str, CpuTimes]
    interrupts: int
    context_switches: int
    procs_running: int
    procs_blocked: int


def parse_stat(text: str) -> Stat:
    """Read /proc/stat.

    Raises:
        CollectorError: a line is missing or holds no numbers.
    """
    cpus: Dict[str, CpuTimes] = {}
    counters: Dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2:
            continue
        if words[0].startswith("cpu"):
            ticks = _integers("/proc/stat", words[1 : 1 + len(fields(CpuTimes))])
            cpus[words[0][3:] or "all"] = CpuTimes(*ticks)
        elif words[0] in ("intr", "ctxt", "procs_running", "procs_blocked"):
            counters[words[0]] = _integers("/proc/stat", words[1:2])[0]
    if "all" not in cpus or len(counters) != 4:
        raise CollectorError("parse", "/proc/stat lacks one of cpu, intr, ctxt, procs_running, procs_blocked")
    return Stat(cpus, counters["intr"], counters["ctxt"], counters["procs_running"], counters["procs_blocked"])


def cpu_shares(before: CpuTimes, after: CpuTimes) -> Dict[str, float]:
    """Return the percentages of an interval in mpstat's sense: user and nice without the guests.

    Raises:
        CounterResetError: a counter went back, or no tick has passed.
    """
    grown: Dict[str, int] = {}
    for each in fields(CpuTimes):
        old, new = getattr(before, each.name), getattr(after, each.name)
        # proc(5): idle and iowait may run back a little; sysstat and procps take them as unchanged too.
        grown[each.name] = max(0, new - old) if each.name in ("idle", "iowait") else increase(each.name, old, new)
    guests = grown["guest"] + grown["guest_nice"]
    total = sum(grown.values()) - guests
    if total <= 0:
        raise CounterResetError("no tick has passed")
    # Guest time is part of user time, but the two are not updated in one step.
    grown["user"] = max(0, grown["user"] - grown["guest"])
    grown["nice"] = max(0, grown["nice"] - grown["guest_nice"])
    return {name: 100.0 * ticks / total for name, ticks in grown.items()}


@dataclass(frozen=True)
class DiskCounters:
    """One line of /proc/diskstats: requests, sectors of 512 bytes, milliseconds; None on older kernels."""

    reads: int
    read_merges: int
    read_sectors: int
    read_ms: int
    writes: int
    write_merges: int
    write_sectors: int
    write_ms: int
    in_flight: int
    busy_ms: int
    weighted_ms: int
    discards: Optional[int] = None
    discard_merges: Optional[int] = None
    discard_sectors: Optional[int] = None
    discard_ms: Optional[int] = None
    flushes: Optional[int] = None
    flush_ms: Optional[int] = None


def parse_diskstats(text: str) -> Dict[str, DiskCounters]:
    """Read /proc/diskstats by device; the four-number partition lines of old kernels are left out.

    Raises:
        CollectorError: a line holds no numbers.
    """
    known = len(fields(DiskCounters))
    disks: Dict[str, DiskCounters] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 14:
            disks[words[2]] = DiskCounters(*_integers("/proc/diskstats", words[3 : 3 + known]))
    return disks


def parse_meminfo(text: str) -> Dict[str, int]:
    """Read /proc/meminfo: bytes by name; lines without a unit are counts and stay as they are.

    Raises:
        CollectorError: MemTotal is missing.
    """
    values: Dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and _COUNTER.fullmatch(words[0]):
            values[name.strip()] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    if "MemTotal" not in values:
        raise CollectorError("parse", "/proc/meminfo has no MemTotal")
    return values


def parse_vmstat_counters(text: str) -> Dict[str, int]:
    """Read /proc/vmstat: counters by name."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and _COUNTER.fullmatch(pair[1])}


def parse_pressure(text: str) -> Dict[str, int]:
    """Read a file of /proc/pressure: microseconds of stall since boot for ``some`` and ``full``."""
    totals: Dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        for word in words[1:]:
            name, _, value = word.partition("=")
            if name == "total" and _COUNTER.fullmatch(value):
                totals[words[0]] = int(value)
    return totals

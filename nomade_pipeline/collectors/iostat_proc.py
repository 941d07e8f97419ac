"""iostat's rows from two readings of /proc/diskstats and /proc/stat, for hosts without sysstat."""

from __future__ import annotations

from dataclasses import fields
from typing import Dict, List, Optional, Tuple

from nomade_pipeline.collectors import blockdev
from nomade_pipeline.collectors.base import CollectorError, Rejected, Row
from nomade_pipeline.collectors.iostat_rows import capped_util
from nomade_pipeline.collectors.procfs import (
    SECTOR_BYTES,
    CounterResetError,
    DiskCounters,
    Stat,
    cpu_shares,
    increase,
    parse_diskstats,
    parse_stat,
)
from nomade_pipeline.probes import Probe

Snapshot = Tuple[Dict[str, DiskCounters], Stat, float]


def measure(probe: Probe, interval: float) -> Tuple[Dict[str, List[Row]], List[Rejected], float]:
    """Measure one interval; return rows by table, what was rejected, and the real length in seconds.

    Raises:
        CollectorError: /proc cannot be read.
        Interrupted: the agent is stopping.
    """
    before = _snapshot(probe)
    probe.wait(interval)
    after = _snapshot(probe)
    seconds = after[2] - before[2]
    devices, rejected = device_rows(before[0], after[0], seconds)
    rows: Dict[str, List[Row]] = {"iostat": devices, "iostat_cpu": []}
    try:
        rows["iostat_cpu"].append(cpu_row(before[1], after[1]))
    except CounterResetError as error:
        rejected.append(Rejected("cpu", str(error)))
    return rows, rejected, seconds


def _snapshot(probe: Probe) -> Snapshot:
    try:
        return parse_diskstats(probe.read("/proc/diskstats")), parse_stat(probe.read("/proc/stat")), probe.monotonic()
    except OSError as error:
        raise CollectorError(
            "tool_missing", f"iostat is not installed and {error.filename} cannot be read: install sysstat"
        ) from error


def device_rows(
    before: Dict[str, DiskCounters], after: Dict[str, DiskCounters], seconds: float
) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of table iostat, and the devices that have none with the reason.

    Like iostat, leave out devices that never had a request.
    """
    rows: List[Row] = []
    rejected: List[Rejected] = []
    for name, counters in after.items():
        if not any((counters.reads, counters.writes, counters.discards, counters.flushes)):
            continue
        if name not in before:
            rejected.append(Rejected(name, "appeared during the interval: no rate yet"))
            continue
        try:
            row, reason = device_row(name, before[name], counters, seconds)
        except CounterResetError as error:
            rejected.append(Rejected(name, str(error)))
            continue
        rows.append(row)
        if reason:
            rejected.append(Rejected(name, reason))
    return rows, rejected


def device_row(name: str, before: DiskCounters, after: DiskCounters, seconds: float) -> Tuple[Row, Optional[str]]:
    """Return a row, and the reason why its %util is null.

    Raises:
        CounterResetError: a counter went back, or no time has passed.
    """
    if seconds <= 0:
        raise CounterResetError("no time has passed")
    grown = _growth(before, after)
    per_second = {key: None if value is None else value / seconds for key, value in grown.items()}
    util, reason = capped_util((per_second["busy_ms"] or 0.0) / 10.0)
    requests = sum(grown[kind] or 0 for kind in ("reads", "writes", "discards"))
    waited = sum(grown[kind] or 0 for kind in ("read_ms", "write_ms", "discard_ms"))
    row: Row = {
        "device": name,
        "device_kind": blockdev.kind_of_name(name),
        "device_id": None,
        "transfers_per_second": requests / seconds,
        "reads_per_second": per_second["reads"],
        "writes_per_second": per_second["writes"],
        "discards_per_second": per_second["discards"],
        "flushes_per_second": per_second["flushes"],
        "read_bytes_per_second": _times(per_second["read_sectors"], SECTOR_BYTES),
        "write_bytes_per_second": _times(per_second["write_sectors"], SECTOR_BYTES),
        "discard_bytes_per_second": _times(per_second["discard_sectors"], SECTOR_BYTES),
        "await_seconds": _mean(waited, requests, 0.001),
        "read_await_seconds": _mean(grown["read_ms"], grown["reads"], 0.001),
        "write_await_seconds": _mean(grown["write_ms"], grown["writes"], 0.001),
        "read_request_bytes": _mean(grown["read_sectors"], grown["reads"], SECTOR_BYTES),
        "write_request_bytes": _mean(grown["write_sectors"], grown["writes"], SECTOR_BYTES),
        "queue_length": _times(per_second["weighted_ms"], 0.001),
        "util_percent": util,
    }
    return row, reason


def _growth(before: DiskCounters, after: DiskCounters) -> Dict[str, Optional[int]]:
    grown: Dict[str, Optional[int]] = {}
    for each in fields(DiskCounters):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if each.name == "in_flight":  # a gauge, not a counter
            continue
        grown[each.name] = None if old is None or new is None else increase(each.name, old, new)
    return grown


def _times(value: Optional[float], factor: float) -> Optional[float]:
    return None if value is None else value * factor


def _mean(total: Optional[int], count: Optional[int], factor: float) -> Optional[float]:
    return total / count * factor if total is not None and count else None


def cpu_row(before: Stat, after: Stat) -> Row:
    """Return the row of table iostat_cpu: user with guests, system with interrupts, as iostat adds them.

    Raises:
        CounterResetError: a counter went back.
    """
    share = cpu_shares(before.cpus["all"], after.cpus["all"])
    return {
        "user_percent": min(100.0, share["user"] + share["guest"]),
        "nice_percent": min(100.0, share["nice"] + share["guest_nice"]),
        "system_percent": min(100.0, share["system"] + share["irq"] + share["softirq"]),
        "iowait_percent": share["iowait"],
        "steal_percent": share["steal"],
        "idle_percent": share["idle"],
    }

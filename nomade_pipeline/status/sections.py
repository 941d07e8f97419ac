"""The parts of the status screen, each from the rows of one host; what is displayed and what ``--json`` prints."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from nomade_pipeline.analysis.memory import memory_pressure
from nomade_pipeline.tables import system
from nomade_pipeline.tables.contract import Table

Rows = Sequence[Mapping[str, Any]]
Section = dict[str, Any]


def _pick(row: Mapping[str, Any], names: Sequence[str]) -> Section:
    """Return some columns of a row; one that the row lacks is null."""
    return {name: row.get(name) for name in names}


def filesystems(rows: Rows) -> Section:
    """Return space and inodes of each path."""
    names = (
        "path",
        "mount",
        "filesystem_id",
        "fstype",
        "status",
        "message",
        "read_only",
        "total_bytes",
        "used_bytes",
        "available_bytes",
        "used_percent",
        "inodes_used_percent",
    )
    return {"filesystems": [_pick(row, names) for row in rows]}


def devices(rows: Rows) -> Section:
    """Return the whole disks, busiest first; layers and parts of disks would count I/O twice."""
    names = (
        "device",
        "device_kind",
        "util_percent",
        "reads_per_second",
        "writes_per_second",
        "read_bytes_per_second",
        "write_bytes_per_second",
        "read_await_seconds",
        "write_await_seconds",
    )
    disks = [_pick(row, names) for row in rows if row.get("device_kind") == "disk"]
    return {"devices": sorted(disks, key=lambda disk: (-(disk["util_percent"] or 0.0), disk["device"]))}


def cpu(rows: Rows) -> Section:
    """Return the shares of CPU time as iostat reports them."""
    names = ("user_percent", "system_percent", "iowait_percent", "steal_percent", "idle_percent")
    return _pick(rows[0], names)


def cores(rows: Rows) -> Section:
    """Return how busy the cores are and how evenly."""
    row = rows[0]
    section = _pick(
        row,
        ("cpus", "busy_percent", "busy_min_percent", "busy_max_percent", "imbalance_ratio", "saturated_cpus"),
    )
    low, high = section["busy_min_percent"], section["busy_max_percent"]
    section["spread_percent"] = None if low is None or high is None else high - low
    return section


def memory(rows: Rows) -> Section:
    """Return memory, swap and pressure."""
    row = rows[0]
    names = (
        "memory_total_bytes",
        "memory_available_bytes",
        "free_bytes",
        "cache_bytes",
        "swap_used_bytes",
        "swap_total_bytes",
        "procs_running",
        "procs_blocked",
        "psi_memory_some_percent",
    )
    return {**_pick(row, names), "memory_pressure": memory_pressure(row)}


def gpus(rows: Rows) -> Section:
    """Return each GPU and MIG instance."""
    names = (
        "gpu_uuid",
        "gpu_index",
        "name",
        "health",
        "message",
        "utilization_percent",
        "memory_used_bytes",
        "memory_total_bytes",
        "temperature_celsius",
        "power_watts",
        "power_limit_watts",
    )
    return {"gpus": [_pick(row, names) for row in rows]}


def nfs_mounts(rows: Rows) -> Section:
    """Return the traffic and latency of each NFS mount."""
    names = (
        "mount",
        "filesystem_id",
        "operations_per_second",
        "read_bytes_per_second",
        "write_bytes_per_second",
        "read_rtt_seconds",
        "write_rtt_seconds",
        "read_retransmissions_per_second",
        "write_retransmissions_per_second",
    )
    return {"mounts": [_pick(row, names) for row in rows]}


# Name of the section in JSON, the table it comes from, and what makes it.
SECTIONS: tuple[tuple[str, Table, Callable[[Rows], Section]], ...] = (
    ("filesystems", system.DISK, filesystems),
    ("cpu", system.IOSTAT_CPU, cpu),
    ("devices", system.IOSTAT, devices),
    ("nfs", system.NFS, nfs_mounts),
    ("cores", system.MPSTAT_SUMMARY, cores),
    ("memory", system.VMSTAT, memory),
    ("gpus", system.GPU, gpus),
)

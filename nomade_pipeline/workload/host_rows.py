"""The series of hosts: rows of `iostat_cpu`, `iostat`, `mpstat_summary` and `vmstat`, one a minute and host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Mapping

import numpy as np

from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.system import IOSTAT, IOSTAT_CPU, MPSTAT_SUMMARY, VMSTAT
from nomade_pipeline.workload.frames import rows, texts
from nomade_pipeline.workload.host_load import HostLoad, wobble
from nomade_pipeline.workload.running import Running

if TYPE_CHECKING:
    import polars

# The local disk: what it can move, how long a request takes when it is idle, how large requests are.
DISK_BYTES_PER_SECOND = 200e6
DISK_AWAIT_SECONDS = 0.0008
READ_REQUEST_BYTES, WRITE_REQUEST_BYTES = 128_000, 256_000
DISK_QUIET_BYTES_PER_SECOND = 40e3
SWAP_TOTAL_BYTES = 32 * 10**9
CACHE_SHARE = 0.2
# Mean busy below which the imbalance says nothing, as the contract of mpstat_summary has it.
LEAST_BUSY_PERCENT = 1.0


def system_rows(running: Running, load: HostLoad) -> Iterator[tuple[Table, polars.DataFrame]]:
    """Yield the rows of the four tables of a day."""
    shares = _shares(running, load)
    disk = _disk(running, load)
    cpu = {f"{name}_percent": value for name, value in shares.items()}
    yield IOSTAT_CPU, host_rows(running, load, IOSTAT_CPU, cpu)
    yield MPSTAT_SUMMARY, host_rows(running, load, MPSTAT_SUMMARY, _summary(running, load, shares))
    yield IOSTAT, host_rows(running, load, IOSTAT, disk)
    yield VMSTAT, host_rows(running, load, VMSTAT, _vmstat(running, load, shares, disk))


def host_rows(running: Running, load: HostLoad, table: Table, data: Mapping[str, Any]) -> polars.DataFrame:
    """Return a row for each host and minute in which it is up, of columns that are nodes × minutes or one value."""
    park, up = running.history.park, load.up
    node, minute = np.nonzero(up)
    kept = {name: value[up] if isinstance(value, np.ndarray) else value for name, value in data.items()}
    return rows(running.history.scenario, table, texts(park.names, node), running.moments[minute], kept)


def _shares(running: Running, load: HostLoad) -> dict[str, Floats | float]:
    """Return the shares of CPU time in percent; they add up to 100."""
    cpus = running.history.park.cpus[:, None]
    system = 100 * load.system / cpus
    user = 100 * load.busy / cpus - system
    iowait = 100 * load.waiting / cpus
    return {
        "user": user,
        "nice": 0.0,
        "system": system,
        "iowait": iowait,
        "steal": 0.0,
        "idle": np.maximum(100 - user - system - iowait, 0.0),
    }


def _summary(running: Running, load: HostLoad, shares: Mapping[str, Any]) -> dict[str, Any]:
    cpus = running.history.park.cpus[:, None] + np.zeros_like(load.busy)
    busy = 100 * load.busy / cpus
    imbalance = np.where(busy >= LEAST_BUSY_PERCENT, 100 * load.busy_std / np.maximum(busy, LEAST_BUSY_PERCENT), np.nan)
    free = load.allocated_cpus < cpus
    return {
        "cpus": cpus,
        "busy_percent": busy,
        "busy_min_percent": np.where(free, 0.0, np.maximum(busy - 100 * load.busy_std, 0.0)),
        "busy_max_percent": np.minimum(100 * load.busy_max, 100.0),
        "busy_std_percent": 100 * load.busy_std,
        "imbalance_ratio": imbalance,
        "saturated_cpus": load.saturated,
        **{f"{name}_percent": value for name, value in shares.items()},
        "irq_percent": 0.0,
        "soft_percent": 0.0,
    }


def _disk(running: Running, load: HostLoad) -> dict[str, Any]:
    """Return the local disk: it is busy for the share of its throughput that is used, and requests queue (M/M/1)."""
    noise = wobble(running, "disk", load.busy.shape)
    write = (load.local_write + load.swap_rate / 2 + DISK_QUIET_BYTES_PER_SECOND) * noise
    read = (load.local_read + load.swap_rate / 2) * noise
    use = np.minimum((write + read) / DISK_BYTES_PER_SECOND, 0.995)
    wait = DISK_AWAIT_SECONDS / (1 - use)
    reads, writes = read / READ_REQUEST_BYTES, write / WRITE_REQUEST_BYTES
    return {
        "device": "nvme0n1",
        "device_kind": "disk",
        "transfers_per_second": reads + writes,
        "reads_per_second": reads,
        "writes_per_second": writes,
        "read_bytes_per_second": read,
        "write_bytes_per_second": write,
        "await_seconds": wait,
        "read_await_seconds": np.where(reads > 0, wait, np.nan),
        "write_await_seconds": wait,
        "read_request_bytes": np.where(reads > 0, READ_REQUEST_BYTES, np.nan),
        "write_request_bytes": float(WRITE_REQUEST_BYTES),
        "queue_length": (reads + writes) * wait,
        "util_percent": 100 * use,
    }


def _vmstat(running: Running, load: HostLoad, shares: Mapping[str, Any], disk: Mapping[str, Any]) -> dict[str, Any]:
    total = np.array([float(kind.memory_bytes) for kind in running.history.park.kinds])[:, None]
    used = np.minimum(load.memory, total)
    left = total - used
    cache = np.minimum(left, total * CACHE_SHARE)
    random = running.history.scenario.random("blocked", running.first_minute)
    swap = np.minimum(load.swap, SWAP_TOTAL_BYTES)
    stalled = np.where(load.swap_rate > 0, np.minimum(100 * load.swap_rate / 100e6, 100.0), 0.0)
    return {
        "procs_running": load.busy,
        "procs_blocked": random.poisson(load.waiting),
        "swap_used_bytes": swap,
        "free_bytes": left - cache,
        "buffer_bytes": 0,
        "cache_bytes": cache,
        "memory_total_bytes": total + np.zeros_like(left),
        "memory_available_bytes": left,
        "swap_total_bytes": SWAP_TOTAL_BYTES,
        "swap_in_bytes_per_second": load.swap_rate / 2,
        "swap_out_bytes_per_second": load.swap_rate / 2,
        "block_in_bytes_per_second": disk["read_bytes_per_second"],
        "block_out_bytes_per_second": disk["write_bytes_per_second"],
        "interrupts_per_second": 200 + 900 * load.busy,
        "context_switches_per_second": 400 + 2000 * load.busy,
        **{f"{name}_percent": value for name, value in shares.items() if name != "nice"},
        "psi_cpu_some_percent": 0.0,
        "psi_memory_some_percent": stalled,
        "psi_memory_full_percent": stalled / 3,
        "psi_io_some_percent": np.minimum(100 * load.waiting / 8, 100.0),
        "psi_io_full_percent": np.minimum(100 * load.waiting / 64, 100.0),
    }

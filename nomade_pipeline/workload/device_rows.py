"""File server, GPUs and file systems of a day: rows of `nfs`, `gpu` and `disk`, one a minute, host and device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.system import DISK, GPU, NFS
from nomade_pipeline.workload.frames import rows, texts
from nomade_pipeline.workload.host_load import HostLoad, wobble
from nomade_pipeline.workload.host_rows import host_rows
from nomade_pipeline.workload.profiles import NFS_SECONDS
from nomade_pipeline.workload.running import Running
from nomade_pipeline.workload.scenario import MINUTE

if TYPE_CHECKING:
    import polars

HOME = "simnfs:/home"
CALL_BYTES = 1_000_000
# Sizes and, of what jobs write, the share that stays: in scratch until the job has ended, in home for good.
ROOT_BYTES, ROOT_USED, SCRATCH_BYTES, HOME_BYTES, HOME_USED = 100 * 10**9, 0.31, 2 * 10**12, 400 * 10**12, 0.62
SCRATCH_KEPT, HOME_KEPT = 0.5, 0.1
FILE_BYTES = 2_000_000
# A GPU: memory, degrees and watts when idle, and what full use adds.
VRAM_BYTES, IDLE_CELSIUS, BUSY_CELSIUS, IDLE_WATTS, BUSY_WATTS = 80 * 10**9, 34.0, 40.0, 65.0, 330.0


def device_rows(running: Running, load: HostLoad) -> Iterator[tuple[Table, polars.DataFrame]]:
    """Yield the rows of the three tables of a day."""
    yield NFS, _nfs(running, load)
    yield DISK, _disk(running, load)
    yield GPU, _gpu(running, load)


def _nfs(running: Running, load: HostLoad) -> polars.DataFrame:
    """Return the mount of the home directories: calls take as much longer in a storm as its factor says."""
    storm = running.history.weather.storm[running.first_minute : running.first_minute + running.minutes]
    data: dict[str, Any] = {"mount": "/home", "filesystem_id": HOME, "version": "4.2"}
    calls = np.zeros_like(load.busy)
    for kind, bytes_a_second in (("read", load.nfs_read), ("write", load.nfs_write)):
        rate = bytes_a_second / CALL_BYTES
        rtt = NFS_SECONDS * storm * wobble(running, f"nfs {kind}", load.busy.shape)
        calls = calls + rate
        none = rate <= 0
        data |= {
            f"{kind}_operations_per_second": rate,
            f"{kind}_bytes_per_second": bytes_a_second,
            f"{kind}_bytes_per_operation": np.where(none, np.nan, CALL_BYTES),
            f"{kind}_retransmissions_per_second": 0.0,
            f"{kind}_rtt_seconds": np.where(none, np.nan, rtt),
            f"{kind}_execute_seconds": np.where(none, np.nan, 1.2 * rtt),
        }
    return host_rows(running, load, NFS, {**data, "operations_per_second": 1.3 * calls})


def _disk(running: Running, load: HostLoad) -> polars.DataFrame:
    """Return the file systems: root is still, scratch holds what running jobs wrote, home grows."""
    import polars as pl

    history, job = running.history, running.job
    scratch = running.added_up(history.io_rate("local_write", job) * running.work * SCRATCH_KEPT, present=True)
    home = np.broadcast_to(HOME_USED * HOME_BYTES + _home_grown(running), load.busy.shape)
    park = history.park.names
    places = (
        ("/", ROOT_BYTES, ROOT_USED * ROOT_BYTES + np.zeros_like(load.busy), "xfs", "/dev/nvme0n1p1"),
        ("/scratch", SCRATCH_BYTES, np.minimum(scratch, 0.99 * SCRATCH_BYTES), "xfs", "/dev/nvme0n1p2"),
        ("/home", HOME_BYTES, np.minimum(home, 0.99 * HOME_BYTES), "nfs4", HOME),
    )
    node = np.nonzero(load.up)[0]
    parts = []
    for path, size, used, kind, device in places:
        whole = texts([device if path == "/home" else f"{name}:{path}" for name in park], node)
        data = {
            "path": path,
            "mount": path,
            "filesystem_id": whole,
            "device": device,
            "fstype": kind,
            "status": "ok",
            "read_only": False,
            "total_bytes": size,
            "used_bytes": used,
            "free_bytes": size - used,
            "available_bytes": size - used,
            "used_percent": 100 * used / size,
            "inodes_total": size // 100_000,
            "inodes_used": used / FILE_BYTES,
            "inodes_free": size // 100_000 - used / FILE_BYTES,
            "inodes_used_percent": 100 * used / FILE_BYTES / (size // 100_000),
            "statfs_seconds": 0.0004 * wobble(running, f"statfs {path}", load.busy.shape),
        }
        parts.append(host_rows(running, load, DISK, data))
    return pl.concat(parts)


def _home_grown(running: Running) -> Floats:
    """Return by how much the home directories have grown since the scenario's start, at each minute of the day."""
    history = running.history
    jobs = np.flatnonzero(history.started)
    before = np.minimum(history.until[jobs], running.first_minute * MINUTE)
    begun = np.minimum(history.schedule.start[jobs], before)
    rate = history.io_rate("nfs_write", jobs) * history.jobs.nodes[jobs]
    earlier = rate @ history.weather.work(history.jobs.profile[jobs], begun, before)
    moving = running.added_up(history.io_rate("nfs_write", running.job) * running.pace * running.share * MINUTE)
    grown: Floats = HOME_KEPT * (earlier + moving.sum(axis=0).cumsum())
    return grown


def gpu_uuids(running: Running, job: Integers, node: Integers) -> polars.Series:
    """Return the GPUs that jobs hold on their nodes; null for none."""
    names = running.history.park.names
    slots = running.history.gpu_slots[job]
    most = 1 << max(kind.gpus for kind in running.history.park.kinds)
    listed = [
        ",".join(_uuid(name, slot) for slot in range(most.bit_length() - 1) if mask >> slot & 1)
        for name in names
        for mask in range(most)
    ]
    return texts(listed, node * most + slots).replace("", None)


def _uuid(host: str, slot: int) -> str:
    return f"GPU-{host}-{slot}"


def _gpu(running: Running, load: HostLoad) -> polars.DataFrame:
    """Return the GPUs: busy while a job that holds them works, warm with it."""
    import polars as pl

    history, job = running.history, running.job
    parts = []
    for slot in range(max(kind.gpus for kind in history.park.kinds)):
        held = (history.gpu_slots[job] >> slot & 1).astype(float)
        use = running.added_up(held * history.jobs.of_profile("gpu_busy")[job] * running.pace * running.share)
        memory = np.minimum(running.added_up(held * history.vram[job], present=True), 0.98 * VRAM_BYTES)
        use = np.clip(use * wobble(running, f"gpu {slot}", use.shape), 0.0, 1.0)
        there = load.up & (history.park.gpus > slot)[:, None]
        node, minute = np.nonzero(there)
        data = {
            "gpu_uuid": texts([_uuid(name, slot) for name in history.park.names], node),
            "gpu_index": slot,
            "name": "Simulated 80GB",
            "pci_bus_id": f"00000000:{slot + 1:02X}:00.0",
            "driver_version": "simulated",
            "mig_enabled": False,
            "health": "ok",
            "utilization_percent": 100 * use[there],
            "memory_utilization_percent": 60 * use[there],
            "memory_total_bytes": VRAM_BYTES,
            "memory_used_bytes": memory[there],
            "memory_free_bytes": VRAM_BYTES - memory[there],
            "temperature_celsius": IDLE_CELSIUS + BUSY_CELSIUS * use[there],
            "power_watts": IDLE_WATTS + BUSY_WATTS * use[there],
            "power_limit_watts": IDLE_WATTS + BUSY_WATTS,
            "performance_state": "P0",
            "ecc_corrected_total": 0,
            "ecc_uncorrected_total": 0,
        }
        host = texts(history.park.names, node)
        parts.append(rows(history.scenario, GPU, host, running.moments[minute], data))
    return pl.concat(parts)

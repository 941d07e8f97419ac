"""Readings of simulated hosts that look like real ones: loads wander, most cores idle or busy, few values repeat."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.store.spool import SpoolWriter

CORES, DEVICES, MOUNTS = 64, 8, 4
INTERVAL = 60.0
CLUSTER = "bench"


class Host:
    """One simulated compute node: 64 cores, 8 devices, 4 file systems.

    Args:
        number: seeds its loads and names it.
    """

    def __init__(self, number: int) -> None:
        self.name = f"node{number:04d}"
        self.random = np.random.default_rng(number)
        self.load = self.random.uniform(0, 100, CORES)
        self.used = self.random.uniform(1e11, 9e11, MOUNTS)

    def readings(self, moment: datetime) -> list[Reading]:
        """Return one cycle of all system collectors."""
        rows = {
            "disk": self._disk(),
            "iostat": self._iostat(),
            "iostat_cpu": [self._shares(float(self.load.mean()))],
            "mpstat": self._mpstat(),
            "mpstat_summary": [self._summary()],
            "vmstat": [self._vmstat()],
        }
        return [Reading(table, content, moment, INTERVAL) for table, content in rows.items()]

    def log(self, moment: datetime) -> list[Reading]:
        """Return the collection log of one cycle: a line a collector."""
        return [
            Reading("collection_log", [_run(collector, moment)], moment, INTERVAL)
            for collector in ("disk", "iostat", "mpstat", "vmstat")
        ]

    def _mpstat(self) -> list[dict[str, object]]:
        step = self.random.normal(0, 3, CORES)
        self.load = np.clip(self.load + step, 0, 100)
        # Jobs start and end: now and then a core changes at once.
        jump = self.random.random(CORES) < 0.002
        self.load[jump] = self.random.choice([0.5, 99.5], int(jump.sum()))
        return [{"cpu": cpu, "busy_percent": float(busy), **_cpu(float(busy))} for cpu, busy in enumerate(self.load)]

    def _summary(self) -> dict[str, object]:
        mean = float(self.load.mean())
        return {
            "cpus": CORES,
            "busy_percent": mean,
            "busy_min_percent": float(self.load.min()),
            "busy_max_percent": float(self.load.max()),
            "busy_std_percent": float(self.load.std()),
            "imbalance_ratio": float(self.load.std()) / max(mean, 1.0),
            "saturated_cpus": int((self.load > 95).sum()),
            **_cpu(mean),
        }

    def _shares(self, busy: float) -> dict[str, object]:
        shares = _cpu(busy)
        return {
            name: share
            for name, share in shares.items()
            if name.split("_")[0] in {"user", "nice", "system", "iowait", "steal", "idle"}
        }

    def _iostat(self) -> list[dict[str, object]]:
        rate = self.random.lognormal(2, 2, (DEVICES, 4))
        return [
            {
                "device": f"sd{chr(97 + index)}",
                "device_kind": "disk",
                "device_id": f"naa.5000c500{index:08x}",
                "reads_per_second": reads,
                "writes_per_second": writes,
                "discards_per_second": 0.0,
                "flushes_per_second": 0.0,
                "read_bytes_per_second": 4096.0 * reads * 8,
                "write_bytes_per_second": 4096.0 * writes * 8,
                "discard_bytes_per_second": 0.0,
                "read_await_seconds": latency / 1e4,
                "write_await_seconds": queue / 1e4,
                "read_request_bytes": 32768.0,
                "write_request_bytes": 32768.0,
                "queue_length": queue / 100,
                "util_percent": min(100.0, latency),
            }
            for index, (reads, writes, latency, queue) in enumerate(rate.tolist())
        ]

    def _disk(self) -> list[dict[str, object]]:
        self.used += self.random.uniform(0, 1e7, MOUNTS)
        return [
            {
                "path": path,
                "mount": path,
                "filesystem_id": f"{self.name}:{path}",
                "device": "/dev/sda",
                "fstype": "xfs",
                "status": "ok",
                "read_only": False,
                "total_bytes": 10**12,
                "used_bytes": int(used),
                "free_bytes": 10**12 - int(used),
                "available_bytes": 10**12 - int(used),
                "used_percent": used / 1e10,
                "inodes_total": 10**8,
                "inodes_used": int(used / 1e5),
                "inodes_free": 10**8 - int(used / 1e5),
                "inodes_used_percent": used / 1e13 * 100,
                "statfs_seconds": float(self.random.uniform(0.001, 0.003)),
            }
            for path, used in zip(("/", "/var", "/tmp", "/localscratch"), self.used.tolist(), strict=True)
        ]

    def _vmstat(self) -> dict[str, object]:
        free = int(self.random.normal(5e10, 1e9))
        rates = self.random.lognormal(6, 2, 6).tolist()
        busy = float(self.load.mean())
        return {
            "procs_running": int(busy * CORES / 100),
            "procs_blocked": int(self.random.poisson(0.2)),
            "swap_used_bytes": 0,
            "free_bytes": free,
            "buffer_bytes": 10**9,
            "cache_bytes": int(self.random.normal(2e10, 1e8)),
            "memory_total_bytes": 256 * 10**9,
            "memory_available_bytes": free + 2 * 10**10,
            "swap_total_bytes": 8 * 10**9,
            "swap_in_bytes_per_second": 0.0,
            "swap_out_bytes_per_second": 0.0,
            "block_in_bytes_per_second": rates[0],
            "block_out_bytes_per_second": rates[1],
            "interrupts_per_second": rates[2],
            "context_switches_per_second": rates[3],
            "user_percent": busy,
            "system_percent": 0.0,
            "idle_percent": 100 - busy,
            "iowait_percent": 0.0,
            "steal_percent": 0.0,
            "psi_cpu_some_percent": min(rates[4] / 1e4, 100.0),
            "psi_memory_some_percent": 0.0,
            "psi_memory_full_percent": 0.0,
            "psi_io_some_percent": min(rates[5] / 1e4, 100.0),
            "psi_io_full_percent": 0.0,
        }


def _cpu(busy: float) -> dict[str, object]:
    return {
        "user_percent": busy * 0.97,
        "nice_percent": 0.0,
        "system_percent": busy * 0.02,
        "iowait_percent": 0.0,
        "irq_percent": 0.0,
        "soft_percent": busy * 0.01,
        "steal_percent": 0.0,
        "guest_percent": 0.0,
        "guest_nice_percent": 0.0,
        "idle_percent": 100 - busy,
    }


def _run(collector: str, moment: datetime) -> dict[str, object]:
    return {
        "collector": collector,
        "writer": "agent",
        "started_time": moment - timedelta(seconds=INTERVAL),
        "outcome": "success",
        "rows": 8,
        "quarantined": 0,
        "seconds": INTERVAL,
        "attempts": 1,
        "agent_version": "bench",
    }


def write_spool(root: Path, hosts: int, start: datetime, minutes: int) -> int:
    """Write the spool of some hosts and minutes as their agents would; return the number of rows."""
    rows = 0
    for number in range(hosts):
        host = Host(number)
        writer = SpoolWriter(root, CLUSTER, host.name)
        for minute in range(minutes):
            # The sample ends a little after the minute, as real ones do.
            moment = start + timedelta(minutes=minute, milliseconds=20 + number % 50)
            with clock.set_to(moment + timedelta(milliseconds=5)):
                rows += writer.append([*host.readings(moment), *host.log(moment)])
    return rows

"""What the jobs of a day do to their hosts: CPUs, memory, disks and network file system, nodes × minutes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.workload.running import Running

# What an idle operating system takes, of all CPUs and of the memory.
IDLE_BUSY, IDLE_SYSTEM_SHARE, IDLE_MEMORY_BYTES = 0.004, 0.5, 4e9
# A leaking job swaps from this share of its memory on, so fast.
SWAP_FROM, SWAP_BYTES_PER_SECOND = 0.9, 3e6
JITTER = 0.02


@dataclass(frozen=True)
class HostLoad:
    """The load of each node and minute of a day; all parts are nodes × minutes.

    Attributes:
        busy: CPUs that compute; their sum over time is the CPU seconds of the jobs, but for the operating system's.
        system: of them in the kernel.
        waiting: CPUs idle with a request to a disk or file server outstanding.
        busy_std: standard deviation of the CPUs' busy shares.
        busy_max: busiest CPU, 0 to 1.
        saturated: CPUs more than 95 % busy.
        memory: bytes in use at the minute's end.
        swap, swap_rate: bytes swapped out, and how fast.
        allocated_cpus, allocated_memory, allocated_gpus, processes: of the jobs present at the minute's end.
        nfs_write, nfs_read, local_write, local_read: bytes a second.
        up: the host is up at the minute's end.
    """

    busy: Floats
    system: Floats
    waiting: Floats
    busy_std: Floats
    busy_max: Floats
    saturated: Floats
    memory: Floats
    swap: Floats
    swap_rate: Floats
    allocated_cpus: Floats
    allocated_memory: Floats
    allocated_gpus: Floats
    processes: Floats
    nfs_write: Floats
    nfs_read: Floats
    local_write: Floats
    local_read: Floats
    up: Flags


def memory_in_use(running: Running) -> tuple[Floats, Floats]:
    """Return of each entry the bytes in use on the node, and of them those swapped out."""
    history, job = running.history, running.job
    begin = history.jobs.of_profile("memory_begin")[job]
    grown = np.minimum(running.work / history.run_of("memory_rise")[job], 1.0)
    asked = history.jobs.memory[job].astype(float)
    used = np.minimum(history.run_of("memory_peak")[job] * (begin + (1.0 - begin) * grown), asked)
    leaks = history.jobs.of_profile("leaks")[job] > 0
    return used, np.where(leaks, np.maximum(used - SWAP_FROM * asked, 0.0), 0.0)


def host_load(running: Running) -> HostLoad:
    """Return what a day's jobs do to their hosts."""
    history, job = running.history, running.job
    cpus = history.jobs.cpus[job].astype(float)
    # Work that storms hold up is work that CPUs do not do: they wait.
    each_busy = history.busy[job] * running.pace * running.share
    each_wait = (
        history.jobs.of_profile("disk_wait")[job] * running.pace + history.busy[job] * (1.0 - running.pace)
    ) * running.share
    all_cpus = history.park.cpus[:, None].astype(float)
    idle = _idle_load(running, all_cpus)
    busy = np.minimum(running.added_up(cpus * each_busy) + idle, all_cpus)
    used, swapped = memory_in_use(running)
    squares = running.added_up(cpus * each_busy**2) / all_cpus
    swapping = np.where(swapped > 0, SWAP_BYTES_PER_SECOND, 0.0) * running.share
    rates = {
        name: running.added_up(history.io_rate(name, job) * running.pace * running.share)
        for name in ("nfs_write", "nfs_read", "local_write", "local_read")
    }
    return HostLoad(
        busy=busy,
        system=running.added_up(cpus * each_busy * history.jobs.of_profile("system")[job]) + idle * IDLE_SYSTEM_SHARE,
        waiting=np.minimum(running.added_up(cpus * each_wait), all_cpus - busy),
        busy_std=np.sqrt(np.maximum(squares - (busy / all_cpus) ** 2, 0.0)),
        busy_max=np.maximum(running.largest(each_busy), idle / all_cpus),
        saturated=running.added_up(np.where(each_busy > 0.95, cpus, 0.0)),
        memory=running.added_up(used - swapped, present=True) + IDLE_MEMORY_BYTES,
        swap=running.added_up(swapped, present=True),
        swap_rate=running.added_up(swapping),
        allocated_cpus=running.added_up(cpus, present=True),
        allocated_memory=running.added_up(history.jobs.memory[job], present=True),
        allocated_gpus=running.added_up(history.jobs.gpus[job], present=True),
        processes=running.added_up(cpus, present=True),
        up=_up(running),
        **rates,
    )


def _idle_load(running: Running, all_cpus: Floats) -> Floats:
    """Return the CPUs that the operating systems take."""
    random = running.history.scenario.random("idle", running.first_minute)
    shape = (len(all_cpus), running.minutes)
    return all_cpus * IDLE_BUSY * random.lognormal(0.0, 0.3, shape)


def _up(running: Running) -> Flags:
    """Return which hosts are up at the end of each minute."""
    return ~_out(running, failed=True)


def drained(running: Running) -> Flags:
    """Return, nodes × minutes, which nodes are drained at the end of each minute."""
    return _out(running, failed=False)


def _out(running: Running, *, failed: bool) -> Flags:
    outages = running.history.weather.outages
    found = np.zeros((len(running.history.park.names), running.minutes), bool)
    for number in np.flatnonzero(outages.failed == failed):
        out = (running.moments >= outages.begin[number]) & (running.moments < outages.end[number])
        found[outages.node[number], out] = True
    return found


def wobble(running: Running, name: str, shape: tuple[int, ...]) -> Floats:
    """Return factors around 1, another for each reading: no two minutes of a real host are alike."""
    random = running.history.scenario.random("wobble", name, running.first_minute)
    return random.normal(1.0, JITTER, shape)

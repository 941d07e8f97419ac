"""Running jobs as their nodes see them: rows of `job_monitor`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nomade_pipeline.analysis.series import Flags
from nomade_pipeline.tables import outcomes
from nomade_pipeline.tables.nodes import JOB_MONITOR
from nomade_pipeline.workload.device_rows import gpu_uuids
from nomade_pipeline.workload.frames import moments, rows, texts
from nomade_pipeline.workload.host_load import memory_in_use
from nomade_pipeline.workload.job_rows import exit_codes, job_numbers, names_of
from nomade_pipeline.workload.running import Running
from nomade_pipeline.workload.scenario import MINUTE

if TYPE_CHECKING:
    import polars

# The file cache of a cgroup holds what its job writes in so many seconds, if there is room.
CACHE_SECONDS = 20.0


def job_monitor(running: Running, ending: Running) -> polars.DataFrame:
    """Return what the monitor sees of a day's jobs: each minute, and a last time by the epilog.

    A node that fails runs no epilog.
    """
    import polars as pl

    told = ending.history.outcome[ending.job] != outcomes.NODE_FAIL
    return pl.concat([_rows(_some(running, running.present), final=False), _rows(_some(ending, told), final=True)])


def _some(running: Running, which: Flags) -> Running:
    names = ("job", "node", "minute", "share", "pace", "work", "present")
    return replace(running, **{name: getattr(running, name)[which] for name in names})


def _rows(running: Running, *, final: bool) -> polars.DataFrame:
    """Return a row for each entry, at the minute's end, or of final ones at the job's."""
    history, job, work = running.history, running.job, running.work
    start, ended = history.schedule.start[job], history.until[job]
    seconds = ended if final else running.moments[running.minute]
    used, swapped = memory_in_use(running)
    moved = {
        f"{place}_{way}_bytes": np.round(history.io_rate(f"{'nfs' if place == 'network' else place}_{way}", job) * work)
        for place in ("network", "local")
        for way in ("read", "write")
    }
    written = moved["network_write_bytes"] + moved["local_write_bytes"]
    rate = history.io_rate("nfs_write", job) + history.io_rate("local_write", job)
    resident = used - swapped
    cache = np.minimum(history.jobs.memory[job] - resident, rate * CACHE_SECONDS)
    gpus = history.jobs.gpus[job]
    names = names_of(history, job)
    told = {
        **exit_codes(history, job),
        **{name: names[name] for name in ("account", "partition")},
        "cpus": history.jobs.cpus[job],
    }
    data = {
        "job_id_raw": job_numbers(job),
        "node": texts(history.park.names, running.node),
        "start_time": moments(history.scenario, start),
        "user": names["user"],
        "found_by": "epilog" if final else "cgroup",
        "is_final": final,
        "processes": np.zeros(len(job)) if final else history.jobs.cpus[job],
        "unread": 0,
        "cpu_seconds": history.busy[job] * history.jobs.cpus[job] * work,
        "memory_bytes": resident + cache,
        "memory_cache_bytes": cache,
        "memory_peak_bytes": resident + cache,
        "memory_used_peak_bytes": resident,
        "memory_limit_bytes": history.jobs.memory[job],
        "memory_source": "cgroup",
        "swap_bytes": swapped,
        "oom_kills": np.where(final & (history.outcome[job] == outcomes.OOM), 1, 0),
        **moved,
        "read_bytes": moved["network_read_bytes"] + moved["local_read_bytes"],
        "write_bytes": written,
        "unattributed_write_bytes": 0,
        # The rate of a minute undisturbed; the first reading has none before it.
        "write_peak_bytes_per_second": np.where(seconds - start > MINUTE, rate, np.nan),
        "gpu_uuids": gpu_uuids(running, job, running.node),
        "gpu_util_percent": np.where(gpus > 0, 100 * history.jobs.of_profile("gpu_busy")[job], np.nan),
        "gpu_memory_bytes": np.where(gpus > 0, history.vram[job] * gpus, np.nan),
        "restarts": 0,
        **(told if final else {}),
    }
    return rows(history.scenario, JOB_MONITOR, texts(history.park.names, running.node), seconds, data)

"""The list of collectors; adding one is one line here."""

from __future__ import annotations

from typing import Tuple

from nomade_pipeline.collectors import disk, gpu, iostat, mpstat, nfs, slurm_collectors, vmstat
from nomade_pipeline.collectors.base import Collector

COLLECTORS: Tuple[Collector, ...] = (
    disk.COLLECTOR,
    iostat.COLLECTOR,
    mpstat.COLLECTOR,
    vmstat.COLLECTOR,
    nfs.COLLECTOR,
    gpu.COLLECTOR,
    slurm_collectors.SLURM,
    slurm_collectors.NODES,
    slurm_collectors.JOBS,
    slurm_collectors.MONITOR,
)


def collector_named(name: str) -> Collector:
    """Return the collector called ``name``, or known by it as an alias.

    Raises:
        KeyError: there is none; the message lists those that exist.
    """
    for collector in COLLECTORS:
        if name == collector.name or name in collector.aliases:
            return collector
    raise KeyError(f"no collector {name!r}; there are {', '.join(each.name for each in COLLECTORS)}")

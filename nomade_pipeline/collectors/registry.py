"""The list of collectors; adding one is one line here."""

from __future__ import annotations

from typing import Tuple

from nomade_pipeline.collectors import (
    disk,
    gpu,
    iostat,
    job_metrics,
    job_monitor,
    mpstat,
    nfs,
    node_state,
    slurm,
    vmstat,
)
from nomade_pipeline.collectors.base import Collector

COLLECTORS: Tuple[Collector, ...] = (
    disk.COLLECTOR,
    iostat.COLLECTOR,
    mpstat.COLLECTOR,
    vmstat.COLLECTOR,
    nfs.COLLECTOR,
    gpu.COLLECTOR,
    slurm.COLLECTOR,
    node_state.COLLECTOR,
    job_metrics.COLLECTOR,
    job_monitor.COLLECTOR,
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

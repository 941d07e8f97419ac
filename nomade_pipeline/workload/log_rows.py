"""The agents' own log: a row of `collection_log` for each run of each collector, so that the ledger is full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.workload.frames import HEAD, moments, rows, texts
from nomade_pipeline.workload.host_load import HostLoad
from nomade_pipeline.workload.running import Running
from nomade_pipeline.workload.scenario import MINUTE

if TYPE_CHECKING:
    import polars

# What each collector of a host writes a minute, but for those whose number of rows depends.
_ON_HOSTS = {"disk": 3, "iostat": 2, "mpstat": 1, "vmstat": 1, "nfs": 1}
_ON_HEAD = ("slurm", "node_state", "job_metrics")
_SPANS = frozenset(("iostat", "mpstat", "vmstat", "nfs", "job_monitor"))
VERSION = "simulated"


def collection_log(running: Running, load: HostLoad, told: Mapping[Table, polars.Series]) -> polars.DataFrame:
    """Return the log of a day's runs: all succeed, where the host is up.

    Args:
        running: what runs on the day.
        load: of its hosts.
        told: sample times of the rows of the head node's tables.
    """
    import polars as pl

    gpus = running.history.park.gpus[:, None] + np.zeros_like(load.busy)
    present = running.added_up(np.ones(len(running.job)), present=True)
    counts: dict[str, Floats] = {name: np.full(load.busy.shape, float(count)) for name, count in _ON_HOSTS.items()}
    parts = [
        _runs(running, name, each, load.up & ((each > 0) | (name != "gpu")))
        for name, each in {**counts, "gpu": gpus, "job_monitor": present}.items()
    ]
    return pl.concat([*parts, *(_head(running, name, told) for name in _ON_HEAD)])


def _runs(running: Running, name: str, count: Floats, there: Flags) -> polars.DataFrame:
    node, minute = np.nonzero(there)
    host = texts(running.history.park.names, node)
    return _log(running, name, host, minute, count[there])


def _head(running: Running, name: str, told: Mapping[Table, polars.Series]) -> polars.DataFrame:
    """Return the runs of a collector of the head node, with the number of rows of its minute."""
    import polars as pl

    minute = np.arange(running.minutes)
    mine = [times for table, times in told.items() if table.collector == name]
    # A job that ended within a minute is told at its end.
    at = pl.concat(mine).dt.offset_by("59s").dt.truncate("1m").value_counts(name="rows")
    times = moments(running.history.scenario, running.moments).alias("sample_time").to_frame()
    count = times.join(at, on="sample_time", how="left", maintain_order="left")["rows"].fill_null(0)
    return _log(running, name, HEAD, minute, count.to_numpy())


def _log(running: Running, name: str, host: Any, minute: Any, count: Any) -> polars.DataFrame:
    spans = name in _SPANS
    data = {
        "collector": name,
        "writer": "monitor" if name == "job_monitor" else "agent",
        "started_time": moments(running.history.scenario, running.moments[minute] - (MINUTE if spans else 0)),
        "outcome": "success",
        "rows": count,
        "quarantined": 0,
        "seconds": float(MINUTE) if spans else 0.05,
        "attempts": 1,
        "agent_version": VERSION,
    }
    return rows(running.history.scenario, COLLECTION_LOG, host, running.moments[minute], data)

"""The nodes as Slurm tells them: rows of `node_state`, one a minute and node, from the head node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.tables.nodes import NODE_STATE
from nomade_pipeline.workload.frames import HEAD, moments, rows, texts
from nomade_pipeline.workload.host_load import HostLoad, drained
from nomade_pipeline.workload.running import Running
from nomade_pipeline.workload.scenario import PARTITIONS

if TYPE_CHECKING:
    import polars

_STATES = ("IDLE", "MIXED", "ALLOCATED", "DOWN")
VERSION = "24.05.3"
FAILED_REASON, DRAIN_REASON = "Not responding", "maintenance"


def node_state(running: Running, load: HostLoad) -> polars.DataFrame:
    """Return the state of all nodes at the end of each minute of a day."""
    history, park = running.history, running.history.park
    count = len(park.names)
    node = np.repeat(np.arange(count), running.minutes)
    is_drained = drained(running)
    each = {name: getattr(park, name)[:, None] + np.zeros_like(load.busy) for name in ("cpus", "memory", "gpus")}
    full = load.allocated_cpus >= each["cpus"]
    state: Integers = np.where(~load.up, 3, np.where(full, 2, np.where(load.allocated_cpus > 0, 1, 0)))
    word = np.where(is_drained, state + len(_STATES), np.where(load.up, state, 2 * len(_STATES)))
    raw = (*_STATES, *(f"{name}+DRAIN" for name in _STATES), "DOWN+NOT_RESPONDING")
    since = _since(running)
    data: dict[str, Any] = {
        "node": texts(park.names, node),
        "node_host": texts(park.names, node),
        "state_raw": texts(raw, word.ravel()),
        "state": texts(_STATES, state.ravel()),
        "flags": _told(("DRAIN", "NOT_RESPONDING"), is_drained, ~load.up),
        "responding": load.up,
        "usable": load.up & ~is_drained,
        "drained": is_drained,
        "partitions": texts(_partitions(running), node),
        "reason": _told((DRAIN_REASON, FAILED_REASON), is_drained, ~load.up),
        "reason_user": _told(("root", "slurm"), is_drained, ~load.up),
        "reason_time": moments(history.scenario, since),
        "cpus": each["cpus"],
        "cpus_allocated": load.allocated_cpus,
        "cpu_load": np.where(load.up, load.busy + load.waiting, np.nan),
        "memory_bytes": each["memory"],
        "memory_allocated_bytes": load.allocated_memory,
        "memory_free_bytes": np.where(load.up, _free(running, load), np.nan),
        "gpus": each["gpus"],
        "gpus_allocated": load.allocated_gpus,
        "gres": texts([f"gpu:sim:{kind.gpus}" if kind.gpus else "" for kind in park.kinds], node).replace("", None),
        "gpu_types": texts(("", "sim"), (each["gpus"] > 0).ravel().astype(np.int64)).replace("", None),
        "version": VERSION,
    }
    seconds = np.tile(running.moments, count)
    return rows(history.scenario, NODE_STATE, HEAD, seconds, data)


def _told(words: tuple[str, str], first: Any, second: Any) -> polars.Series:
    """Return the first word where the first flag holds, the second where the second does, else null."""
    chosen = np.where(second, 2, np.where(first, 1, 0)).ravel()
    return texts(("", *words), chosen).replace("", None)


def _free(running: Running, load: HostLoad) -> Floats:
    total = np.array([float(kind.memory_bytes) for kind in running.history.park.kinds])[:, None]
    return np.maximum(total - load.memory, 0.0)


def _partitions(running: Running) -> list[str]:
    park = running.history.park
    numbers = range(len(park.names))
    return [
        ",".join(sorted(name for name in PARTITIONS if number in numbers[park.partitions[name]])) for number in numbers
    ]


def _since(running: Running) -> Floats:
    """Return since when each node is out, at each minute; NaN where it is in use."""
    outages = running.history.weather.outages
    since = np.full((len(running.history.park.names), running.minutes), np.nan)
    for node, begin, end in zip(outages.node, outages.begin, outages.end, strict=True):
        since[node, (running.moments >= begin) & (running.moments < end)] = begin
    return since.ravel()

"""The layout of a window's network, and the zones of its raw space; computed and written."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.community_rows import outlook_columns
from nomade_pipeline.network.layout import aligned, force_directed, principal_components
from nomade_pipeline.network.profiles import Outlook
from nomade_pipeline.network.window_graph import WindowGraph, day_before, window_graphs, write
from nomade_pipeline.network.zones import Zone, zones_of
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.graph import SIMILARITY_JOBS
from nomade_pipeline.tables.network import GRAPH_LAYOUT, GRAPH_ZONES, RAW_AXES

_FORCED, _COMPONENTS = ("x", "y", "z"), ("pca_x", "pca_y", "pca_z")


def layout_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write layout and zones of the windows that end with a UTC day; return figures to show.

    Raises:
        LakeError: a stored file cannot be read or written.
    """
    windows = window_graphs(store, config, day)
    moves = [_layout(store, config, window) for window in windows]
    zones = [row for window in windows for row in _zones(store, config, window)]
    return {
        "nodes": sum(window.edges.nodes for window in windows),
        "median_move": next((move for move in moves if move is not None), None),
        "jobs_in_zones": sum(row["jobs"] for row in zones),
        "note": "; ".join(window.note for window in windows if window.note) or None,
    }


def _layout(store: Store, config: Config, window: WindowGraph) -> float | None:
    """Write where the nodes lie; return by how much those of the day before moved (median), None without any."""
    before, components_before = _before(store, config, window)
    components = principal_components(window.node_values, window.jobs_of_node)
    placed = force_directed(window.edges, components, before)
    shared: Flags = np.asarray(~np.isnan(before).any(axis=1))
    columns = {
        "node": np.arange(window.edges.nodes),
        "jobs": window.jobs_of_node,
        **dict(zip(_FORCED, placed.T, strict=True)),
        **dict(zip(_COMPONENTS, aligned(components, components_before, shared, move=False).T, strict=True)),
    }
    raw = _of_nodes(raw_axes(window), window.node, window.edges.nodes)
    rows = [
        {
            **{name: values[i].item() for name, values in columns.items()},
            **{axis: None if np.isnan(raw[i, k]) else float(raw[i, k]) for k, axis in enumerate(RAW_AXES)},
        }
        for i in range(window.edges.nodes)
    ]
    write(store, GRAPH_LAYOUT, window, rows)
    return float(np.median(np.linalg.norm(placed - before, axis=1)[shared])) if shared.any() else None


def _before(store: Store, config: Config, window: WindowGraph) -> tuple[Floats, Floats]:
    """Return where each node's jobs lay the day before, by forces and by components; NaN for new ones."""
    import polars as pl

    nothing = np.full((window.edges.nodes, 3), np.nan)
    lake = store.lake
    day = day_before(lake, GRAPH_LAYOUT, window.cluster, window.day, config.similarity.window_days)
    if day is None or not window.edges.nodes:
        return nothing, nothing.copy()
    key = ["job_id_raw", "submit_time"]
    then = lake.read_day(SIMILARITY_JOBS, window.cluster, day).select(*key, pl.col("node").alias("then"))
    where = lake.read_day(GRAPH_LAYOUT, window.cluster, day).rename({"node": "then"})
    now = window.jobs.select(*key, "node").drop_nulls("node").join(then, on=key).join(where, on="then")
    mean = now.group_by("node").agg(pl.col(*_FORCED, *_COMPONENTS).mean()).sort("node")
    found = []
    for names in (_FORCED, _COMPONENTS):
        at = nothing.copy()
        at[mean["node"].to_numpy()] = mean.select(names).to_numpy()
        found.append(at)
    return found[0], found[1]


def raw_axes(window: WindowGraph) -> Floats:
    """Return jobs × 3, the quantities of `RAW_AXES`: written to NFS and to local disks in GB, and I/O wait in %."""
    writes, share = window.quantity("total_write_gb"), window.quantity("nfs_ratio")
    return np.column_stack([writes * share, writes * (1 - share), window.quantity("avg_iowait")])


def _of_nodes(values: Floats, node: Integers, nodes: int) -> Floats:
    """Return the mean of each column over the jobs of each node of which it is known; NaN for none."""
    means = np.full((nodes, values.shape[1]), np.nan)
    for column in range(values.shape[1]):
        known = (node >= 0) & ~np.isnan(values[:, column])
        count = np.bincount(node[known], minlength=nodes)
        total = np.bincount(node[known], values[known, column], minlength=nodes)
        np.divide(total, count, out=means[:, column], where=count > 0)
    return means


def _zones(store: Store, config: Config, window: WindowGraph) -> list[dict[str, Any]]:
    points = raw_axes(window)
    known = int((~np.isnan(points).any(axis=1)).sum())
    rows = [_zone_row(zone, points, window.classes, known) for zone in zones_of(points, config.zones)] if known else []
    write(store, GRAPH_ZONES, window, rows)
    return rows


def _zone_row(zone: Zone, points: Floats, classes: Integers, known: int) -> dict[str, Any]:
    inside = zone.holds(points)
    return {
        "zone": zone.name,
        **{f"{axis}_low": zone.low[axis] for axis in RAW_AXES},
        **{f"{axis}_high": zone.high[axis] for axis in RAW_AXES},
        "known": known,
        "jobs": int(inside.sum()),
        **outlook_columns(Outlook.of(classes[inside])),
    }

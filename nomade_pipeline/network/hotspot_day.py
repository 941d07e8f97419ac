"""The hotspots of a window, found and written."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any, Iterable, Sequence

import numpy as np

from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.vectors import raw_matrix
from nomade_pipeline.network.hotspots import Bin, Hotspot, find_hotspots
from nomade_pipeline.network.window_graph import WindowGraph, window_graphs, write
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.network import GRAPH_HOTSPOTS
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, SUCCESS


def hotspots_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write the hotspots of the windows that end with a UTC day; return figures to show.

    They need quantities, not a graph: windows with too few of them for that have hotspots too.

    Raises:
        LakeError: a stored file cannot be read or written.
    """
    told = [_hotspots(store, window) for window in window_graphs(store, config, day)]
    return {"hotspots": sum(found for found, _ in told), "bins_tested": sum(tested for _, tested in told)}


def _hotspots(store: Store, window: WindowGraph) -> tuple[int, int]:
    kept = np.isin(window.classes, (SUCCESS, *FAILED_CLASSES))
    names = window.vectors.scaler.dimensions
    failed = np.isin(window.classes[kept], FAILED_CLASSES)
    search = find_hotspots(raw_matrix(window.jobs, names)[kept], failed)
    users = np.asarray(window.text("user"), dtype=object)[kept]
    common = {"base_rate": float(failed.mean()) if len(failed) else 0.0, "tested": search.tested}
    rows = [
        {"rank": rank, **_row(spot, names), **_users(users[spot.members][failed[spot.members]]), **common}
        for rank, spot in enumerate(search.found, start=1)
    ]
    write(store, GRAPH_HOTSPOTS, window, rows)
    return len(rows), search.tested


def _row(spot: Hotspot, names: Sequence[str]) -> dict[str, Any]:
    first, *second = spot.bins
    return {
        **_range("", first, names),
        **(_range("second_", second[0], names) if second else {}),
        "jobs": spot.jobs,
        "failed": spot.failed,
        "failure_rate": spot.rate,
        "failure_rate_low": spot.low,
        "failure_rate_high": spot.high,
        "p": spot.p,
        "adjusted_p": spot.adjusted_p,
    }


def _range(prefix: str, each: Bin, names: Sequence[str]) -> dict[str, Any]:
    return {f"{prefix}quantity": names[each.quantity], f"{prefix}low": each.low, f"{prefix}high": each.high}


def _users(users: Iterable[str]) -> dict[str, Any]:
    """Return how many users the failed jobs of a hotspot have, and the share of the one with most."""
    counts = Counter(name for name in users if name)
    if not counts:
        return {"users": None, "top_user_share": None}
    return {"users": len(counts), "top_user_share": max(counts.values()) / counts.total()}

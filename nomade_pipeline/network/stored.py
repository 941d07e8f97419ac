"""The newest similarity graph of a cluster as it lies in the lake, with all that was found out about its nodes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any, Mapping

from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.window_graph import WindowGraph, window_graph
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.graph import SIMILARITY_WINDOWS
from nomade_pipeline.tables.network import COMMUNITY_JOBS, GRAPH_LAYOUT

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class StoredGraph(WindowGraph):
    """A window's similarity graph; its jobs have ``community`` too (null: none, or not computed).

    Attributes:
        window: its row of `similarity_windows`.
        layout: rows of `graph_layout`; none where it has not been computed.
    """

    window: Mapping[str, Any]
    layout: polars.DataFrame


def newest_days(lake: Lake, cluster: str = "") -> dict[str, date]:
    """Return the newest day that has a similarity graph, or a note why not, by cluster; only of one if it is named."""
    days = {name: lake.days(SIMILARITY_WINDOWS, name) for name in lake.clusters(SIMILARITY_WINDOWS)}
    return {name: found[-1] for name, found in sorted(days.items()) if found and cluster in ("", name)}


def stored_graph(lake: Lake, config: Config, cluster: str, day: date) -> StoredGraph:
    """Return the similarity graph of a cluster and day that has one.

    Raises:
        LakeError: a stored file cannot be read.
    """
    found = window_graph(lake, config, cluster, day)
    known = {each.name: getattr(found, each.name) for each in fields(found)}
    key = ["job_id_raw", "submit_time"]
    communities = lake.read_day(COMMUNITY_JOBS, cluster, day).select(*key, "community")
    known["jobs"] = found.jobs.join(communities, on=key, how="left", maintain_order="left")
    window = lake.read_day(SIMILARITY_WINDOWS, cluster, day).row(0, named=True)
    return StoredGraph(**known, window=window, layout=lake.read_day(GRAPH_LAYOUT, cluster, day))

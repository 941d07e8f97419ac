"""A similarity graph as it lies in the lake, with the features of its jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Mapping

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.features.vectors import Scaler, Vectors, raw_matrix
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.kernel import Ints
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.features import JOB_FEATURES
from nomade_pipeline.tables.graph import SIMILARITY_EDGES, SIMILARITY_JOBS, SIMILARITY_WINDOWS
from nomade_pipeline.tables.network import COMMUNITY_JOBS, GRAPH_LAYOUT

if TYPE_CHECKING:
    import polars

_KEY = ("job_id_raw", "submit_time")


@dataclass(frozen=True)
class StoredGraph:
    """The similarity graph of a window.

    Attributes:
        cluster: whose jobs.
        day: last UTC day of the window.
        window: its row of `similarity_windows`.
        jobs: its rows of `job_features`, sorted by key, with ``node`` (null: none) and ``community`` (null: none, or
            communities have not been computed).
        edges: between the nodes.
        layout: rows of `graph_layout`; none where it has not been computed.
    """

    cluster: str
    day: date
    window: Mapping[str, Any]
    jobs: polars.DataFrame
    edges: EdgeList
    layout: polars.DataFrame

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors of the jobs under the window's scaler."""
        scaler = Scaler.from_dict(json.loads(self.window["scaler"]))
        return Vectors(*scaler.apply(raw_matrix(self.jobs, scaler.dimensions)), scaler)

    @cached_property
    def node(self) -> Ints:
        """Node of each job; -1 for none."""
        node: Ints = self.jobs["node"].fill_null(-1).to_numpy()
        return node

    @cached_property
    def node_values(self) -> Floats:
        """Nodes × d, the vector of each node."""
        values = np.zeros((self.edges.nodes, self.vectors.values.shape[1]))
        placed = self.node >= 0
        values[self.node[placed]] = self.vectors.values[placed]
        return values


def newest_days(lake: Lake, cluster: str = "") -> dict[str, date]:
    """Return the newest day that has a similarity graph, or a note why not, by cluster; only of one if it is named."""
    days = {name: lake.days(SIMILARITY_WINDOWS, name) for name in lake.clusters(SIMILARITY_WINDOWS)}
    return {name: found[-1] for name, found in sorted(days.items()) if found and cluster in ("", name)}


def window_row(lake: Lake, cluster: str, day: date) -> dict[str, Any]:
    """Return the row of `similarity_windows` of a cluster and day that has one."""
    return lake.read_day(SIMILARITY_WINDOWS, cluster, day).row(0, named=True)


def stored_graph(lake: Lake, cluster: str, day: date) -> StoredGraph:
    """Return the similarity graph of a cluster and day that has one.

    Raises:
        LakeError: a stored file cannot be read.
    """
    window = window_row(lake, cluster, day)
    nodes = lake.read_day(SIMILARITY_JOBS, cluster, day).select(*_KEY, "node", "degree_at_threshold")
    communities = lake.read_day(COMMUNITY_JOBS, cluster, day).select(*_KEY, "community")
    jobs = nodes.join(_features(lake, cluster, window), on=_KEY, maintain_order="left")
    jobs = jobs.join(communities, on=_KEY, how="left", maintain_order="left")
    rows = lake.read_day(SIMILARITY_EDGES, cluster, day)
    columns = [rows[name].to_numpy() for name in ("first", "second", "weight")]
    edges = EdgeList(window["nodes"] or 0, columns[0], columns[1], columns[2], window["hidden_edges"] or 0)
    return StoredGraph(cluster, day, window, jobs, edges, lake.read_day(GRAPH_LAYOUT, cluster, day))


def _features(lake: Lake, cluster: str, window: Mapping[str, Any]) -> polars.DataFrame:
    """Return the features of the days of a window."""
    end = window["sample_time"] + timedelta(days=1)
    first: datetime = window["first_time"] or end
    return lake.read(JOB_FEATURES, clock.start_of(first.date()), end, clusters=[cluster])

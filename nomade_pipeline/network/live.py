"""Running jobs among the ended ones: the nearest nodes of the newest similarity graph, and where they lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.running import running_features
from nomade_pipeline.features.vectors import Vectors, raw_matrix
from nomade_pipeline.network.kernel import Index, Neighbours, unit_vectors
from nomade_pipeline.network.stored import StoredGraph, newest_days, stored_graph
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.graph import SIMILARITY_LIVE

if TYPE_CHECKING:
    import polars

# Nearest nodes of a running job.
NEAREST = 10
PLACES = ("x", "y", "z", "pca_x", "pca_y", "pca_z")


@dataclass(frozen=True)
class Ground:
    """The ended jobs of a graph, ready for running ones to be placed among them.

    Attributes:
        index: the nodes.
        threshold: least cosine of a neighbour.
        places: nodes × 6, `PLACES` of each; NaN where there is no layout.
        community: of each node; -1 for none.
    """

    index: Index
    threshold: float
    places: Floats
    community: Integers

    @classmethod
    def of(cls, graph: StoredGraph) -> Ground:
        """Return it of a stored graph."""
        places = np.full((graph.edges.nodes, len(PLACES)), np.nan)
        places[graph.layout["node"].to_numpy()] = graph.layout.select(PLACES).to_numpy()
        community = np.full(graph.edges.nodes, -1, np.int64)
        placed = graph.node >= 0
        community[graph.node[placed]] = graph.jobs["community"].fill_null(-1).to_numpy()[placed]
        return cls(Index(*unit_vectors(graph.node_values)), graph.window["threshold"], places, community)

    def nearest(self, vectors: Vectors) -> Neighbours:
        """Return the nearest nodes of jobs; none of one of which too little is known."""
        units = unit_vectors(vectors.values)[0]
        return self.index.nearest_of(np.where(vectors.eligible[:, None], units, 0.0), NEAREST, self.threshold)

    def place(self, ids: Integers, scores: Floats) -> Floats:
        """Return the `PLACES` of a job: means of its nearest nodes' weighted by cosine; NaN for none."""
        known = (ids >= 0) & (scores > 0)
        if not known.any():
            return np.full(len(PLACES), np.nan)
        found: Floats = np.average(self.places[ids[known]], axis=0, weights=scores[known])
        return found

    def home(self, ids: Integers, scores: Floats) -> int | None:
        """Return the community with the most weight among a job's nearest nodes; of equals the smaller number."""
        known = ids[ids >= 0]
        homes, weights = self.community[known], scores[ids >= 0]
        if not (homes >= 0).any():
            return None
        return int(np.argmax(np.bincount(homes[homes >= 0], np.maximum(weights[homes >= 0], 0.0))))


def live_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write where the jobs that run now lie, in today's partition, for all clusters that have a similarity graph.

    Of a day that is over nothing is written: what ran then has ended.

    Returns:
        Figures to show: jobs that ran and those that were placed.

    Raises:
        LakeError, DatabaseError: lake or database cannot be read or written.
    """
    now = clock.now()
    if day != now.date():
        return {"note": "the day is over: only today's running jobs are placed"}
    running = placed = 0
    for cluster, graph_day in newest_days(store.lake).items():
        graph = stored_graph(store.lake, config, cluster, graph_day)
        rows = placed_rows(graph, running_features(store, cluster, now), now) if graph.edges.nodes else []
        if rows or store.lake.has(SIMILARITY_LIVE, cluster, day):
            store.lake.replace(SIMILARITY_LIVE, cluster, day, _frame(rows))
        running += len(rows)
        placed += sum(row["nodes"] != "[]" for row in rows)
    return {"running": running, "placed": placed}


def placed_rows(graph: StoredGraph, jobs: polars.DataFrame, now: datetime) -> list[dict[str, Any]]:
    """Return a row of `similarity_live` for each running job; see `features.running`."""
    scaler = graph.vectors.scaler
    ground = Ground.of(graph)
    vectors = Vectors(*scaler.apply(raw_matrix(jobs, scaler.dimensions)), scaler)
    found = ground.nearest(vectors)
    return [
        {
            **{name: job[name] for name in ("job_id_raw", "job_id", "submit_time", "start_time", "user", "partition")},
            "cluster": graph.cluster,
            "sample_time": now,
            "graph_time": clock.start_of(graph.day),
            "measured": int(vectors.mask[row].sum()),
            "nodes": json.dumps([int(node) for node in found.ids[row] if node >= 0]),
            "cosines": json.dumps([round(float(score), 4) for score in found.scores[row] if not np.isnan(score)]),
            "community": ground.home(found.ids[row], found.scores[row]),
            **dict(zip(PLACES, map(_known, ground.place(found.ids[row], found.scores[row])), strict=True)),
            "nfs_write_gb": job["network_write_gb"],
            "local_write_gb": job["local_write_gb"],
            "avg_iowait": job["avg_iowait"],
        }
        for row, job in enumerate(jobs.iter_rows(named=True))
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _frame(rows: list[dict[str, Any]]) -> polars.DataFrame:
    import polars as pl

    from nomade_pipeline.store.schema import polars_schema

    if not rows:
        return pl.DataFrame(schema=polars_schema(SIMILARITY_LIVE))
    return conform(pl.DataFrame(rows, infer_schema_length=None), SIMILARITY_LIVE)

"""The similarity graph of a UTC day: of the jobs of the window of days that ends with it, in three tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.vectors import Vectors, vectors_of
from nomade_pipeline.features.window import window_of
from nomade_pipeline.network.similarity import SimilarityGraph, similarity_graph
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.features import JOB_FEATURES, LEAST_MEASURED, VECTOR
from nomade_pipeline.tables.graph import SIMILARITY_EDGES, SIMILARITY_JOBS, SIMILARITY_TABLES, SIMILARITY_WINDOWS

if TYPE_CHECKING:
    import polars

# Quantities that are made from the outcome; a vector with one of them makes statements about outcomes circular.
FROM_THE_OUTCOME = frozenset({"health_score"})


@dataclass(frozen=True)
class Window:
    """The jobs of a window with their vectors, of one cluster.

    Attributes:
        cluster: whose jobs.
        day: last UTC day of the window.
        jobs: rows of `job_features`, sorted by key.
        vectors: theirs, in the same order.
    """

    cluster: str
    day: date
    jobs: polars.DataFrame
    vectors: Vectors

    @property
    def note(self) -> str | None:
        """Why there is no graph, in words; None where there is one."""
        dimensions = self.vectors.scaler.dimensions
        measured = int(self.vectors.scaler.informative.sum())
        if measured < LEAST_MEASURED:
            return f"{measured} of {len(dimensions)} measured: no similarity graph"
        if not self.vectors.eligible.any():
            return f"no job has {LEAST_MEASURED} of {len(dimensions)} measured: no similarity graph"
        return None


def dimensions_of(config: Config) -> tuple[str, ...]:
    """Return the quantities of the similarity vector."""
    return tuple(dict.fromkeys(config.similarity.dimensions)) or VECTOR


def similarity_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write the similarity graphs of the windows that end with a UTC day anew, for all clusters.

    The scaler is fitted on the window itself, so each day has its own.

    Returns:
        Figures to show, added up over the clusters; under ``without_graph`` the notes of those that have none.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    lake = store.lake
    windows = []
    for cluster in sorted({*lake.clusters(JOB_FEATURES), *lake.clusters(SIMILARITY_WINDOWS)}):
        jobs = window_of(lake, cluster, day, config.similarity.window_days)
        if jobs.is_empty() and not lake.has(SIMILARITY_WINDOWS, cluster, day):
            continue
        window = Window(cluster, day, jobs, vectors_of(jobs, dimensions_of(config), config.similarity.clip))
        tables = tables_of(window, config)
        for table in SIMILARITY_TABLES:
            lake.replace(table, cluster, day, tables[table.name])
        windows.append(tables[SIMILARITY_WINDOWS.name].row(0, named=True))
    sums = {name: sum(row[name] or 0 for row in windows) for name in ("jobs", "nodes", "edges", "hidden_edges")}
    notes = "; ".join(f"{row['cluster']}: {row['note']}" for row in windows if row["note"])
    return {**sums, **({"without_graph": notes} if notes else {})}


def tables_of(window: Window, config: Config) -> dict[str, polars.DataFrame]:
    """Return the three tables of a window by name."""
    graph = None
    if window.note is None:
        threshold = config.prediction.similarity_threshold
        graph = similarity_graph(window.vectors, config.similarity.neighbours, threshold)
    return {
        SIMILARITY_JOBS.name: _jobs(window, graph),
        SIMILARITY_EDGES.name: _edges(window, graph),
        SIMILARITY_WINDOWS.name: _window(window, graph, config),
    }


def _jobs(window: Window, graph: SimilarityGraph | None) -> polars.DataFrame:
    import polars as pl

    nowhere = np.full(window.jobs.height, -1, np.int32)
    node, degree = (graph.nodes.of_job, graph.degree) if graph else (nowhere, nowhere)
    frame = window.jobs.select("cluster", "job_id_raw", "submit_time", "failure_class").with_columns(
        sample_time=pl.lit(clock.start_of(window.day)),
        node=pl.Series(node, dtype=pl.Int32),
        measured=pl.Series(window.vectors.mask.sum(axis=1), dtype=pl.Int32),
        degree_at_threshold=pl.Series(degree, dtype=pl.Int32),
    )
    known = [pl.when(pl.col(name) >= 0).then(pl.col(name)).alias(name) for name in ("node", "degree_at_threshold")]
    return conform(frame.with_columns(known), SIMILARITY_JOBS)


def _edges(window: Window, graph: SimilarityGraph | None) -> polars.DataFrame:
    import polars as pl

    edges = graph.edges if graph else None
    columns = {name: getattr(edges, name) if edges else [] for name in ("first", "second", "weight")}
    frame = pl.DataFrame(columns).with_columns(
        cluster=pl.lit(window.cluster), sample_time=pl.lit(clock.start_of(window.day))
    )
    return conform(frame, SIMILARITY_EDGES)


def _window(window: Window, graph: SimilarityGraph | None, config: Config) -> polars.DataFrame:
    import polars as pl

    jobs, vectors = window.jobs, window.vectors
    row = {
        "cluster": window.cluster,
        "sample_time": clock.start_of(window.day),
        "first_time": jobs["sample_time"].min(),
        "last_time": jobs["sample_time"].max(),
        "jobs": jobs.height,
        "eligible_jobs": int(vectors.eligible.sum()),
        "measured_dimensions": int(vectors.scaler.informative.sum()),
        **(graph.figures if graph else {}),
        "threshold": config.prediction.similarity_threshold,
        "neighbours": config.similarity.neighbours,
        "clip": vectors.scaler.clip,
        "dimensions": json.dumps(vectors.scaler.dimensions),
        "scaler": json.dumps(vectors.scaler.as_dict()),
        "scaler_time": clock.start_of(window.day),
        "circular": not FROM_THE_OUTCOME.isdisjoint(vectors.scaler.dimensions),
        "note": window.note,
    }
    return conform(pl.DataFrame([row], infer_schema_length=None), SIMILARITY_WINDOWS)

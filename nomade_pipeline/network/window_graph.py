"""The jobs of a window and their similarity graph, read together from the lake."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.vectors import Scaler, Vectors, raw_matrix
from nomade_pipeline.features.window import window_of
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.graph import SIMILARITY_EDGES, SIMILARITY_JOBS, SIMILARITY_WINDOWS

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class WindowGraph:
    """A window of jobs, and their similarity graph.

    Attributes:
        cluster: whose jobs.
        day: last UTC day of the window.
        jobs: rows of `job_features`, with the ``node`` of each; null where it has none.
        vectors: the normalised vectors of the jobs, in their order.
        edges: the graph; without a node where there is none.
        circular: whether a dimension contains the outcome.
        note: why there is no graph; None when there is one.
    """

    cluster: str
    day: date
    jobs: polars.DataFrame
    vectors: Vectors
    edges: EdgeList
    circular: bool
    note: str | None

    @cached_property
    def node(self) -> Integers:
        """Node of each job; -1 for none."""
        return self.jobs["node"].fill_null(-1).to_numpy().astype(np.int64)

    @cached_property
    def classes(self) -> Integers:
        """Outcome class of each job; -1 where it is not known."""
        return self.jobs["failure_class"].fill_null(-1).to_numpy().astype(np.int64)

    @cached_property
    def jobs_of_node(self) -> Integers:
        """How many jobs each node stands for."""
        return np.bincount(self.node[self.node >= 0], minlength=self.edges.nodes)

    @cached_property
    def node_values(self) -> Floats:
        """Nodes × d, the vector of each node: that of any of its jobs."""
        values = np.zeros((self.edges.nodes, self.vectors.values.shape[1]))
        values[self.node[self.node >= 0]] = self.vectors.values[self.node >= 0]
        return values

    def quantity(self, name: str) -> Floats:
        """Return a quantity of the jobs; null as NaN."""
        values: Floats = self.jobs[name].fill_null(float("nan")).to_numpy().astype(float)
        return values

    def text(self, column: str) -> list[str]:
        """Return a text column of the jobs, null as an empty text."""
        return self.jobs[column].fill_null("").to_list()


def window_graphs(store: Store, config: Config, day: date) -> list[WindowGraph]:
    """Return the windows that end with a UTC day, of all clusters that have one.

    Raises:
        LakeError: a stored file cannot be read.
    """
    clusters = [
        name for name in store.lake.clusters(SIMILARITY_WINDOWS) if store.lake.has(SIMILARITY_WINDOWS, name, day)
    ]
    return [window_graph(store.lake, config, cluster, day) for cluster in sorted(clusters)]


def window_graph(lake: Lake, config: Config, cluster: str, day: date) -> WindowGraph:
    """Return the window of one cluster that ends with a UTC day that has one; see `window_graphs`."""
    import polars as pl

    window = lake.read_day(SIMILARITY_WINDOWS, cluster, day).row(0, named=True)
    placed = lake.read_day(SIMILARITY_JOBS, cluster, day)
    key = list(SIMILARITY_JOBS.key)
    jobs = window_of(lake, cluster, day, config.similarity.window_days)
    jobs = jobs.join(placed.select(*key, "node"), on=key, how="left", maintain_order="left")
    scaler = Scaler.from_dict(json.loads(window["scaler"]))
    vectors = Vectors(*scaler.apply(raw_matrix(jobs, scaler.dimensions)), scaler)
    rows = lake.read_day(SIMILARITY_EDGES, cluster, day).sort("first", "second")
    first, second = (rows[name].cast(pl.Int32).to_numpy() for name in ("first", "second"))
    edges = EdgeList(int(window["nodes"] or 0), first, second, rows["weight"].cast(pl.Float32).to_numpy())
    return WindowGraph(cluster, day, jobs, vectors, edges, bool(window["circular"]), window["note"])


def day_before(lake: Lake, table: Table, cluster: str, day: date, within: int) -> date | None:
    """Return the newest day before a day that holds a table, at most so many days back; None for none."""
    days = [each for each in lake.days(table, cluster) if day - timedelta(days=within) <= each < day]
    return max(days, default=None)


def write(store: Store, table: Table, window: WindowGraph, rows: polars.DataFrame | list[dict[str, object]]) -> int:
    """Put rows in the place of a window's partition of a table; return their number.

    Args:
        store: where.
        table: the contract.
        window: whose cluster and day the rows are given.
        rows: a frame, or rows by name; columns that are missing are null.

    Raises:
        LakeError: they cannot be written.
    """
    import polars as pl

    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, infer_schema_length=None)
    moment = pl.lit(clock.start_of(window.day)).alias("sample_time")
    frame = frame.with_columns(pl.lit(window.cluster).alias("cluster"), moment)
    if not frame.height:
        frame = frame.clear()
        frame = frame.with_columns(pl.lit(None).alias(name) for name in table.column_names if name not in frame.columns)
    return store.lake.replace(table, window.cluster, window.day, conform(frame, table))

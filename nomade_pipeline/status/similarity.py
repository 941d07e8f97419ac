"""What `nomade similarity` tells: the newest network of each cluster, and the jobs most like one job."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData
from nomade_pipeline.network.alike import most_like, row_of_job
from nomade_pipeline.network.similarity import SimilarityGraph, similarity_graph
from nomade_pipeline.network.simpson import simpson_graph
from nomade_pipeline.network.stored import StoredGraph, newest_days, stored_graph
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.network import GRAPH_STATISTICS

if TYPE_CHECKING:
    import polars

COSINE, SIMPSON = "cosine", "Simpson similarity"
HINT = "`nomade compute` makes it of ended jobs; Dagster does once a day"
_SHOWN = (
    "jobs",
    "eligible_jobs",
    "measured_dimensions",
    "nodes",
    "edges",
    "hidden_edges",
    "threshold",
    "neighbours",
    "degree_mean",
    "degree_median",
    "degree_max",
    "circular",
    "note",
)


def graphs(config: Config, cluster: str, threshold: float | None, *, simpson: bool) -> list[StoredGraph]:
    """Return the newest network of each cluster, or of one.

    Args:
        config: whose data folder is read.
        cluster: only of this; empty: of each.
        threshold: made anew with this threshold; None: as it is stored.
        simpson: made anew by Simpson similarity.

    Raises:
        NoData: there is none.
        LakeError: a stored file cannot be read.
    """
    lake = Lake(config.paths.lake)
    days = newest_days(lake, cluster)
    if not days:
        of = f" of cluster {cluster!r:.80}" if cluster else ""
        raise NoData(f"no similarity network{of} below {config.paths.root}", HINT)
    found = [stored_graph(lake, config, name, day) for name, day in days.items()]
    if threshold is None and not simpson:
        return found
    return [_made_anew(graph, threshold, simpson=simpson) for graph in found]


def _made_anew(graph: StoredGraph, threshold: float | None, *, simpson: bool) -> StoredGraph:
    """Return the network of the same window with another threshold or by another similarity."""
    if graph.window["note"]:
        return graph
    least = graph.window["threshold"] if threshold is None else threshold
    vectors, k = graph.vectors, graph.window["neighbours"]
    if simpson:
        made = simpson_graph(vectors.values, vectors.mask, vectors.eligible, k, least)
    else:
        made = similarity_graph(vectors, k, least)
    return _with(graph, made, least, same_nodes=not simpson)


def _with(graph: StoredGraph, made: SimilarityGraph, threshold: float, *, same_nodes: bool) -> StoredGraph:
    import polars as pl

    measure = COSINE if same_nodes else SIMPSON
    window = {**graph.window, **made.figures, "threshold": threshold, "measure": measure}
    node = pl.Series("node", made.nodes.of_job)
    jobs = graph.jobs.with_columns(node=pl.when(node >= 0).then(node))
    # Places belong to the stored nodes.
    layout = graph.layout if same_nodes else graph.layout.clear()
    return replace(graph, window=window, jobs=jobs, edges=made.edges, layout=layout)


def summaries(config: Config, cluster: str, threshold: float | None, *, simpson: bool) -> list[dict[str, Any]]:
    """Return what the newest network of each cluster is like; see `graphs`.

    Figures of `similarity_windows`, ``measure``, ``dimensions`` and ``statistics``: rows of `graph_statistics` of that
    day that were declared to decide.
    """
    lake = Lake(config.paths.lake)
    return [
        {
            "cluster": graph.cluster,
            "date": graph.day.isoformat(),
            "measure": graph.window.get("measure", COSINE),
            **{name: graph.window[name] for name in _SHOWN},
            "dimensions": json.loads(graph.window["dimensions"]),
            "statistics": _statistics(lake.read_day(GRAPH_STATISTICS, graph.cluster, graph.day)),
        }
        for graph in graphs(config, cluster, threshold, simpson=simpson)
    ]


def _statistics(rows: polars.DataFrame) -> list[dict[str, Any]]:
    import polars as pl

    shown = rows.filter(pl.col("declared") | (pl.col("statistic") == "assortativity"))
    return shown.select("statistic", "null_model", "observed", "effect", "p", "reading").to_dicts()


def find_similar(config: Config, job: str, cluster: str, most: int, threshold: float | None) -> dict[str, Any]:
    """Return the jobs most like one that is in the newest network of any cluster, or of one.

    Args:
        config: whose data folder is read.
        job: its number, plain or as people write it.
        cluster: only of this; empty: of each.
        most: so many similar jobs at most.
        threshold: least cosine; None: that of the network.

    Returns:
        ``cluster``, ``date``, ``threshold``, ``job`` and ``similar``; see `network.alike.most_like`.

    Raises:
        NoData: it is in none of them, or too little of it was measured.
    """
    for graph in graphs(config, cluster, None, simpson=False):
        row = row_of_job(graph, job)
        if row is None:
            continue
        if graph.node[row] < 0:
            why = graph.window["note"] or f"of job {job} fewer quantities were measured than a comparison needs"
            raise NoData(str(why), "`nomade job` shows what is known of it")
        least = graph.window["threshold"] if threshold is None else threshold
        about = graph.jobs.row(row, named=True)
        names = ("job_id_raw", "job_id", "submit_time", "user", "partition", "job_name", "failure_class", "community")
        return {
            "cluster": graph.cluster,
            "date": graph.day.isoformat(),
            "threshold": least,
            "job": {name: about[name] for name in names},
            "similar": most_like(graph, row, most, least),
        }
    raise NoData(
        f"job {job!r:.60} did not end in the window of a similarity network",
        "`nomade similarity` shows the windows, `[similarity] window_days` sets their length",
    )

"""The jobs most like one job, and in words what they share and in what they differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.features.vectors import Vectors, raw_matrix
from nomade_pipeline.network.kernel import exact_scores, unit_vectors
from nomade_pipeline.network.stored import StoredGraph
from nomade_pipeline.tables.features import QUANTITY

# Deviations from the window's mean from which on a quantity is called high or low, and that two values differ by.
NOTABLE, APART = 0.5, 1.0
# So many quantities are named.
MOST_SHARED, MOST_APART = 3, 2


def row_of_job(graph: StoredGraph, job: str) -> int | None:
    """Return the place of a job in the graph's jobs, by its plain or written number; its latest run; None for none."""
    import polars as pl

    called = (pl.col("job_id_raw") == job) | (pl.col("job_id") == job)
    runs = graph.jobs.with_row_index("row").filter(called).sort("submit_time")
    return int(runs["row"][-1]) if runs.height else None


def most_like(graph: StoredGraph, row: int, most: int, threshold: float) -> list[dict[str, Any]]:
    """Return the jobs that are most like one of the graph's jobs, the most similar first.

    Args:
        graph: with a node for that job.
        row: its place in the graph's jobs.
        most: so many at most.
        threshold: least cosine.

    Returns:
        The jobs' numbers, user, partition, name and class with ``cosine``, ``community``, ``shares`` and ``differs``.
    """
    units = unit_vectors(graph.node_values)[0]
    scores = exact_scores(units[graph.node[row]][None, :], units)[0]
    scores[graph.node[row]] = 1.0
    of_job = np.where(graph.node >= 0, scores[graph.node], -np.inf)
    of_job[row] = -np.inf
    order = np.lexsort((graph.node, -of_job))[:most]
    order = order[of_job[order] >= threshold]
    told = graph.jobs[order.tolist()].select(
        "job_id_raw", "job_id", "submit_time", "user", "partition", "job_name", "failure_class", "community"
    )
    raw = raw_matrix(graph.jobs, graph.vectors.scaler.dimensions)
    return [
        {
            **job,
            "cosine": round(float(min(1.0, of_job[other])), 4),
            "shares": shared(graph.vectors, row, other),
            "differs": apart(graph.vectors, raw, row, other),
        }
        for job, other in zip(told.iter_rows(named=True), order.tolist(), strict=True)
    ]


def shared(vectors: Vectors, one: int, other: int) -> list[str]:
    """Return what two jobs have in common beside the window's mean: `high avg iowait`; most important first."""
    both = vectors.values[one], vectors.values[other]
    together = both[0] * both[1]
    far = np.minimum(np.abs(both[0]), np.abs(both[1])) >= NOTABLE
    names = _first(vectors, together, far & (together > 0) & _known(vectors, one, other), MOST_SHARED)
    return [f"{'high' if both[0][place] > 0 else 'low'} {_label(name)}" for place, name in names]


def apart(vectors: Vectors, raw: Floats, one: int, other: int) -> list[str]:
    """Return in what two jobs differ most, with the values of both: `runtime minutes 3 / 41 min`."""
    difference = np.abs(vectors.values[one] - vectors.values[other])
    names = _first(vectors, difference, (difference >= APART) & _known(vectors, one, other), MOST_APART)
    return [
        f"{_label(name)} {raw[one, place]:.3g} / {raw[other, place]:.3g} {QUANTITY[name].unit}" for place, name in names
    ]


def _known(vectors: Vectors, one: int, other: int) -> Flags:
    known: Flags = vectors.mask[one] & vectors.mask[other]
    return known


def _first(vectors: Vectors, weight: Floats, chosen: Flags, most: int) -> list[tuple[int, str]]:
    """Return places and names of the chosen dimensions with the largest weights."""
    order: Integers = np.argsort(-weight, kind="stable")
    return [(int(place), vectors.scaler.dimensions[place]) for place in order if chosen[place]][:most]


def _label(name: str) -> str:
    return name.replace("_", " ")

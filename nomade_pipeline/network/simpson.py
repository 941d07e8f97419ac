"""Simpson similarity of jobs, the biogeographers' view: a job is a site, and each measured quantity's bin a species.

A quantity is cut at its quartiles over the window; a job holds one bin of each quantity that was measured of it.
Simpson's similarity of two jobs is the number of bins that both hold / the smaller number of bins that one holds
(Simpson 1943; Vilhena & Antonelli 2015), so that a job of which little was measured is not unlike for that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.kernel import BATCH, Neighbours, in_threads
from nomade_pipeline.network.similarity import Nodes, SimilarityGraph, collapse

BINS = 4
# Of a quantity that was not measured.
NO_BIN = 255

Codes = np.ndarray[Any, np.dtype[np.uint8]]


def species(values: Floats, mask: Flags) -> Codes:
    """Return the bin of each quantity of each job, n × d; `NO_BIN` where it was not measured.

    Args:
        values: n × d, see `Vectors`.
        mask: n × d, see there.
    """
    codes = np.full(values.shape, NO_BIN, np.uint8)
    for column, known in enumerate(mask.T):
        if known.any():
            cuts = np.quantile(values[known, column], np.arange(1, BINS) / BINS)
            codes[known, column] = np.searchsorted(cuts, values[known, column])
    return codes


def simpson_graph(values: Floats, mask: Flags, eligible: Flags, k: int, threshold: float) -> SimilarityGraph:
    """Return the graph of jobs by Simpson similarity: each node's nearest k of at least the threshold.

    Args:
        values: n × d, see `Vectors`.
        mask: n × d, see there.
        eligible: which jobs take part.
        k: nearest nodes that each node keeps; of equally similar ones those with smaller numbers.
        threshold: least similarity.
    """
    codes = species(values, mask)
    nodes = collapse(codes.astype(float), mask, eligible)
    directed, reached, jobs = _nearest(codes[nodes.first_job], nodes, k, threshold)
    edges = EdgeList.union(directed)
    hidden = int(reached.sum()) // 2 - len(edges.first)
    own = jobs + nodes.jobs - 1
    degree = np.where(nodes.of_job >= 0, own[nodes.of_job] if len(own) else -1, -1).astype(np.int32)
    edges = EdgeList(edges.nodes, edges.first, edges.second, edges.weight, hidden)
    return SimilarityGraph(nodes, edges, degree, len(nodes.jobs))


def _nearest(codes: Codes, nodes: Nodes, k: int, threshold: float) -> tuple[Neighbours, Any, Any]:
    """Return the nearest of each node, how many others reach the threshold, and how many jobs these are."""
    from nomade_pipeline.network.compiled import simpson_search

    size = len(codes)
    found = Neighbours(np.full((size, k), -1, np.int32), np.full((size, k), np.nan))
    reached, jobs = np.zeros(size, np.int32), np.zeros(size, np.int32)
    columns, held = np.ascontiguousarray(codes.T), (codes != NO_BIN).sum(axis=1).astype(np.int32)

    def answer(first: int) -> None:
        part = slice(first, min(first + BATCH, size))
        results = found.ids[part], found.scores[part], reached[part], jobs[part]
        simpson_search(columns, held, nodes.jobs, first, NO_BIN, threshold, results)

    in_threads(answer, list(range(0, size, BATCH)))
    return found, reached, jobs

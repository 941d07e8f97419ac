"""The similarity graph of a window of jobs: equal jobs as one node, nearest neighbours, and what the cap hides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.features.vectors import Vectors
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.kernel import Index, Ints, Neighbours, unit_vectors

# Of more nodes than this, the neighbours at the threshold are counted for a sample of so many.
COUNT_ALL_UP_TO, COUNTED_SAMPLE, SEED = 200_000, 20_000, 20261124


@dataclass(frozen=True)
class Nodes:
    """Jobs whose vectors (values and mask) are equal, put together.

    Attributes:
        of_job: node of each job; -1 for a job that takes no part.
        first_job: of each node the first of its jobs; nodes are numbered in the order of these.
        jobs: of each node the number of its jobs.
    """

    of_job: Ints
    first_job: Ints
    jobs: Ints


@dataclass(frozen=True)
class SimilarityGraph:
    """Jobs, the nodes that they are, and the edges between nodes.

    Attributes:
        nodes: which job is which node.
        edges: the union of what each node keeps.
        degree: of each job, jobs at or above the threshold; -1 where it is no node or was not counted.
        counted_nodes: nodes for which these were counted.
    """

    nodes: Nodes
    edges: EdgeList
    degree: Ints
    counted_nodes: int

    @property
    def figures(self) -> dict[str, int | float]:
        """The columns of `similarity_windows` that are null without a graph."""
        known = self.degree[self.degree >= 0]
        return {
            "nodes": self.edges.nodes,
            "edges": len(self.edges.first),
            "hidden_edges": self.edges.hidden,
            "counted_nodes": self.counted_nodes,
            "degree_mean": float(known.mean()),
            "degree_median": float(np.median(known)),
            "degree_max": int(known.max()),
        }


def collapse(values: Floats, mask: Flags, eligible: Flags) -> Nodes:
    """Put jobs with equal vectors and masks together.

    Args:
        values: n × d, see `Vectors`.
        mask: n × d, see there.
        eligible: which jobs take part, of n.
    """
    taking_part = np.flatnonzero(eligible).astype(np.int32)
    # Adding zero turns -0 into 0: they are equal, but their bytes are not.
    content = np.hstack([values[taking_part] + 0.0, mask[taking_part].astype(float)])
    rows = np.ascontiguousarray(content).view(np.dtype((np.void, content.shape[1] * content.itemsize))).ravel()
    _, first, group = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    of_job = np.full(len(values), -1, np.int32)
    of_job[taking_part] = rank[group]
    return Nodes(of_job, taking_part[first[order]], np.bincount(rank[group], minlength=len(order)).astype(np.int32))


def similarity_graph(vectors: Vectors, k: int, threshold: float) -> SimilarityGraph:
    """Return the similarity graph of the jobs of a window.

    Args:
        vectors: their vectors, in the order of the jobs' keys, which is that of the nodes.
        k: nearest nodes that each node keeps.
        threshold: least cosine of an edge.
    """
    nodes = collapse(vectors.values, vectors.mask, vectors.eligible)
    index = Index(*unit_vectors(vectors.values[nodes.first_job]))
    return graph_of(nodes, index, index.nearest(k, threshold), threshold)


def graph_of(nodes: Nodes, index: Index, directed: Neighbours, threshold: float) -> SimilarityGraph:
    """Return the graph of nodes whose nearest nodes are known, with what the cap on these hides counted."""
    size = len(nodes.jobs)
    counted = np.arange(size, dtype=np.int32)
    if size > COUNT_ALL_UP_TO:
        counted = np.sort(np.random.default_rng(SEED).choice(counted, COUNTED_SAMPLE, replace=False))
    degrees = index.degrees(threshold, nodes.jobs, counted)
    edges = EdgeList.union(directed)
    pairs = round(int(degrees.nodes.sum()) * (size / max(1, len(counted))) / 2)
    whole = np.full(size, -1, np.int32)
    # A job's neighbours are the jobs of the nodes near its own, and the others of its own node.
    whole[counted] = degrees.jobs + nodes.jobs[counted] - 1
    degree = np.where(nodes.of_job >= 0, whole[nodes.of_job] if size else -1, -1).astype(np.int32)
    hidden = max(0, pairs - len(edges.first))
    edges = EdgeList(size, edges.first, edges.second, edges.weight, hidden)
    return SimilarityGraph(nodes, edges, degree, len(counted))

"""The edge list of a network of jobs, between modules of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nomade_pipeline.network.kernel import Floats32, Ints, Neighbours

if TYPE_CHECKING:
    import scipy.sparse


@dataclass(frozen=True)
class EdgeList:
    """Undirected edges: the union of what each node keeps.

    Attributes:
        nodes: number of nodes, n.
        first, second: ends of each edge, ``first < second``, sorted; each pair once.
        weight: cosine of each.
        hidden: pairs at or above the threshold that are no edge, since for neither the other is among the nearest.
    """

    nodes: int
    first: Ints
    second: Ints
    weight: Floats32
    hidden: int = 0

    def csr(self) -> scipy.sparse.csr_array:
        """Return the symmetric n × n matrix of weights."""
        from scipy.sparse import coo_array

        ends = np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])
        weights = np.concatenate([self.weight, self.weight])
        return coo_array((weights, ends), shape=(self.nodes, self.nodes)).tocsr()

    @classmethod
    def union(cls, directed: Neighbours, hidden: int = 0) -> EdgeList:
        """Return the edges of which at least one end keeps the other.

        Args:
            directed: the nearest nodes of each node.
            hidden: see the attribute.
        """
        from nomade_pipeline.network.compiled import edges_by_first, fill_edges

        starts = np.concatenate([[0], np.cumsum(edges_by_first(directed.ids))])
        first, second = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
        weight = np.empty(starts[-1], np.float32)
        fill_edges(directed.ids, directed.scores, starts, first, second, weight)
        return cls(len(directed.ids), first, second, weight, hidden)

"""The edge list of a network of jobs, between modules of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse

    Ints = np.ndarray[Any, np.dtype[np.int32]]
    Floats32 = np.ndarray[Any, np.dtype[np.float32]]


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

"""The loop of the force-directed layout, compiled by numba. Called by `network.layout` only."""

from __future__ import annotations

from typing import Any

import numpy as np

from nomade_pipeline.network.compiled import compiled


@compiled()
def forces(at: Any, start: int, starts: Any, ends: Any, weights: Any, others: Any, pull: float, out: Any) -> None:
    """Write the forces on nodes ``start`` and after.

    Fruchterman and Reingold (1991): along an edge distance² / k, between all pairs k² / distance, here with k = 1. All
    pairs are stood for by a sample: the nodes ``others``, each for as many as there are nodes a sample.

    Args:
        at: nodes × 3, where they are.
        start: number of the first node.
        starts: first edge of each node, and the end.
        ends: other end of each edge.
        weights: of each edge.
        others: numbers of the sampled nodes.
        pull: how many nodes each sampled one stands for.
        out: forces on the nodes from ``start`` on.
    """
    for row in range(len(out)):
        i = start + row
        x, y, z = 0.0, 0.0, 0.0
        for edge in range(starts[i], starts[i + 1]):
            j = ends[edge]
            dx, dy, dz = at[j, 0] - at[i, 0], at[j, 1] - at[i, 1], at[j, 2] - at[i, 2]
            factor = weights[edge] * np.sqrt(dx * dx + dy * dy + dz * dz)
            x += factor * dx
            y += factor * dy
            z += factor * dz
        for j in others:
            dx, dy, dz = at[i, 0] - at[j, 0], at[i, 1] - at[j, 1], at[i, 2] - at[j, 2]
            # Nodes on one place do not push each other away in any direction.
            factor = pull / (dx * dx + dy * dy + dz * dz + 1e-4)
            x += factor * dx
            y += factor * dy
            z += factor * dz
        out[row, 0], out[row, 1], out[row, 2] = x, y, z

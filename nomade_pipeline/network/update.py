"""Neighbours brought up to date after some nodes came and others went, under the scaler that they were found with."""

from __future__ import annotations

from typing import Any

import numpy as np

from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.kernel import Index, Ints, Neighbours


def updated_neighbours(before: Neighbours, kept: Ints, index: Index, k: int, threshold: float) -> Neighbours:
    """Return the nearest nodes after some nodes came and others went: the same as from scratch, for less work.

    Args:
        before: the nearest of the nodes that there were, found with the same k, threshold and scaler.
        kept: of each node that there is now the number that it had, -1 for a new one; those that stay keep their order.
        index: the nodes that there are now.
        k: nearest nodes that each node keeps.
        threshold: least score of a neighbour.
    """
    stays = np.flatnonzero(kept >= 0)
    now = np.full(len(before.ids) + 1, -1, np.int32)  # the last entry is that of no neighbour
    now[kept[stays]] = stays
    ids = now[before.ids[kept[stays]]]
    lost = (ids < 0) & (before.ids[kept[stays]] >= 0)
    # A list that was full may have hidden what now belongs into it.
    again = lost.any(axis=1) & (before.ids[kept[stays], -1] >= 0)
    fresh = np.flatnonzero(kept < 0).astype(np.int32)
    result = Neighbours(np.full((len(kept), k), -1, np.int32), np.full((len(kept), k), np.nan))
    anew = np.concatenate([fresh, stays[again]]).astype(np.int32)
    found = index.nearest(k, threshold, anew)
    result.ids[anew], result.scores[anew] = found.ids, found.scores
    simple = stays[~again]
    held = Neighbours(ids[~again], np.where(lost, np.nan, before.scores[kept[stays]])[~again])
    added = index.part(fresh).nearest_of(index.rows[simple], k, threshold)
    joined = _merged(
        held, Neighbours(np.where(added.ids >= 0, fresh[added.ids] if len(fresh) else -1, -1), added.scores)
    )
    result.ids[simple], result.scores[simple] = joined.ids[:, :k], joined.scores[:, :k]
    return result


def _merged(some: Neighbours, more: Neighbours) -> Neighbours:
    """Return both lists of each node as one, nearest first, then by number; empty places last."""
    ids = np.hstack([some.ids, more.ids])
    scores = np.hstack([some.scores, more.scores])
    keys: Any = (ids, np.where(ids < 0, np.inf, -scores))
    order = np.lexsort(keys, axis=1)
    return Neighbours(np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1))


def directed_of(edges: EdgeList, index: Index, k: int) -> Neighbours:
    """Return the nearest nodes of each node from an edge list: its best k edges, since it holds all that a node keeps.

    Args:
        edges: made with the same k.
        index: its nodes; the scores are computed anew, since the list has them in float32 only.
        k: nearest nodes that each node keeps.
    """
    ends = np.concatenate([edges.first, edges.second]), np.concatenate([edges.second, edges.first])
    score = np.zeros(len(edges.first))
    for column in index.rows.T:
        score += column[edges.first] * column[edges.second]
    scores = np.concatenate([score, score])
    order = np.lexsort((ends[1], -scores, ends[0]))
    node = ends[0][order]
    rank = np.arange(len(node)) - np.searchsorted(node, node)
    ids, values = np.full((edges.nodes, k), -1, np.int32), np.full((edges.nodes, k), np.nan)
    best = rank < k
    ids[node[best], rank[best]] = ends[1][order][best]
    values[node[best], rank[best]] = scores[order][best]
    return Neighbours(ids, values)

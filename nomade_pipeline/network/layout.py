"""Where the nodes of the network lie: force-directed in three dimensions, and principal components.

Both are turned so that they lie as they did the day before.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.network.edges import EdgeList

SEED = 20261124
STEPS, STEPS_AGAIN = 120, 40
# Nodes that stand for all in the repulsion of one step; each step takes others.
SAMPLE = 200
# Longest move of the first step, of the layout's radius: at the first layout, and when it goes on from the day before.
HEAT, HEAT_AGAIN = 0.3, 0.03
# At 1 the parts of the network fill one ball; the smaller, the further they lie apart.
GRAVITY = 0.12


def principal_components(values: Floats, jobs: Integers) -> Floats:
    """Return nodes × 3 principal components, each job counted; with fewer dimensions the rest are 0.

    The sign of each is such that its largest loading is positive.
    """
    share = jobs / max(1, jobs.sum())
    centred = values - share @ values
    weights, axes = np.linalg.eigh(centred.T @ (centred * share[:, None]))
    axes = axes[:, np.argsort(-weights, kind="stable")[:3]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    placed = np.zeros((len(values), 3))
    placed[:, : axes.shape[1]] = centred @ axes
    return placed


def aligned(points: Floats, reference: Floats, shared: Flags, *, move: bool) -> Floats:
    """Return points turned, and mirrored if need be, onto reference points (orthogonal Procrustes).

    Args:
        points: n × 3.
        reference: n × 3; rows that are not ``shared`` are not looked at.
        shared: which points have a reference.
        move: whether the points may be shifted too.
    """
    if shared.sum() < 3:
        return points
    middle, goal = points[shared].mean(axis=0), reference[shared].mean(axis=0)
    if not move:
        middle = goal = np.zeros(points.shape[1])
    left, _, right = np.linalg.svd((points[shared] - middle).T @ (reference[shared] - goal))
    turned: Floats = (points - middle) @ (left @ right) + goal
    return turned


def force_directed(edges: EdgeList, start: Floats, before: Floats | None = None, seed: int = SEED) -> Floats:
    """Return nodes × 3 positions; the nodes' mean distance from the middle is 1.

    Args:
        edges: the similarity graph.
        start: nodes × 3, where they begin: their principal components.
        before: nodes × 3, where they lay the day before, NaN for new ones; None for no such day. New nodes begin among
            their neighbours.
        seed: of the random numbers.
    """
    if edges.nodes < 2:
        return np.zeros((edges.nodes, 3))
    random = np.random.default_rng(seed)
    rows = edges.csr().astype(np.float64)
    # A node has some 40 edges; without this each community would be a dot.
    rows = rows / max(1.0, 2 * len(edges.first) / edges.nodes)
    if before is None:
        before = np.full((edges.nodes, 3), np.nan)
    known: Flags = np.asarray(~np.isnan(before).any(axis=1))
    again = known.sum() >= 3
    at = _to_radius(start)
    if again:
        at = _filled(rows, aligned(at, before, known, move=True), before, known)
    at = at + 1e-3 * random.standard_normal(at.shape)
    # Fruchterman and Reingold's ideal distance is 1 here: as many nodes as there are need a ball of this radius.
    radius = edges.nodes ** (1 / 3)
    at = at * radius
    # Without a pull to the middle, parts that no edge connects fly apart.
    gravity = GRAVITY * radius
    steps, heat = (STEPS_AGAIN, HEAT_AGAIN) if again else (STEPS, HEAT)
    for step in range(steps):
        others = random.integers(0, edges.nodes, min(SAMPLE, edges.nodes))
        moved = _forces(rows, at, others) - gravity * at
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        longest = heat * radius * (1 - step / steps)
        at = at + moved * np.minimum(1.0, longest / np.maximum(length, 1e-12))
        at -= at.mean(axis=0)
    return aligned(_to_radius(at), before, known, move=True)


def _to_radius(points: Floats) -> Floats:
    """Return points around 0 whose mean distance from it is 1."""
    centred: Floats = points - points.mean(axis=0)
    radius = float(np.linalg.norm(centred, axis=1).mean())
    return centred / radius if radius > 0 else centred


def _filled(rows: Any, start: Floats, before: Floats, known: Flags) -> Floats:
    """Return the positions of the day before; a new node lies amid its neighbours that have one, else at its start."""
    at = np.where(known[:, None], before, 0.0)
    total = rows @ known.astype(float)
    amid = (rows @ at) / np.maximum(total, 1e-12)[:, None]
    filled: Floats = np.where(known[:, None], at, np.where(total[:, None] > 0, amid, start))
    return filled


def _forces(rows: Any, at: Floats, others: Integers) -> Floats:
    """Return the force on each node, computed on all processors."""
    from nomade_pipeline.network.compiled_forces import forces

    graph = rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data
    out = np.empty_like(at)
    threads = len(os.sched_getaffinity(0))
    bounds = np.linspace(0, len(at), threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        pull = len(at) / len(others)
        parts = [(int(first), out[first:end]) for first, end in pairwise(bounds)]
        list(pool.map(lambda part: forces(at, part[0], *graph, others, pull, part[1]), parts))
    return out

"""Distances between normalised vectors, exactly."""

from __future__ import annotations

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers

# Neighbours of a job that a distance or a ball is made of.
NEIGHBOURS = 5
# Beyond this many points the distances of a day cost minutes, and tell no more.
LARGEST = 20_000


def nearest(vectors: Floats, among: Floats, count: int) -> tuple[Floats, Integers]:
    """Return distance to, and row number of, the nearest points, nearest first.

    Args:
        vectors: n × d.
        among: m × d, at least one.
        count: how many of them, k; at most m are given.

    Returns:
        Two arrays n × k.
    """
    from sklearn.neighbors import NearestNeighbors

    size = min(count, len(among))
    if not len(vectors):
        return np.empty((0, size)), np.empty((0, size), np.int64)
    distances, rows = NearestNeighbors(n_neighbors=size, algorithm="brute").fit(among).kneighbors(vectors)
    return distances, rows


def distance_to(vectors: Floats, among: Floats) -> Floats:
    """Return the mean distance of each vector (n × d) to its `NEIGHBOURS` nearest among points (m × d)."""
    mean: Floats = nearest(vectors, among, NEIGHBOURS)[0].mean(axis=1)
    return mean


def at_most(rows: Floats, most: int, seed: int) -> Floats:
    """Return all rows (n × d), or ``most`` of them, chosen by a seed, in their order."""
    if len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))]

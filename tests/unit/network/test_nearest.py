"""Exact nearest neighbours: the same as brute force in numpy, whatever is skipped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomade_pipeline.network import kernel
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.kernel import Index, Neighbours, unit_vectors
from nomade_pipeline.network.update import directed_of, updated_neighbours

K = 5


def clustered(size: int, seed: int = 0, dimensions: int = 17, spread: float = 0.4) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1.5, (12, dimensions))
    return centres[random.integers(0, 12, size)] + spread * random.standard_normal((size, dimensions))


def scores_of(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The score by definition: added in the order of the dimensions, in float64."""
    total = np.zeros((len(queries), len(rows)))
    for d in range(rows.shape[1]):
        total += np.multiply.outer(queries[:, d], rows[:, d])
    return total


def brute_force(queries: np.ndarray, rows: np.ndarray, k: int, threshold: float, own: bool = True) -> Neighbours:
    scores = scores_of(queries, rows)
    directed = np.any(queries != 0, axis=1)[:, None] & np.any(rows != 0, axis=1)[None, :]
    scores[~directed] = -np.inf
    if own:
        np.fill_diagonal(scores, -np.inf)
    scores[scores < threshold] = -np.inf
    filler = np.full((len(queries), k), -np.inf)
    number = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.lexsort((number, -scores), axis=1)
    best = np.hstack([np.take_along_axis(scores, order, 1), filler])[:, :k]
    ids = np.hstack([order, np.zeros_like(filler, int)])[:, :k]
    return Neighbours(np.where(best > -np.inf, ids, -1), np.where(best > -np.inf, best, np.nan))


def same(found: Neighbours, wanted: Neighbours) -> bool:
    return np.array_equal(found.ids, wanted.ids) and np.array_equal(found.scores, wanted.scores, equal_nan=True)


@pytest.fixture(autouse=True)
def small_cells(monkeypatch):
    """Cells so small that a few hundred points have many, and that much is skipped."""
    monkeypatch.setattr(kernel, "CELL_POINTS", 16)


@pytest.mark.parametrize("threshold", [-1.0, -0.3, 0.0, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("dimensions", [1, 2, 6, 7, 17, 19])
def test_the_neighbours_are_those_of_brute_force(threshold, dimensions):
    rows, directed = unit_vectors(clustered(500, dimensions=dimensions))
    assert same(Index(rows, directed).nearest(K, threshold), brute_force(rows, rows, K, threshold))


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(1, 60),
    dimensions=st.integers(1, 8),
    k=st.integers(1, 9),
    threshold=st.sampled_from([-1.0, 0.0, 0.5, 0.7, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_equal_scores_go_by_number_and_vectors_without_a_direction_have_no_neighbours(
    size, dimensions, k, threshold, seed
):
    """Values of a coarse grid: many scores are equal, and some vectors are zero."""
    values = np.random.default_rng(seed).integers(-1, 2, (size, dimensions)).astype(float)
    rows, directed = unit_vectors(values)
    index = Index(rows, directed)
    found = index.nearest(k, threshold)
    assert same(found, brute_force(rows, rows, k, threshold))
    assert (found.ids[~directed] == -1).all()
    weights = np.random.default_rng(seed).integers(1, 5, size).astype(np.int32)
    reach = brute_force(rows, rows, size, threshold).ids
    degrees = index.degrees(threshold, weights)
    assert np.array_equal(degrees.nodes, (reach >= 0).sum(axis=1))
    assert np.array_equal(degrees.jobs, np.where(reach >= 0, weights[reach], 0).sum(axis=1))


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.7, 0.99])
def test_all_that_reach_the_threshold_are_counted_and_cells_that_lie_above_it_are_counted_whole(threshold):
    rows, directed = unit_vectors(clustered(600, spread=0.1))
    weights = np.arange(1, 601, dtype=np.int32)
    reach = scores_of(rows, rows) >= threshold
    np.fill_diagonal(reach, val=False)
    some = np.array([3, 77, 401], np.int32)
    found, of_some = (
        Index(rows, directed).degrees(threshold, weights),
        Index(rows, directed).degrees(threshold, weights, some),
    )
    assert np.array_equal(found.nodes, reach.sum(axis=1))
    assert np.array_equal(found.jobs, reach @ weights)
    assert np.array_equal(of_some.jobs, found.jobs[some])


def test_vectors_from_outside_find_the_points_nearest_to_them():
    rows, directed = unit_vectors(clustered(400))
    queries, _ = unit_vectors(np.vstack([clustered(30, seed=9), np.zeros(17)]))
    assert same(Index(rows, directed).nearest_of(queries, K, 0.7), brute_force(queries, rows, K, 0.7, own=False))


def test_an_index_without_a_point_answers_that_there_is_none():
    empty = Index(*unit_vectors(np.empty((0, 17))))
    assert empty.nearest(K, 0.7).ids.shape == (0, K)
    assert (empty.nearest_of(np.eye(17)[:2], K, 0.7).ids == -1).all()


def test_the_edges_are_the_union_of_what_either_end_keeps_sorted_and_each_once():
    rows, directed = unit_vectors(clustered(300))
    found = Index(rows, directed).nearest(K, 0.7)
    edges = EdgeList.union(found)
    pairs = {(min(a, b), max(a, b)) for a, row in enumerate(found.ids.tolist()) for b in row if b >= 0}
    assert list(zip(edges.first.tolist(), edges.second.tolist(), strict=True)) == sorted(pairs)
    assert np.array_equal(edges.weight, scores_of(rows, rows)[edges.first, edges.second].astype(np.float32))
    assert same(directed_of(edges, Index(rows, directed), K), found)


@settings(max_examples=25, deadline=None)
@given(gone=st.integers(0, 40), fresh=st.integers(0, 40), seed=st.integers(0, 1000), coarse=st.booleans())
def test_an_update_gives_what_a_search_from_scratch_gives(gone, fresh, seed, coarse):
    random = np.random.default_rng(seed)
    values = clustered(80 + fresh, seed=seed, dimensions=5)
    if coarse:
        values = np.round(values)
    came = np.sort(random.choice(80 + fresh, fresh, replace=False))
    before = np.setdiff1d(np.arange(80 + fresh), came)
    stays = np.sort(random.choice(before, 80 - gone, replace=False))
    now = np.sort(np.concatenate([stays, came]))
    kept = np.where(np.isin(now, stays), np.searchsorted(before, now), -1)
    old = Index(*unit_vectors(values[before])).nearest(K, 0.7)
    index = Index(*unit_vectors(values[now]))
    assert same(updated_neighbours(old, kept, index, K, 0.7), index.nearest(K, 0.7))

"""Simpson similarity: bins of quantities as species, and the same neighbours as a table of all pairs gives."""

from __future__ import annotations

import numpy as np
import pytest
from support.features import features_of

from nomade_pipeline.features.vectors import vectors_of
from nomade_pipeline.network.simpson import NO_BIN, simpson_graph, species


def table_of(codes: np.ndarray) -> np.ndarray:
    known = codes != NO_BIN
    same = (codes[:, None, :] == codes[None, :, :]) & known[:, None, :] & known[None, :, :]
    held = known.sum(axis=1)
    return same.sum(axis=2) / np.minimum.outer(held, held)


def test_a_quantity_is_cut_at_its_quartiles_and_what_was_not_measured_is_no_species():
    values = np.arange(8.0)[:, None] * np.ones(2)
    mask = np.ones((8, 2), bool)
    mask[:3, 1] = False
    codes = species(values, mask)
    assert codes[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert codes[:3, 1].tolist() == [NO_BIN] * 3


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
def test_the_network_is_that_of_a_table_of_all_pairs(threshold):
    random = np.random.default_rng(1)
    values = random.integers(0, 5, (90, 6)).astype(float)
    mask = random.random((90, 6)) < 0.8
    eligible = mask.sum(axis=1) >= 2
    graph = simpson_graph(values, mask, eligible, 4, threshold)
    codes = species(values, mask)[graph.nodes.first_job]
    pairs = table_of(codes)
    np.fill_diagonal(pairs, -1)
    order = np.lexsort((np.broadcast_to(np.arange(len(pairs)), pairs.shape), -pairs), axis=1)[:, :4]
    kept = {
        (min(node, other), max(node, other))
        for node, row in enumerate(order.tolist())
        for other in row
        if pairs[node, other] >= threshold
    }
    assert set(zip(graph.edges.first.tolist(), graph.edges.second.tolist(), strict=True)) == kept
    assert graph.edges.hidden == (pairs >= threshold).sum() // 2 - len(kept)
    reached = (pairs >= threshold) @ graph.nodes.jobs + graph.nodes.jobs - 1
    assert (graph.degree[eligible] == reached[graph.nodes.of_job[eligible]]).all()
    assert (graph.degree[~eligible] == -1).all()


def test_jobs_of_one_profile_are_more_alike_than_jobs_of_two():
    vectors = vectors_of(features_of(80))
    graph = simpson_graph(vectors.values, vectors.mask, vectors.eligible, 5, 0.0)
    profile = np.arange(80)[graph.nodes.first_job] % 4
    assert (profile[graph.edges.first] == profile[graph.edges.second]).mean() > 0.9

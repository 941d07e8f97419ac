"""Communities, how firmly jobs belong to them, and their numbers from day to day."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.planted import nearest_edges, planted_jobs

from nomade_pipeline.network.communities import (
    APART,
    LEAST_JOBS,
    Incidence,
    agreement,
    by_size,
    data_space,
    edge_weights,
    membership_of,
    real_space,
)
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.identity import identify

ONE = np.ones(2000, np.int64)


@pytest.fixture(scope="module")
def planted() -> tuple[EdgeList, np.ndarray]:
    jobs = planted_jobs(2000, seed=1, spread=1.5)
    return nearest_edges(jobs.vectors.values), jobs.profile


def test_planted_profiles_are_recovered_and_seeds_agree(planted) -> None:
    edges, profile = planted
    by_seed = [data_space(edges, ONE, seed) for seed in (1, 2, 3)]
    assert min(agreement(labels, profile) for labels in by_seed) >= 0.9
    assert min(agreement(by_seed[0], labels) for labels in by_seed[1:]) >= 0.9


def test_the_same_seed_gives_the_same_communities(planted) -> None:
    edges, _ = planted
    assert np.array_equal(data_space(edges, ONE, 7), data_space(edges, ONE, 7))


def test_few_jobs_stand_apart_and_equal_jobs_count_for_the_size() -> None:
    labels = by_size(np.array([5, 5, 3, 4]), np.array([4, 5, 30, LEAST_JOBS]))
    assert labels.tolist() == [APART, APART, 0, 1]


def test_infomap_finds_jobs_that_share_nodes_and_is_the_same_in_each_run() -> None:
    random = np.random.default_rng(0)
    half = np.repeat([0, 1], 50)
    resource = np.concatenate([half, 2 + 3 * half + random.integers(0, 3, 100)])
    incidence = Incidence(np.tile(np.arange(100), 2), resource, np.ones(200), 100, 8)
    groups, resources = real_space(incidence)
    assert agreement(groups, half) == pytest.approx(1)
    assert len(set(resources[2:5]) | {resources[0]}) == 1
    assert np.array_equal(groups, real_space(incidence)[0])


def test_nothing_to_divide_is_no_error() -> None:
    nobody = np.zeros(0, np.int64)
    empty = EdgeList(0, nobody.astype(np.int32), nobody.astype(np.int32), np.zeros(0, np.float32))
    assert len(data_space(empty, nobody)) == 0
    groups, resources = real_space(Incidence(nobody, nobody, np.zeros(0), 3, 0))
    assert groups.tolist() == [APART] * 3
    assert len(resources) == 0
    assert agreement(groups, groups) is None
    alone = membership_of(np.zeros((3, 0)), groups)
    assert np.isnan(alone.own_share).all()
    assert not alone.in_transition.any()


def test_a_bridge_between_two_communities_is_in_transition() -> None:
    ends = np.array([[0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5], [2, 6], [3, 6]], np.int32)
    edges = EdgeList(7, ends[:, 0], ends[:, 1], np.ones(8, np.float32))
    labels = np.array([0, 0, 0, 1, 1, 1, 0])
    membership = membership_of(edge_weights(edges, labels), labels)
    assert membership.own_share[6] == pytest.approx(0.5)
    assert membership.participation[6] == pytest.approx(0.5)
    assert membership.second[6] == 1
    assert membership.in_transition.tolist() == [False, False, False, True, False, False, True]
    assert membership.second[0] == APART


def test_communities_keep_their_numbers_and_new_ones_get_new_numbers() -> None:
    before = np.array([4] * 10 + [7] * 10 + [9] * 3)
    today = np.array([1] * 9 + [0] * 11 + [APART] * 3)
    found = identify(today, before, 3, 9)
    assert found.numbers.tolist() == [7, 4, 10]
    assert found.given == 10
    assert found.stability[:2] == pytest.approx([10 / 11, 0.9])
    assert np.isnan(found.stability[2])


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=60), st.integers(0, 2**16))
def test_no_two_communities_ever_have_one_number(labels: list[int], seed: int) -> None:
    before = np.random.default_rng(seed).integers(-1, 4, len(labels))
    found = identify(np.array(labels), before, 6, 20)
    assert len(set(found.numbers.tolist())) == 6
    assert APART not in found.numbers
    same = identify(np.array(labels), np.array(labels), 6, 20)
    present = sorted(set(labels) - {APART})
    assert same.numbers[present].tolist() == present

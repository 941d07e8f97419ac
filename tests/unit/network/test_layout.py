"""Positions of the nodes: near each other where jobs are alike, and where they were the day before."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.planted import nearest_edges, planted_jobs

from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.layout import aligned, force_directed, principal_components

JOBS = 600
ONE = np.ones(JOBS, np.int64)


@pytest.fixture(scope="module")
def placed():
    jobs = planted_jobs(JOBS, seed=2)
    edges = nearest_edges(jobs.vectors.values)
    return jobs, edges, force_directed(edges, principal_components(jobs.vectors.values, ONE))


def test_jobs_of_a_profile_lie_together(placed) -> None:
    jobs, _, at = placed
    distance = np.linalg.norm(at[:, None] - at[None], axis=2)
    same = jobs.profile[:, None] == jobs.profile[None]
    assert distance[same].mean() < 0.25 * distance[~same].mean()
    assert np.linalg.norm(at, axis=1).mean() == pytest.approx(1, abs=0.01)


def test_the_layout_is_the_same_in_each_run(placed) -> None:
    jobs, edges, at = placed
    assert np.array_equal(at, force_directed(edges, principal_components(jobs.vectors.values, ONE)))


def test_jobs_of_the_day_before_hardly_move(placed) -> None:
    jobs, _, at = placed
    today = jobs.last(JOBS - 60).followed_by(planted_jobs(60, seed=7))
    before = np.full((JOBS, 3), np.nan)
    before[:-60] = at[60:]
    values = today.vectors.values
    moved = np.linalg.norm(
        force_directed(nearest_edges(values), principal_components(values, ONE), before) - before, axis=1
    )
    assert np.median(moved[:-60]) < 0.15
    assert np.quantile(moved[:-60], 0.95) < 0.4


def test_a_turned_and_mirrored_layout_is_turned_back() -> None:
    reference = np.random.default_rng(1).standard_normal((40, 3))
    turned = reference @ Rotation.from_euler("xyz", [1.0, 2.0, 0.5]).as_matrix() * [1, 1, -1] + 3.0
    shared = np.arange(40) < 20
    assert np.allclose(aligned(turned, reference, shared, move=True), reference)
    assert np.array_equal(aligned(turned, reference, shared & (np.arange(40) < 2), move=True), turned)


def test_principal_components_have_a_fixed_sign_and_count_each_job() -> None:
    values = planted_jobs(200, seed=5).vectors.values
    several = np.random.default_rng(0).integers(1, 4, 200)
    whole = np.repeat(np.arange(200), several)
    assert np.allclose(
        principal_components(values, several)[whole], principal_components(values[whole], np.ones(len(whole)))
    )
    spread = principal_components(values, np.ones(200)).std(axis=0)
    assert spread[0] >= spread[1] >= spread[2]


@pytest.mark.parametrize("nodes", [0, 1, 2])
def test_hardly_any_node_is_no_error(nodes: int) -> None:
    ends = np.zeros(0, np.int32)
    at = force_directed(EdgeList(nodes, ends, ends, np.zeros(0, np.float32)), np.zeros((nodes, 3)))
    assert at.shape == (nodes, 3)
    assert np.isfinite(at).all()

"""The cloud on planted jobs: atoms, bounds, relations, nulls, and that it is neither told apart nor a copy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.profiles import planted

from nomade_pipeline.features.vectors import Scaler
from nomade_pipeline.simulation.cells import Cell
from nomade_pipeline.simulation.cloud import Cloud
from nomade_pipeline.simulation.marginals import NULL, SMOOTH, Marginal
from nomade_pipeline.simulation.relations import impose, relations_in
from nomade_pipeline.simulation.validation import copies, correlation_gap, two_sample_auc
from nomade_pipeline.tables.features import QUANTITY, VECTOR

PLACE = {name: number for number, name in enumerate(VECTOR)}


@pytest.fixture(scope="module")
def train() -> np.ndarray:
    return planted(3000, 1)[0]


@pytest.fixture(scope="module")
def cloud(train: np.ndarray) -> Cloud:
    return Cloud.fit(train, Scaler.fit(train, VECTOR, 5.0), seed=3)


def test_a_classifier_hardly_tells_the_cloud_from_jobs_that_it_has_not_seen(cloud: Cloud) -> None:
    fresh = planted(3000, 2)[0]
    assert two_sample_auc(cloud.sample(3000, 4)[0], fresh, 0).value < 0.57


def test_it_is_no_copy_of_the_jobs_that_it_was_fitted_to(cloud: Cloud, train: np.ndarray) -> None:
    fresh = planted(3000, 2)[0]
    assert copies(train, train, cloud.scaler) == 1.0
    assert copies(cloud.sample(3000, 4)[0], train, cloud.scaler) < copies(fresh, train, cloud.scaler) + 0.01


def test_the_correlations_are_those_of_the_jobs(cloud: Cloud, train: np.ndarray) -> None:
    fresh = planted(3000, 2)[0]
    assert correlation_gap(cloud.sample(3000, 4)[0], fresh) < 2 * correlation_gap(train, fresh)


def test_the_same_seed_draws_the_same_jobs_and_another_one_others(cloud: Cloud) -> None:
    first, again, other = (cloud.sample(200, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


def test_shares_of_atoms_and_of_nulls_are_those_of_the_jobs(cloud: Cloud, train: np.ndarray) -> None:
    drawn = cloud.sample(6000, 4)[0]
    for value in (0.0, 1.0, 100.0):
        np.testing.assert_allclose((drawn == value).mean(axis=0), (train == value).mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.isnan(drawn).mean(axis=0), np.isnan(train).mean(axis=0), atol=0.02)


def test_every_quantity_keeps_its_bounds_and_relations(cloud: Cloud, train: np.ndarray) -> None:
    drawn = cloud.sample(6000, 4)[0]
    for name, column in zip(VECTOR, drawn.T, strict=True):
        known = column[~np.isnan(column)]
        assert known.min() >= 0.0, name
        assert known.max() <= (QUANTITY[name].maximum or np.inf), name
    assert len(cloud.relations) == 3
    assert relations_in(drawn, VECTOR) == cloud.relations


def test_a_stored_model_draws_the_same_jobs(cloud: Cloud) -> None:
    first, cells = cloud.sample(300, 9)
    again, same_cells = Cloud.from_json(cloud.as_json()).sample(300, 9)
    np.testing.assert_array_equal(cells, same_cells)
    np.testing.assert_allclose(first, again, rtol=1e-3, atol=1e-3)


def test_communities_may_be_the_cells(train: np.ndarray) -> None:
    labels = np.where(np.arange(len(train)) % 3 == 0, 7, 2)
    cloud = Cloud.fit(train, Scaler.fit(train, VECTOR, 5.0), seed=3, labels=labels)
    assert [cell.jobs for cell in cloud.cells] == [2000, 1000]


def test_a_window_of_equal_jobs_is_one_cell_that_draws_these_jobs() -> None:
    job = planted(1, 1)[0]
    raw = np.repeat(job, 500, axis=0)
    drawn, cells = Cloud.fit(raw, Scaler.fit(raw, VECTOR, 5.0), seed=1).sample(50, 1)
    np.testing.assert_allclose(drawn, raw[:50])
    assert not cells.any()


def test_a_quantity_whose_relation_does_not_hold_in_the_jobs_is_left_as_drawn(train: np.ndarray) -> None:
    raw = train.copy()
    raw[:, PLACE["write_intensity"]] = 3.0
    assert "write_intensity" not in {relation[0] for relation in relations_in(raw, VECTOR)}


def test_mean_and_peak_change_places_where_they_are_the_wrong_way_round() -> None:
    raw = np.array([[5.0, 3.0], [1.0, 2.0], [np.nan, 4.0]])
    found = impose([("avg_iowait", "peak_iowait")], raw, ("avg_iowait", "peak_iowait"))
    np.testing.assert_array_equal(found, [[3.0, 5.0], [1.0, 2.0], [np.nan, 4.0]])


def test_atoms_are_values_that_many_jobs_have_exactly() -> None:
    values = np.concatenate([np.zeros(30), np.full(2, 5.0), np.linspace(1, 2, 68)])
    marginal = Marginal.fit(values)
    np.testing.assert_array_equal(marginal.atoms, [0.0])
    np.testing.assert_array_equal(marginal.states(np.array([0.0, 5.0, np.nan])), [1, SMOOTH, NULL])
    drawn = marginal.values(np.array([1, SMOOTH, NULL]), np.array([0.5, 0.5, 0.5]))
    assert drawn[0] == 0.0
    assert 1.0 < drawn[1] < 2.0
    assert np.isnan(drawn[2])


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(
        st.lists(st.one_of(st.floats(0, 1e6), st.just(0.0), st.just(float("nan"))), min_size=3, max_size=3),
        min_size=1,
        max_size=40,
    ),
    count=st.integers(0, 30),
)
def test_any_jobs_can_be_fitted_and_drawn_from_within_their_range(values: list[list[float]], count: int) -> None:
    jobs = np.array(values)
    drawn = Cell.fit(jobs).sample(count, np.random.default_rng(0))
    assert drawn.shape == (count, 3)
    for column, own in zip(drawn.T, jobs.T, strict=True):
        known = own[~np.isnan(own)]
        assert np.isnan(column).all() or (known.min() <= np.nanmin(column) and np.nanmax(column) <= known.max())

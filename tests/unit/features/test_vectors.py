"""From quantities to normalised vectors: what is measured counts, what is not measured is the mean and says so."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nomade_pipeline.features.vectors import Scaler, raw_matrix, transformed, vectors_of
from nomade_pipeline.tables.features import LEAST_MEASURED, QUANTITIES, QUANTITY, VECTOR

VALUES = st.one_of(st.just(float("nan")), st.floats(0, 1e9))


def jobs(**columns: list[float | None]) -> pl.DataFrame:
    """Return jobs with some quantities; the others are null."""
    height = len(next(iter(columns.values())))
    return pl.DataFrame(
        {name: columns.get(name, [None] * height) for name in VECTOR}, schema=dict.fromkeys(VECTOR, pl.Float64)
    )


def test_the_vector_has_seventeen_dimensions_without_flags_and_without_the_outcome():
    assert len(VECTOR) == 17
    assert {quantity.name for quantity in QUANTITIES} - set(VECTOR) == {"health_score", "used_gpu", "had_swap"}


def test_a_null_becomes_the_mean_and_the_mask_says_so():
    found = vectors_of(jobs(avg_iowait=[10.0, None, 30.0], nfs_ratio=[0.0, 0.5, 1.0]))
    column = VECTOR.index("avg_iowait")
    assert found.values[:, column] == pytest.approx([-1, 0, 1])
    assert found.mask[:, column].tolist() == [True, False, True]


def test_a_quantity_that_never_varies_is_no_dimension():
    found = vectors_of(jobs(avg_iowait=[7.0, 7.0, 7.0], nfs_ratio=[0.0, 0.5, 1.0]))
    column = VECTOR.index("avg_iowait")
    assert not found.scaler.informative[column]
    assert not found.mask[:, column].any()
    assert not found.values[:, column].any()


def test_heavy_tails_are_taken_as_logarithms_and_others_as_they_are():
    raw = np.array([[99.0, 99.0]])
    assert transformed(raw, ["total_write_gb", "avg_iowait"]).tolist() == [[np.log(100.0), 99.0]]


def test_values_are_clipped_where_the_configuration_says():
    found = vectors_of(jobs(avg_iowait=[0.0] * 99 + [100.0], nfs_ratio=[0.0, 1.0] * 50), clip=2.0)
    assert found.values.max() == 2.0


def test_a_job_takes_part_from_five_measured_quantities_on():
    names = VECTOR[:LEAST_MEASURED]
    full: dict[str, list[float | None]] = {name: [0.0, 1.0, 2.0] for name in names}
    assert vectors_of(jobs(**full)).eligible.all()
    assert vectors_of(jobs(**{**full, names[0]: [None, 1.0, 2.0]})).eligible.tolist() == [False, True, True]


def test_flags_are_numbers_in_a_configured_vector():
    rows = pl.DataFrame({"used_gpu": [True, False, None], "avg_iowait": [1.0, 2.0, 3.0]})
    assert raw_matrix(rows, ["used_gpu", "avg_iowait"])[:2, 0].tolist() == [1.0, 0.0]
    assert np.isnan(raw_matrix(rows, ["used_gpu"])[2, 0])


@given(arrays(np.float64, (6, 3), elements=VALUES))
def test_normalised_values_are_finite_within_the_clip_and_null_is_zero(raw: np.ndarray):
    scaler = Scaler.fit(raw, VECTOR[:3], clip=5.0)
    values, mask = scaler.apply(raw)
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 5.0
    assert not values[~mask].any()
    assert not mask[np.isnan(raw)].any()


@given(arrays(np.float64, (6, 4), elements=st.floats(0, 1e6)))
def test_what_is_not_clipped_comes_back_in_its_units(raw: np.ndarray):
    scaler = Scaler.fit(raw, VECTOR[:4], clip=1e9)
    back = scaler.restore(scaler.apply(raw)[0])
    assert back[:, scaler.informative] == pytest.approx(raw[:, scaler.informative], rel=1e-6, abs=1e-6)


def test_a_scaler_survives_being_written_down():
    scaler = Scaler.fit(np.array([[1.0, np.nan], [3.0, np.nan]]), VECTOR[:2], clip=4.0)
    again = Scaler.from_dict(scaler.as_dict())
    assert again.dimensions == scaler.dimensions
    assert again.clip == 4.0
    np.testing.assert_array_equal(again.mean, scaler.mean)
    np.testing.assert_array_equal(again.spread, scaler.spread)


def test_no_jobs_give_no_vectors():
    found = vectors_of(jobs(avg_iowait=[]))
    assert found.values.shape == (0, 17)
    assert not found.scaler.informative.any()


def test_each_quantity_is_found_by_its_name():
    assert all(QUANTITY[quantity.name] is quantity for quantity in QUANTITIES)

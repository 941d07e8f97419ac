"""Means and maxima over many intervals at once are those that a loop over the samples gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.features.intervals import Samples, range_maxima


def minutes(*values: float, gap_after: int | None = None) -> Samples:
    """Return samples of a minute each from second 0 on, with an hour's gap after one of them; NaN is null."""
    starts = 60.0 * np.arange(len(values))
    if gap_after is not None:
        starts[gap_after + 1 :] += 3600
    column = np.array(values, float)[:, None]
    weights = np.where(np.isnan(column), 0.0, 60.0)
    return Samples(
        starts,
        starts + 60,
        weights,
        np.nan_to_num(column),
        np.where(np.isnan(column), -np.inf, column),
    )


def mean(samples: Samples, begin: float, end: float) -> tuple[float, float]:
    """Return the mean over one interval and the time that was measured."""
    integral, seconds = samples.integrals(np.array([begin]), np.array([end]))
    return float(integral[0, 0] / seconds[0, 0]) if seconds[0, 0] else float("nan"), float(seconds[0, 0])


def peak(samples: Samples, begin: float, end: float) -> float:
    return float(samples.maxima(np.array([begin]), np.array([end]))[0, 0])


def test_a_sample_counts_by_the_time_that_it_shares_with_the_run():
    # Half of the first minute at 10 and the whole of the second at 40: (30 x 10 + 60 x 40) / 90.
    assert mean(minutes(10, 40, 99), 30, 120) == (30.0, 90.0)


def test_within_one_sample_its_value_is_the_mean():
    assert mean(minutes(10, 40), 70, 80) == (40.0, 10.0)


def test_a_gap_counts_for_nothing():
    assert mean(minutes(10, 40, gap_after=0), 0, 3720) == (25.0, 120.0)


def test_a_null_is_no_zero_and_no_time():
    assert mean(minutes(10, float("nan"), 30), 0, 180) == (20.0, 120.0)
    assert peak(minutes(float("nan"), -5), 0, 120) == -5


@pytest.mark.parametrize(("begin", "end"), [(-100, -50), (500, 600), (60, 60), (90, 30), (float("nan"), 60)])
def test_outside_of_the_samples_and_without_length_nothing_is_measured(begin: float, end: float):
    value, seconds = mean(minutes(1, 2), begin, end)
    assert np.isnan(value)
    assert not seconds > 0


def test_a_peak_counts_where_the_middle_of_its_sample_lies_in_the_run():
    samples = minutes(90, 10, 20)
    assert peak(samples, 31, 180) == 20
    assert peak(samples, 29, 180) == 90


def test_a_run_shorter_than_a_sample_takes_the_samples_that_it_touches():
    assert peak(minutes(90, 10), 40, 50) == 90
    assert peak(minutes(10, 90), 55, 65) == 90
    assert peak(minutes(10, 90), 500, 510) == -np.inf


@given(
    st.lists(st.one_of(st.just(float("nan")), st.floats(0, 100)), min_size=1, max_size=40),
    st.lists(st.tuples(st.floats(-100, 3000), st.floats(0.1, 2000)), min_size=1, max_size=20),
)
def test_many_intervals_at_once_are_what_a_loop_over_the_samples_gives(values, asked):
    samples = minutes(*values, gap_after=len(values) // 2)
    begin = np.array([first for first, _ in asked])
    end = begin + np.array([length for _, length in asked])
    integrals, seconds = samples.integrals(begin, end)
    for place in range(len(asked)):
        shared = np.clip(np.minimum(samples.ends, end[place]) - np.maximum(samples.starts, begin[place]), 0, None)
        known = samples.weights[:, 0] > 0
        assert seconds[place, 0] == pytest.approx(shared[known].sum(), abs=1e-6)
        assert integrals[place, 0] == pytest.approx((shared * samples.values[:, 0])[known].sum(), abs=1e-4)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=70), st.data())
def test_the_maximum_of_a_range_is_that_of_its_rows(values, data):
    first = data.draw(st.integers(0, len(values)))
    last = data.draw(st.integers(0, len(values)))
    found = range_maxima(np.array(values)[:, None], np.array([first]), np.array([last]))[0, 0]
    assert found == max(values[first:last], default=-np.inf)

"""The health score keeps its promises: bounds, bands, and more waste is never better."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.features.health import BANDS, WEIGHTS, health_score, waste_terms
from nomade_pipeline.tables.outcomes import CANCELLED, DEPENDENCY, FAILED_CLASSES, SUCCESS

COLUMNS = {
    "failure_class": pl.Int32,
    "cpu_efficiency": pl.Float64,
    "memory_efficiency": pl.Float64,
    "swap_activity": pl.Float64,
    "had_swap": pl.Boolean,
    "nfs_ratio": pl.Float64,
    "network_write_gb": pl.Float64,
}
# What makes each kind of waste grow, with everything else as it is.
WORSE = {
    "idle CPUs": ("cpu_efficiency", lambda value, more: max(0.0, value - more)),
    "memory asked for and not used": ("memory_efficiency", lambda value, more: max(0.0, min(value, 1.0) - more)),
    "memory used and not asked for": ("memory_efficiency", lambda value, more: max(value, 1.0) + more),
    "swapping": ("swap_activity", lambda value, more: value + more * 1e5),
    "writing to the network": ("nfs_ratio", lambda value, more: min(1.0, value + more)),
    "writing more to it": ("network_write_gb", lambda value, more: value + more * 100),
}
JOBS = st.fixed_dictionaries(
    {
        "cpu_efficiency": st.floats(0, 2),
        "memory_efficiency": st.floats(0, 3),
        "swap_activity": st.floats(0, 1e7),
        "had_swap": st.booleans(),
        "nfs_ratio": st.floats(0, 1),
        "network_write_gb": st.floats(0, 1e5),
    }
)
SOME_NULL = JOBS.flatmap(
    lambda job: st.sets(st.sampled_from(sorted(job))).map(lambda null: {**job, **dict.fromkeys(null)})
)


def score(failure_class: int | None, **job: object) -> float | None:
    frame = pl.DataFrame([{**dict.fromkeys(COLUMNS), "failure_class": failure_class, **job}], schema=COLUMNS)
    found: float | None = frame.select(health_score()).item()
    return found


@given(SOME_NULL)
def test_failed_jobs_lie_below_half_and_successes_at_or_above_it(job):
    failed = [score(code, **job) for code in FAILED_CLASSES]
    assert all(value is not None and 0 <= value < 0.5 for value in failed)
    good = score(SUCCESS, **job)
    assert good is not None
    assert 0.5 <= good <= 1


@given(SOME_NULL, st.sampled_from([CANCELLED, DEPENDENCY, None]))
def test_what_is_neither_success_nor_failure_has_no_score(job, failure_class):
    assert score(failure_class, **job) is None


@pytest.mark.parametrize("kind", WORSE)
@given(job=JOBS, more=st.floats(0, 1), failure_class=st.sampled_from(sorted(BANDS)))
def test_more_waste_of_one_kind_is_never_better(kind, job, more, failure_class):
    name, worse = WORSE[kind]
    start = {**job, name: worse(job[name], 0.0)}
    before, after = score(failure_class, **start), score(failure_class, **{**start, name: worse(job[name], more)})
    assert before is not None
    assert after is not None
    assert after <= before + 1e-12


def test_nothing_but_waste_reaches_the_worst_of_each_band_and_none_the_best():
    best = {"cpu_efficiency": 1, "memory_efficiency": 1, "swap_activity": 0, "had_swap": False, "nfs_ratio": 0}
    for code, (top, _) in BANDS.items():
        assert score(code, **best, network_write_gb=0) == pytest.approx(top)
    assert score(SUCCESS, cpu_efficiency=0, memory_efficiency=0) == pytest.approx(0.5 + 0.5 * 0.1 / 0.7)


def test_of_a_job_of_which_nothing_was_measured_the_middle_of_its_band_is_told():
    assert score(SUCCESS) == 0.75


def test_every_kind_of_waste_has_a_weight_and_they_make_one():
    assert set(waste_terms()) == set(WEIGHTS)
    assert sum(WEIGHTS.values()) == pytest.approx(1)

"""Anomalies, coverage and the figures of a validation on planted jobs."""

from __future__ import annotations

import numpy as np
import pytest
from support.profiles import planted

from nomade_pipeline.features.vectors import Scaler
from nomade_pipeline.simulation.anomalies import Yardstick, reasons, widened
from nomade_pipeline.simulation.cloud import Cloud
from nomade_pipeline.simulation.coverage import coverage, in_region
from nomade_pipeline.simulation.validation import auc, spearman, validate
from nomade_pipeline.tables.features import VECTOR
from nomade_pipeline.tables.simulation import C2ST, COPIES, CORRELATION, KS

PLACE = {name: number for number, name in enumerate(VECTOR)}


@pytest.fixture(scope="module")
def jobs() -> tuple[Scaler, np.ndarray, np.ndarray, np.ndarray]:
    """Scaler, jobs of the cloud, jobs that it was fitted to, jobs that it has not seen."""
    fitted, held = planted(3000, 1)[0], planted(3000, 2)[0]
    scaler = widened(Scaler.fit(np.concatenate([fitted, held]), VECTOR, 5.0))
    return scaler, Cloud.fit(fitted, scaler, seed=3).sample(3000, 4)[0], fitted, held


def test_of_fresh_jobs_one_in_a_hundred_is_odd(jobs: tuple[Scaler, np.ndarray, np.ndarray, np.ndarray]) -> None:
    scaler, cloud, _, held = jobs
    yardstick = Yardstick.of(scaler.apply(cloud)[0], scaler.apply(held)[0], 0)
    fresh = yardstick.score(scaler.apply(planted(4000, 5)[0])[0])
    # Three standard errors: of 3,000 held-out jobs and of 4,000 fresh ones.
    assert abs((fresh.p <= 0.01).mean() - 0.01) < 0.0075
    assert fresh.sure.sum() <= 2


def test_a_job_like_no_other_is_surely_odd_and_the_words_name_what_is(
    jobs: tuple[Scaler, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    scaler, cloud, _, held = jobs
    odd = planted(20, 6)[0]
    odd[0] = np.nanmedian(held, axis=0)
    odd[0, PLACE["swap_activity"]] = 1e6
    scored = Yardstick.of(scaler.apply(cloud)[0], scaler.apply(held)[0], 0).score(scaler.apply(odd)[0])
    assert scored.sure[0]
    assert scored.p[0] < 0.001
    assert reasons(odd, scaler, cloud)[0].startswith("swap_activity 1e+06 KB/s (jobs like it: ")


def test_a_cloud_covers_nearly_as_much_as_real_jobs_do(
    jobs: tuple[Scaler, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    cloud, fitted, held = (jobs[0].apply(rows)[0] for rows in jobs[1:])
    shares = coverage(cloud, fitted, held, 0)
    assert shares.inside.low < shares.inside.value < shares.inside.high
    assert shares.inside.value > shares.inside_floor - 0.05
    assert shares.plausible.value > shares.plausible_floor - 0.08
    far = coverage(cloud + 10.0, fitted, held, 0)
    assert far.inside.value == far.plausible.value == 0.0


def test_a_job_is_in_the_region_within_the_distance_of_the_fifth_neighbour() -> None:
    line = np.arange(10.0)[:, None]
    inside = in_region(np.array([[4.5], [13.9], [14.1]]), line)
    np.testing.assert_array_equal(inside, [True, True, False])


def test_a_validation_holds_every_figure_against_its_floor(
    jobs: tuple[Scaler, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    scaler, cloud, fitted, held = jobs
    bad = np.where(np.isnan(cloud), np.nan, cloud)
    bad[:, PLACE["runtime_minutes"]] *= 3.0
    figures = validate(bad[:1500], fitted[:1500], held[:1500], scaler, 0)
    assert {figure.measure for figure in figures} == {C2ST, CORRELATION, COPIES, KS}
    by_name = {(figure.measure, figure.quantity): figure for figure in figures}
    assert by_name[C2ST, ""].estimate.value > 0.7 > 0.55 > by_name[C2ST, ""].floor
    assert by_name[KS, "runtime_minutes"].significant
    assert not by_name[KS, "cpu_efficiency"].significant


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    found = auc(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0]))
    assert found.value == pytest.approx((1.5 + 3.0) / 6)
    assert found.low < found.value <= found.high


def test_rank_correlations_are_of_the_jobs_that_have_both_quantities() -> None:
    rows = np.array([[1.0, 10.0, np.nan], [2.0, 20.0, np.nan], [3.0, np.nan, np.nan], [4.0, 90.0, np.nan]])
    found = spearman(rows)
    assert found[0, 1] == pytest.approx(1.0, abs=0.02)
    assert np.isnan(found[0, 2])

"""What the derivatives of series say, on series whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from nomade_pipeline.analysis.series import DAY_SECONDS, SeriesBatch
from nomade_pipeline.analysis.trend import Trend, Trends, accelerates, analyse
from nomade_pipeline.tables.derived import TREND_WORDS

WEEK = 7 * DAY_SECONDS
NOW = 1_790_000_000.0
# Days from the newest sample: a week, hourly.
DAYS = np.arange(-168, 1) / 24
GB = 1e9


def of_values(*values: np.ndarray, days: np.ndarray = DAYS) -> SeriesBatch:
    return SeriesBatch.of([(NOW + days * DAY_SECONDS, each) for each in values])


def noise(count: int, size: float, width: int = len(DAYS), seed: int = 1) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal((count, width))


def batch(values: np.ndarray) -> SeriesBatch:
    return SeriesBatch(np.tile(NOW + DAYS * DAY_SECONDS, (len(values), 1)), values)


def week(series: SeriesBatch, limit: float | None = None) -> Trends:
    return analyse(series, WEEK, limit)


def test_ten_gb_a_day_with_490_left_is_full_in_49_days() -> None:
    found = week(of_values(510 * GB + 10 * GB * DAYS), 1000 * GB)
    assert found.limit_days[0] == pytest.approx(49, rel=1e-9)
    assert found.rate_limit_days[0] == pytest.approx(49, rel=1e-9)
    assert found.word(0) == "growing"
    assert found.limit_if_rate_holds[0]
    assert np.isnan(found.acceleration_limit_days[0])
    assert found.projected[0] == pytest.approx([520 * GB, 580 * GB])


@pytest.mark.parametrize("days", [DAYS, np.sort(np.random.default_rng(2).uniform(-3, 0, 57))])
def test_an_exact_parabola_gives_its_derivatives(days: np.ndarray) -> None:
    since = days - days[-1]
    found = week(of_values(2e14 + 3e9 * since + 0.5 * 4e8 * since**2, days=days))
    assert found.value[0] == pytest.approx(2e14, rel=1e-9)
    assert found.rate[0] == pytest.approx(3e9, rel=1e-9)
    assert found.acceleration[0] == pytest.approx(4e8, rel=1e-9)
    assert found.word(0) == "accelerating"


def test_a_parabola_has_two_dates() -> None:
    found = week(of_values(600 + 20 * DAYS + 2 * DAYS**2), 1000)
    assert found.rate_limit_days[0] == pytest.approx(20)
    assert found.acceleration_limit_days[0] == pytest.approx(10)
    assert found.limit_days[0] == found.acceleration_limit_days[0]


def test_flat_series_with_noise_raise_an_acceleration_alert_in_less_than_one_per_cent() -> None:
    series = batch(850 + noise(1000, 0.17))
    found = week(series)
    assert np.mean(accelerates(series, WEEK, found, 1e-6)) < 0.01
    assert np.mean(found.trend != Trend.STABLE) < 0.02


def test_an_acceleration_alert_wants_both_windows() -> None:
    begun = 100 + 10 * np.maximum(DAYS + 1.5, 0) ** 2
    long = 100 + 10 * (DAYS + 8) ** 2
    days = np.arange(-216, 1) / 24
    series = of_values(
        np.concatenate([np.full(48, 100.0), begun]), np.concatenate([100 + 10 * (days[:48] + 8) ** 2, long]), days=days
    )
    found = week(series)
    assert found.acceleration == pytest.approx([20, 20], rel=0.05)
    assert accelerates(series, WEEK, found, 1.0).tolist() == [False, True]
    assert accelerates(series, WEEK, found, np.array([1.0, 25.0])).tolist() == [False, False]


def test_a_wave_of_every_day_is_no_acceleration() -> None:
    phases = np.random.default_rng(3).uniform(0, 1, (300, 1))
    found = week(batch(850 + 20 * np.sin(2 * np.pi * (DAYS + phases)) + noise(300, 1.0)))
    assert np.mean(found.acceleration_p < 0.005) < 0.02
    assert np.median(found.projected_high - found.projected_low) < 10


def test_growth_below_a_daily_wave_is_seen() -> None:
    found = week(of_values(800 + 10 * DAYS + 20 * np.sin(2 * np.pi * DAYS) + noise(1, 0.5)[0]), 1000)
    assert found.rate[0] == pytest.approx(10, abs=0.3)
    assert found.limit_days[0] == pytest.approx(20, abs=0.5)


def test_a_clean_up_begins_the_fit_anew() -> None:
    teeth = 700 + 30 * ((DAYS + 1.5) % 2.5) + noise(1, 0.1)[0]
    found = week(of_values(teeth), 1000)
    assert found.restart_time[0] == pytest.approx(NOW - 1.5 * DAY_SECONDS, abs=1)
    assert found.jump[0] == pytest.approx(-75, abs=2)
    assert found.rate[0] == pytest.approx(30, abs=0.5)
    assert found.limit_days[0] == pytest.approx(255 / 30, abs=0.2)


def test_a_counter_that_begins_again_begins_the_fit_anew() -> None:
    counted = np.where(DAYS < -2, 1e9 + 1e6 * (DAYS + 7), 1e6 * (DAYS + 2))
    found = week(of_values(counted))
    assert found.rate[0] == pytest.approx(1e6)
    assert found.jump[0] == pytest.approx(-1e9, rel=0.01)


def test_a_gap_begins_the_fit_anew() -> None:
    days = DAYS[(DAYS < -5) | (DAYS > -2)]
    found = week(of_values(np.where(days < -5, 900.0, 100 + 5 * days), days=days))
    assert found.points[0] == np.count_nonzero(days > -2)
    assert found.rate[0] == pytest.approx(5)


def test_another_slope_begins_the_fit_anew() -> None:
    found = week(of_values(500 + 40 * np.maximum(DAYS + 2, 0) + noise(1, 0.5)[0]), 1000)
    assert found.restart_time[0] == pytest.approx(NOW - 2 * DAY_SECONDS, abs=0.2 * DAY_SECONDS)
    assert found.limit_days[0] == pytest.approx(10.5, abs=0.3)


def test_exponential_growth_is_fitted_where_a_parabola_holds() -> None:
    found = week(of_values(300 * np.exp2(DAYS / 4) + noise(1, 0.1)[0]))
    assert found.span_days[0] < 4
    assert found.rate[0] == pytest.approx(300 * np.log(2) / 4, rel=0.02)
    assert found.word(0) == "accelerating"


def test_spikes_do_not_count() -> None:
    values = 510 + 10 * DAYS + noise(1, 0.1)[0]
    values[[20, 70, 110, -1]] += [300, -200, 400, 250]
    found = week(of_values(values), 1000)
    assert found.points[0] == len(DAYS) - 4
    assert found.limit_days[0] == pytest.approx(49, abs=0.5)
    assert np.isnan(found.jump[0])


def test_a_sudden_rise_is_a_jump_once_a_second_sample_confirms_it() -> None:
    values = 100 + noise(1, 0.5)[0]
    values[-1] += 50
    assert np.isnan(week(of_values(values)).jump[0])
    values[-2] += 50
    found = week(of_values(values))
    assert found.jump[0] == pytest.approx(50, abs=3)
    assert found.jump_time[0] == pytest.approx(NOW - 3600, abs=1)


def test_growth_that_begins_on_an_idle_disk_is_no_jump_and_soon_accelerates() -> None:
    values = 20 + 0.01 * np.random.default_rng(4).integers(0, 3, len(DAYS)) + 2 * np.maximum(DAYS * 24 + 10, 0) ** 2
    found = week(of_values(values), 20 + 2 * 40**2)
    assert np.isnan(found.jump[0])
    assert found.word(0) == "accelerating"
    assert found.limit_days[0] * 24 == pytest.approx(30, abs=2)


def test_a_clean_up_of_three_readings_is_one_jump() -> None:
    values = 500 + noise(1, 0.1)[0]
    values[-20:] -= 90
    values[-21], values[-22] = 440, 470
    found = week(of_values(values))
    assert found.jump[0] == pytest.approx(-90, abs=2)
    assert found.points[0] == 20


def test_coarse_readings_are_no_jumps() -> None:
    found = week(of_values(10 * np.round((800 + 10 * DAYS) / 10)), 1000)
    assert np.isnan(found.jump[0])
    assert found.limit_days[0] == pytest.approx(20, abs=1)


def test_after_a_break_too_few_samples_say_nothing() -> None:
    values = 100 + 5 * DAYS
    values[-4:] -= 80
    found = week(of_values(values), 200)
    assert found.word(0) == "unknown"
    assert np.isnan([found.rate[0], found.acceleration[0], found.limit_days[0], found.projected[0, 0]]).all()
    assert found.jump[0] == pytest.approx(-80, abs=1)


def test_a_flat_disk_is_not_full_within_a_year() -> None:
    found = week(batch(850 + noise(200, 0.17)), 1000)
    assert np.isnan(found.limit_days).mean() > 0.98
    assert (found.limit_high_days == np.inf).mean() > 0.98


def test_slow_growth_is_not_full_within_a_year() -> None:
    found = week(of_values(100 + 1 * DAYS), 1000)
    assert found.word(0) == "growing"
    assert np.isnan([found.limit_days[0], found.rate_limit_days[0]]).all()


def test_a_limit_that_is_reached_is_zero_days_away() -> None:
    found = week(of_values(1001 + 1 * DAYS), 1000)
    assert (found.limit_days[0], found.limit_low_days[0], found.limit_high_days[0]) == (0, 0, 0)


def test_a_floor_is_reached_from_above() -> None:
    found = analyse(of_values(50 - 5 * DAYS, 50 + 5 * DAYS), WEEK, 0.0, falling=True)
    assert found.limit_days[0] == pytest.approx(10)
    assert np.isnan(found.limit_days[1])
    assert found.word(0) == "declining"


def test_growth_that_slows_down_decelerates() -> None:
    assert week(of_values(500 + 10 * DAYS - DAYS**2)).word(0) == "decelerating"


@pytest.mark.parametrize(("kind", "least"), [("white", 0.85), ("walk", 0.8), ("lasting", 0.85)])
def test_the_interval_holds_nine_of_ten_whatever_the_noise(kind: str, least: float) -> None:
    values = noise(400, 1.0, len(DAYS) + 24)
    if kind == "walk":
        values = np.cumsum(values, axis=1)
    if kind == "lasting":
        for place in range(1, values.shape[1]):
            values[:, place] += 0.8 * values[:, place - 1]
    found = week(batch(values[:, : len(DAYS)]))
    inside = (values[:, -1] >= found.projected_low[:, 0]) & (values[:, -1] <= found.projected_high[:, 0])
    assert least < inside.mean() < 0.99


def test_the_interval_of_the_date_holds_the_date() -> None:
    found = week(batch(800 + 10 * DAYS + noise(300, 3.0)), 1000)
    assert np.mean((found.limit_low_days <= 20) & (found.limit_high_days >= 20)) > 0.9


def test_few_or_no_samples_are_unknown() -> None:
    found = week(SeriesBatch.of([([], []), ([NOW], [5.0]), ([NOW - 60, NOW], [5.0, float("nan")])]), 10)
    assert [found.word(row) for row in range(3)] == ["unknown"] * 3
    assert found.points.tolist() == [0, 1, 1]
    assert len(week(SeriesBatch.of([])).time) == 0


def test_the_words_of_the_tables_are_those_of_the_trends() -> None:
    assert tuple(trend.word for trend in Trend) == TREND_WORDS


def test_columns_in_any_order_make_the_same_batch() -> None:
    shuffled = SeriesBatch.from_columns(
        np.array([1, 0, 1, 0, 1]), np.array([3.0, 2.0, 1.0, 1.0, 3.0]), np.array([9.0, 2.0, 4.0, 1.0, 5.0]), 3
    )
    assert shuffled.times[0].tolist() == [1.0, 2.0]
    assert shuffled.values[:2].tolist() == [[1.0, 2.0], [4.0, 5.0]]
    assert np.isnan(shuffled.newest()[2])


def test_the_curve_goes_through_the_projections() -> None:
    found = week(batch(800 + 10 * DAYS + noise(3, 3.0)))
    mean, low, high = found.curve(np.array([1.0, 7.0]))
    assert (mean == found.projected).all()
    assert (low == found.projected_low).all()
    assert (high == found.projected_high).all()

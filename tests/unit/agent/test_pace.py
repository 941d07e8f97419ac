"""Samples end on the boundaries of their interval, whatever the clock does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.agent.pace import FAILED, SKIPPED, SUCCESS, Pace, seconds_to_measure, until_boundary

NOON = 1_700_000_000 // 3600 * 3600.0


@pytest.mark.parametrize(
    ("after_noon", "interval", "seconds"),
    [(0, 60, 60), (0.2, 60, 60), (23, 60, 37), (59.4, 60, 1), (59.7, 60, 60), (0.6, 60, 59), (0.3, 1, 1), (0.9, 1, 1)],
)
def test_a_rate_is_measured_for_whole_seconds_up_to_the_boundary(after_noon, interval, seconds):
    assert seconds_to_measure(NOON + after_noon, interval) == seconds


@pytest.mark.parametrize(
    ("after_noon", "interval", "seconds"), [(0, 60, 60), (59.9, 60, 60.1), (30, 60, 30), (0.5, 1, 0.5), (0.95, 1, 1.05)]
)
def test_a_timer_that_ends_a_little_early_does_not_sample_the_same_boundary_twice(after_noon, interval, seconds):
    assert until_boundary(NOON + after_noon, interval) == pytest.approx(seconds)


class Host:
    """A wall clock that may step and a monotonic one that does not."""

    def __init__(self, now):
        self.now, self.monotonic = now, 0.0
        self.ends = []

    def run(self, pace, interval, outcome=SUCCESS, overhead=0.05):
        """Do what the pace says next; take note of when a run ended."""
        step = pace.step(self.now, self.monotonic, interval)
        seconds = step.wait + (overhead if step.measure else 0.0)
        if pace.spans_interval and outcome == SUCCESS:
            seconds += step.measure
        self.now += seconds
        self.monotonic += seconds
        if step.measure:
            pace.after(outcome, self.monotonic)
            self.ends.append(self.now)
        return step


@given(
    start=st.floats(NOON, NOON + 3600),
    interval=st.sampled_from([1, 5, 10, 30, 60, 300]),
    steps=st.lists(st.floats(-7200, 7200), max_size=4),
    spans=st.booleans(),
)
def test_after_a_clock_step_the_samples_are_aligned_again(start, interval, steps, spans):
    host, pace = Host(start), Pace(spans)
    for shift in [*steps, 0.0]:
        host.now += shift
        for _ in range(3):
            host.run(pace, interval)
        before = host.monotonic
        for _ in range(5):
            host.run(pace, interval)
            off = (host.now + interval / 2) % interval - interval / 2
            assert abs(off) <= 0.7
        # Aligned, and still one sample an interval.
        assert host.monotonic - before == pytest.approx(5 * interval, abs=1.5)


def test_a_step_back_during_the_wait_of_a_gauge_makes_no_burst_of_samples():
    host, pace = Host(NOON + 10), Pace(spans_interval=False)
    for _ in range(10):
        host.run(pace, 60)
        host.now -= 59.9
    assert host.monotonic >= 9 * 0.5


def test_rates_follow_each_other_without_a_gap():
    host, pace = Host(NOON + 0.1), Pace(spans_interval=True)
    assert [host.run(pace, 60).wait for _ in range(100)] == [0.0] * 100
    assert host.monotonic == pytest.approx(6000, abs=1.5)


def test_a_rate_that_fails_at_once_waits_for_the_boundary():
    host, pace = Host(NOON + 5), Pace(spans_interval=True)
    for _ in range(20):
        host.run(pace, 60, FAILED)
    assert len(host.ends) == 10
    assert host.monotonic >= 9 * 60 - 5


@pytest.mark.parametrize("spans", [True, False])
def test_a_collector_with_nothing_to_collect_is_asked_every_ten_minutes(spans):
    host, pace = Host(NOON), Pace(spans)
    while host.monotonic < 3600:
        host.run(pace, 60, SKIPPED)
    assert 5 <= len(host.ends) <= 7


def test_a_changed_configuration_asks_a_skipped_collector_at_once():
    host, pace = Host(NOON), Pace(spans_interval=True)
    host.run(pace, 60, SKIPPED)
    assert pace.step(host.now, host.monotonic, 60).measure == 0
    pace.forget()
    assert pace.step(host.now, host.monotonic, 60).measure > 0


@pytest.mark.parametrize(("spent", "rest"), [(3.0, 0.0), (3.1, 60.0), (6.0, 60.0), (6.1, 120.0), (30.0, 540.0)])
def test_a_slow_service_is_asked_less_often_so_that_its_load_stays_within_the_budget(spent, rest):
    pace = Pace(spans_interval=False)
    host = Host(NOON)
    host.run(pace, 60, overhead=spent)
    began = host.ends[0] - spent
    assert pace.rest(spent, 0.05, 60, host.monotonic) == rest
    assert spent <= 0.05 * (60 + rest)
    while len(host.ends) < 2:
        host.run(pace, 60, overhead=spent)
    assert host.ends[1] - spent - began == 60 + rest


@pytest.mark.parametrize(("interval", "rest"), [(60, 120.0), (30, 120.0), (300, 300.0)])
def test_a_service_that_did_not_answer_is_asked_again_soon_however_long_that_took(interval, rest):
    pace = Pace(spans_interval=False)
    pace.after(FAILED, 21.0)
    assert pace.rest(21.0, 0.05, interval, 21.0) == rest
    pace.after(SUCCESS, 500.0)
    assert pace.rest(21.0, 0.05, interval, 500.0) == math.ceil(21.0 / 0.05 / interval) * interval - interval


def test_a_collector_without_a_budget_never_rests():
    assert Pace(spans_interval=False).rest(1000.0, 0.0, 60, 5.0) == 0.0

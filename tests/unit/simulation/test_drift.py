"""Drift on planted streams, its levels, and when models are to be trained anew."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.profiles import changed, of_kinds, planted

from nomade_pipeline.config.analysis_settings import DriftSettings
from nomade_pipeline.features.vectors import Scaler
from nomade_pipeline.simulation.cloud import Cloud
from nomade_pipeline.simulation.drift import (
    JOBS_PER_CELL,
    Finding,
    Stream,
    find_drift,
    level_of,
    one_of_each_array,
    retraining_due,
)
from nomade_pipeline.tables.features import VECTOR
from nomade_pipeline.tables.simulation import ALL

FIRST = date(2026, 3, 1)
NOW = datetime(2026, 3, 20, tzinfo=UTC)
PER_DAY = 100


@pytest.fixture(scope="module")
def window() -> tuple[Cloud, np.ndarray]:
    train, held = planted(3000, 1)[0], planted(3000, 2)[0]
    scaler = Scaler.fit(np.concatenate([train, held]), VECTOR, 5.0)
    return Cloud.fit(train, scaler, seed=3, jobs_per_cell=JOBS_PER_CELL), held


def found(window: tuple[Cloud, np.ndarray], raw: np.ndarray) -> dict[str, Finding]:
    days = [FIRST + timedelta(days=number // PER_DAY) for number in range(len(raw))]
    findings = find_drift(*window, Stream(raw, days), DriftSettings(), np.random.default_rng(1))
    return {finding.quantity: finding for finding in findings}


def test_jobs_as_in_the_window_are_no_drift(window: tuple[Cloud, np.ndarray]) -> None:
    findings = found(window, planted(7 * PER_DAY, 4)[0])
    assert {finding.level for finding in findings.values()} == {"stable"}
    assert set(findings) == {ALL, *VECTOR}
    assert findings[ALL].words == "as in the window"


def test_twice_as_many_jobs_of_some_kinds_are_no_drift(window: tuple[Cloud, np.ndarray]) -> None:
    weights = np.array([8, 14, 6, 10, 4, 6, 2, 2])
    kinds = np.random.default_rng(5).choice(8, 7 * PER_DAY, p=weights / weights.sum())
    findings = found(window, of_kinds(kinds, np.random.default_rng(6)))
    assert "drift" not in {finding.level for finding in findings.values()}


def test_a_tenth_of_the_jobs_that_changed_is_found_within_five_hundred_jobs(window: tuple[Cloud, np.ndarray]) -> None:
    random = np.random.default_rng(7)
    quiet, since = planted(2 * PER_DAY, 4)[0], changed(planted(5 * PER_DAY, 5)[0], random, 0.1)
    findings = found(window, np.concatenate([quiet, since]))
    busy = findings["avg_core_busy"]
    assert busy.level == "drift"
    assert busy.direction == "lower"
    assert busy.since is not None
    assert abs((busy.since - (FIRST + timedelta(days=2))).days) <= 1
    assert busy.words.startswith("avg_core_busy is lower for about ")
    assert findings["runtime_minutes"].level == "stable"


def test_jobs_unlike_any_of_the_window_are_a_drift_of_all_together(window: tuple[Cloud, np.ndarray]) -> None:
    raw, random = planted(5 * PER_DAY, 8)[0], np.random.default_rng(9)
    odd = random.random(len(raw)) < 0.1
    raw[odd] = random.permuted(raw[odd], axis=0) * 5.0
    assert found(window, raw)[ALL].level == "drift"


def test_a_quantity_that_is_no_longer_measured_has_no_say(window: tuple[Cloud, np.ndarray]) -> None:
    raw = planted(3 * PER_DAY, 4)[0]
    raw[:, VECTOR.index("swap_activity")] = np.nan
    assert "swap_activity" not in found(window, raw)


def test_the_levels_are_those_of_the_configuration() -> None:
    settings = DriftSettings(drift_days=100, watch_days=10)
    assert [level_of(p, settings) for p in (0.01, 0.011, 0.1, 0.11)] == ["drift", "watch", "watch", "stable"]


@given(st.lists(st.sampled_from(["1", "2", "3_1", "3_2", "3_3", "4_9", "5+1"])), st.integers(0, 5))
def test_an_array_counts_once(job_ids: list[str], seed: int) -> None:
    chosen = one_of_each_array(job_ids, np.random.default_rng(seed))
    arrays = [job_ids[place].partition("_")[0] for place in chosen]
    assert sorted(arrays) == sorted({job_id.partition("_")[0] for job_id in job_ids})


def drift_row(level: str, moment: datetime, quantity: str = "cpu_efficiency") -> dict[str, object]:
    return {"quantity": quantity, "level": level, "sample_time": moment}


def test_without_a_model_there_is_nothing_to_train_anew() -> None:
    assert not retraining_due([drift_row("drift", NOW)], None, NOW, 7).due


def test_drift_since_the_last_training_calls_for_another_one() -> None:
    found = retraining_due([drift_row("drift", NOW)], NOW - timedelta(days=2), NOW, 7)
    assert found.due
    assert "cpu_efficiency" in found.reason


def test_drift_from_before_the_last_training_and_a_watch_do_not() -> None:
    rows = [drift_row("drift", NOW - timedelta(days=5)), drift_row("watch", NOW)]
    assert not retraining_due(rows, NOW - timedelta(days=2), NOW, 7).due


def test_a_training_that_is_too_old_calls_for_another_one() -> None:
    assert retraining_due([], NOW - timedelta(days=7), NOW, 7).due
    assert not retraining_due([], NOW - timedelta(days=6), NOW, 7).due

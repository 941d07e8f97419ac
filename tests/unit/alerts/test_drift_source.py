"""The rule on drift from the lake: live, when its rows are old, and in the back-test."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.rows import CLUSTER, DAY, frame_of

from nomade_pipeline import clock
from nomade_pipeline.alerts.backtest import backtest
from nomade_pipeline.alerts.drift_source import newest_drift
from nomade_pipeline.alerts.evaluation import evaluate
from nomade_pipeline.alerts.installation import Installation
from nomade_pipeline.alerts.route_file import load_outlets
from nomade_pipeline.alerts.shipped import shipped_rules
from nomade_pipeline.config.load import load_config
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.simulation import DRIFT

NEXT_DAY = clock.start_of(DAY + timedelta(days=1))


def row(quantity: str, level: str) -> dict[str, object]:
    since = None if level == "stable" else DAY
    return {"cluster": CLUSTER, "quantity": quantity, "sample_time": clock.start_of(DAY), "jobs": 500,
            "distance": 0.1, "p": 0.001, "level": level, "since": since, "words": f"{quantity} is {level}"}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A day on which one quantity drifted and another may have."""
    store = Store.at(tmp_path)
    rows = [row("all", "stable"), row("cpu_efficiency", "drift"), row("nfs_ratio", "watch")]
    store.lake.replace(DRIFT, CLUSTER, DAY, frame_of(DRIFT, rows))
    return store


def firing(store: Store, moment: datetime) -> list[str]:
    """Evaluate the shipped rules; return what the alerts on drift say."""
    folder = str(store.paths.root)
    config = load_config(None, {"NOMADE_GENERAL__DATA_DIR": folder, "HOME": folder})
    with clock.set_to(moment):
        done = evaluate(config, store, Installation(shipped_rules(config), load_outlets(config)), clock.now())
    assert done.problems == ()
    alerts = done.settled.decision.state.alerts.values()
    return [f"{alert.severity}: {alert.summary}" for alert in alerts if alert.rule == "job-drift" and alert.is_open]


def test_drift_is_one_alert_of_the_cluster_with_what_has_changed(store: Store) -> None:
    (sample,) = newest_drift(store.lake, NEXT_DAY + timedelta(hours=1))
    assert sample.row == {"cluster": CLUSTER, "level": "drift", "message": "cpu_efficiency is drift"}
    assert sample.time == NEXT_DAY
    (told,) = firing(store, NEXT_DAY + timedelta(hours=1))
    assert told.startswith("warning: ")
    assert told.endswith("the jobs have changed; reason: cpu_efficiency is drift")


def test_rows_that_are_old_or_of_a_day_that_is_not_over_are_no_evidence(store: Store) -> None:
    assert newest_drift(store.lake, NEXT_DAY - timedelta(hours=1)) == []
    assert newest_drift(store.lake, NEXT_DAY + timedelta(days=4)) == []


def test_the_back_test_sees_the_drift_of_the_past(store: Store) -> None:
    rules = shipped_rules(load_config(None, {"HOME": str(store.paths.root)}))
    (rule,) = (rule for rule in rules if rule.name == "job-drift")
    config = load_config(None, {"HOME": str(store.paths.root)})
    tested = backtest(store.lake, config, rules, rule, NEXT_DAY - timedelta(hours=2), NEXT_DAY + timedelta(hours=2))
    assert len(tested.episodes) == 1

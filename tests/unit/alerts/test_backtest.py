"""What a rule would have sent over a past that is in the lake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.installation import nomade
from support.rows import CLUSTER, T0, at, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.alerts.backtest import STEP, backtest, can_be_tested
from nomade_pipeline.alerts.shipped import shipped_rules
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import DISK

GB = 10**9
RULES = {rule.name: rule for rule in shipped_rules(Config())}
DAYS = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system that is flat for two days, then fills within twelve hours, and one that is flat."""
    folder = tmp_path_factory.mktemp("site")
    rows = []
    for minute in range(0, DAYS * 1440, 10):
        day = minute / 1440
        filling = min(970.0, 300.0 + max(0.0, day - 2) * 1400)
        for path, used in (("/filling", filling), ("/flat", 700.0 + 0.01 * (minute % 30))):
            space = {"used_bytes": int(used * GB), "available_bytes": int((1000 - used) * GB)}
            place = {"path": path, "mount": path, "filesystem_id": f"node1:{path}", "used_percent": used / 10}
            rows.append(row_of(DISK, sample_time=at(minute), received_time=at(minute), **place, **space))
    store = Store.at(folder)
    frame = frame_of(DISK, rows)
    for offset in range(DAYS + 1):
        day = (T0 + timedelta(days=offset)).date()
        part = frame.filter(frame["sample_time"].dt.date() == day)
        if part.height:
            store.lake.publish(DISK, CLUSTER, day, part)
    return folder


def test_the_forecast_would_have_spoken_hours_before_the_disk_was_full_and_never_of_the_flat_one(root: Path) -> None:
    found = backtest(Store.at(root).lake, [*RULES.values()], RULES["disk-forecast"], T0, at(DAYS * 1440))
    assert {episode.subject for episode in found} == {"node1:/filling"}
    first = found[0]
    assert first.fired_time > at(2 * 1440)
    assert first.lead_seconds is not None
    assert first.lead_seconds > 3 * 3600


def test_the_threshold_speaks_once_when_it_is_passed(root: Path) -> None:
    (found,) = backtest(Store.at(root).lake, [*RULES.values()], RULES["disk-full"], T0, at(DAYS * 1440))
    passed = at(2 * 1440 + (850 - 300) / 1400 * 1440)
    assert passed <= found.fired_time <= passed + timedelta(minutes=10) + STEP
    assert (found.severity, found.resolved_time) == ("warning", None)


def test_every_rule_that_looks_at_the_lake_can_be_tested(root: Path) -> None:
    for rule in filter(can_be_tested, RULES.values()):
        backtest(Store.at(root).lake, [*RULES.values()], rule, at(2.9 * 1440), at(DAYS * 1440))
    assert {name for name, rule in RULES.items() if not can_be_tested(rule)} == {
        "stuck-job", "zombie-job", "array-failures", "fairshare-imbalance", "collector-silent",
        "failure-rate", "failure-rate-acceleration",
    }  # fmt: skip


def test_the_command_shows_how_often_and_how_early(root: Path) -> None:
    with clock.set_to(at(DAYS * 1440)):
        shown = nomade("alerts", "backtest", "--since", "3d", "--rule", "disk-*", root=root).stdout
        forecast = ("--rule", "disk-forecast", "--json")
        (row,) = nomade("alerts", "backtest", "--since", "3d", *forecast, root=root).json
    assert "before disk-full" in shown
    assert "file system node1:/filling" in shown
    assert row["episodes"] == len(row["alerts"]) >= 1


def test_the_rules_in_force_are_listed(root: Path) -> None:
    names = {rule["name"] for rule in nomade("alerts", "rules", "--json", root=root).json}
    assert names == set(RULES)
    assert "85.0 %" in nomade("alerts", "rules", root=root).stdout

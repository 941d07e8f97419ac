"""What a rule would have sent over a past that is in the lake."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable

import pytest
from support.installation import nomade
from support.rows import CLUSTER, T0, at, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.alerts.backtest import Episode, backtest
from nomade_pipeline.alerts.past import STEP
from nomade_pipeline.alerts.policy import Policy
from nomade_pipeline.alerts.rule import Rule
from nomade_pipeline.alerts.shipped import shipped_rules
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.nodes import JOB_FINDING, NODE_STATE
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB, SLURM_QUEUE, SLURM_SHARE, WHOLE_CLUSTER
from nomade_pipeline.tables.system import DISK

GB = 10**9
RULES = {rule.name: rule for rule in shipped_rules(Config())}
DAYS = 3


def times(minute: float) -> dict[str, Any]:
    return {"sample_time": at(minute), "received_time": at(minute)}


def site_with(root: Path, table: Table, rows: list[dict[str, Any]]) -> Path:
    """Put rows of any days into the lake of a data folder; return that."""
    lake, frame = Store.at(root).lake, frame_of(table, rows)
    for (day,), part in frame.group_by(frame["sample_time"].dt.date()):
        lake.publish(table, CLUSTER, day, part)
    return root


def sent(root: Path, name: str, minutes: float = DAYS * 1440) -> tuple[Episode, ...]:
    tested = backtest(Store.at(root).lake, Config(), [*RULES.values()], RULES[name], T0, at(minutes))
    assert tested.looks
    return tested.episodes


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
    return site_with(folder, DISK, rows)


def test_the_forecast_would_have_spoken_hours_before_the_disk_was_full_and_never_of_the_flat_one(root: Path) -> None:
    found = sent(root, "disk-forecast")
    assert {episode.subject for episode in found} == {"node1:/filling"}
    first = found[0]
    assert first.fired_time > at(2 * 1440)
    assert first.lead_seconds is not None
    assert first.lead_seconds > 3 * 3600


def test_the_threshold_speaks_once_when_it_is_passed(root: Path) -> None:
    (found,) = sent(root, "disk-full")
    passed = at(2 * 1440 + (850 - 300) / 1400 * 1440)
    assert passed <= found.fired_time <= passed + timedelta(minutes=10) + STEP
    assert (found.severity, found.resolved_time) == ("warning", None)


LOOK_BACK = ("disk-forecast", "disk-filling", "disk-acceleration", "disk-jump")


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine days of a file system with a daily wave, of one that jobs fill and empty, and of one with a fast writer."""
    jobs = [(0.7 + 0.5 * number, 0.2 + 0.1 * (number % 5), 10 + 7 * (number % 4)) for number in range(16)]
    shapes: dict[str, Callable[[float], float]] = {
        "/wave": lambda day: 500 + 50 * math.sin(2 * math.pi * day),
        "/jobs": lambda day: 500 + sum(size for begin, days, size in jobs if begin <= day < begin + days),
        "/fast": lambda day: min(990.0, 400 + max(0.0, day - 8.5) * 24 * 190),
    }
    rows = []
    for minute in range(0, 9 * 1440, 5):
        for path, shape in shapes.items():
            used = shape(minute / 1440) + 0.2 * math.sin(minute**2)
            space = {"used_bytes": int(used * GB), "available_bytes": int((1000 - used) * GB)}
            place = {"path": path, "mount": path, "filesystem_id": f"node1:{path}", "used_percent": used / 10}
            rows.append(row_of(DISK, **times(minute), **place, **space) | {"interval_seconds": 300.0})
    return site_with(tmp_path_factory.mktemp("waves"), DISK, rows)


@pytest.mark.parametrize("name", LOOK_BACK)
def test_waves_and_jobs_that_come_and_go_raise_no_alert(waves: Path, name: str) -> None:
    told = backtest(Store.at(waves).lake, Config(), [*RULES.values()], RULES[name], at(2 * 1440), at(9 * 1440))
    assert {episode.subject for episode in told.episodes} <= {"node1:/fast"}


def test_a_fast_writer_is_told_an_hour_before_the_threshold(waves: Path) -> None:
    rules = [*RULES.values()]
    tested = backtest(Store.at(waves).lake, Config(), rules, RULES["disk-filling"], at(8 * 1440), at(9 * 1440))
    (told,) = tested.episodes
    assert told.lead_seconds is not None
    assert told.lead_seconds > 3600


def test_a_state_is_told_once_and_ends_when_it_is_mended(tmp_path: Path) -> None:
    rows = [
        row_of(NODE_STATE, node="n1", node_host="n1", state="DOWN" if 60 <= minute < 120 else "IDLE", **times(minute))
        for minute in range(240)
    ]
    (found,) = sent(site_with(tmp_path, NODE_STATE, rows), "node-down", minutes=240)
    assert (found.subject, found.fired_time) == ("n1", at(60))
    assert found.resolved_time == at(125)


def test_the_failure_rate_is_that_of_the_two_hours_before(tmp_path: Path) -> None:
    rows = [
        row_of(JOB_METRICS, job_id_raw=str(minute), partition="gpu", failure_class=3 if 120 <= minute < 240 else 0,
               end_time=at(minute), **times(minute))
        for minute in range(0, 480, 2)
    ]  # fmt: skip
    (found,) = sent(site_with(tmp_path, JOB_METRICS, rows), "failure-rate", minutes=480)
    assert found.subject == "gpu"
    assert at(120 + 0.3 * 120 - 2) <= found.fired_time <= at(120 + 0.3 * 120 + 10)
    assert found.resolved_time is not None
    assert at(240 + 0.8 * 120) <= found.resolved_time <= at(240 + 0.8 * 120 + 15)


def test_a_collector_that_was_silent_for_a_while_would_have_been_told(tmp_path: Path) -> None:
    rows = [
        row_of(COLLECTION_LOG, collector="disk", outcome="success", **times(minute))
        for minute in range(360)
        if not 120 <= minute < 240
    ]
    (found,) = sent(site_with(tmp_path, COLLECTION_LOG, rows), "collector-silent", minutes=360)
    assert found.subject == "node1"
    assert at(125) <= found.fired_time <= at(135)
    assert found.resolved_time is not None
    assert at(240) <= found.resolved_time <= at(250)


def queued(minute: float, kind: str, **values: Any) -> dict[str, Any]:
    reason = {"state": "PENDING", "reason": "JobHeldAdmin", "reason_class": "held"}
    about = {"job_id_raw": "7", "job_id": "7", "eligible_time": T0 - timedelta(days=9), "kind": kind}
    return row_of(SLURM_JOB, **times(minute), **{**reason, **about, **values})


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """A queue of one held job, told in full each hour, which leaves after three of six hours."""
    changes = [queued(minute, "full") for minute in (0, 60, 120)] + [queued(180, "gone")]
    sizes = [row_of(SLURM_QUEUE, partition=WHOLE_CLUSTER, **times(minute)) for minute in range(360)]
    return site_with(site_with(tmp_path, SLURM_QUEUE, sizes), SLURM_JOB, changes)


def test_a_job_that_was_stuck_is_found_in_the_changes_of_the_queue(queue: Path) -> None:
    (found,) = sent(queue, "stuck-job", minutes=360)
    assert (found.subject, found.fired_time, found.resolved_time) == ("job 7", at(0), at(180))
    assert found.summary == "job 7 waits 9.0 days for JobHeldAdmin, which waiting does not clear"


def test_a_rule_on_the_queue_sees_the_jobs_that_were_in_it(queue: Path) -> None:
    policy = Policy("held")
    rule = Rule("held", "A job is held.", "state", policy, "slurm_job", "reason", bad={"JobHeldAdmin": "info"})
    (found,) = backtest(Store.at(queue).lake, Config(), [rule], rule, T0, at(360)).episodes
    assert (found.subject, found.fired_time, found.resolved_time) == ("7", at(0), at(180))


def test_other_findings_are_found_in_what_was_told_of_them(queue: Path) -> None:
    zombie = {"finding": "processes_without_job", "job_id_raw": "3", "node": "n1", "message": "2 processes live"}
    site_with(queue, JOB_FINDING, [row_of(JOB_FINDING, **zombie, **times(minute)) for minute in range(60, 120)])
    share = {"account": "a", "user": "", "partition": "", "usage_per_share_ratio": 3.0, "share_ratio": 0.2}
    site_with(queue, SLURM_SHARE, [row_of(SLURM_SHARE, **share, **times(minute)) for minute in range(0, 360, 10)])
    tasks = [
        row_of(JOB_METRICS, job_id_raw=str(task), array_job_id="9", failure_class=3, end_time=at(90), **times(90))
        for task in range(8)
    ]
    site_with(queue, JOB_METRICS, tasks)
    assert [episode.subject for episode in sent(queue, "zombie-job", minutes=360)] == ["job 3:n1"]
    assert [episode.subject for episode in sent(queue, "fairshare-imbalance", minutes=360)] == ["a"]
    (sick,) = sent(queue, "array-failures", minutes=360)
    assert (sick.subject, sick.fired_time) == ("array 9", at(120))


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_shipped_rule_can_be_tested_on_a_lake_that_holds_nothing_of_it(tmp_path: Path, name: str) -> None:
    tested = backtest(Store.at(tmp_path).lake, Config(), [*RULES.values()], RULES[name], T0, at(60))
    assert (tested.looks, tested.summary()["episodes"]) == (0, None)


def test_rules_are_tried_before_they_are_in_force(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    file.write_text('[[rule]]\nname = "disk-full"\nwarning = 60\nclear = 55\n')
    tried = ("--since", "1d", "--rule", "disk-full", "--json", "--file", str(file))
    with clock.set_to(at(DAYS * 1440)):
        (row,) = nomade("alerts", "backtest", *tried, root=root).json
        file.write_text('[[rule]]\nname = "disk-full"\nwarnin = 60\n')
        refused = nomade("alerts", "backtest", *tried, root=root)
    assert {alert["subject"] for alert in row["alerts"]} == {"node1:/flat", "node1:/filling"}
    assert (refused.status, refused.stdout) == (2, "")
    assert f"{file}:3: [[rule]] disk-full: warnin: unknown key; did you mean warning?" in refused.stderr


def test_the_command_shows_how_often_and_how_early(root: Path) -> None:
    with clock.set_to(at(DAYS * 1440)):
        shown = nomade("alerts", "backtest", "--since", "1d", "--rule", "disk-f*", root=root).stdout
        forecast = ("--rule", "disk-forecast", "--json")
        (row,) = nomade("alerts", "backtest", "--since", "1d", *forecast, root=root).json
        everything = nomade("alerts", "backtest", "--since", "1h", root=root)
        nothing = nomade("alerts", "backtest", root=root / "elsewhere")
    assert "the lake holds nothing of what the rule looks at" in everything.stdout
    assert nothing.status == 3
    assert "before disk-full" in shown
    assert "file system /filling on node1" in shown
    assert row["episodes"] == len(row["alerts"]) >= 1


def test_the_rules_in_force_are_listed(root: Path) -> None:
    names = {rule["name"] for rule in nomade("alerts", "rules", "--json", root=root).json}
    assert names == set(RULES)
    assert "85.0 %" in nomade("alerts", "rules", root=root).stdout

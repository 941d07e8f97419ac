"""The sensors of the alerts: what a tick decides, delivers, and says of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from support.installation import disk_row
from support.rows import T0, at, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.heartbeat import last_beat
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import DISK


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def evaluate(
    root: Path, name: str, minute: float = 0, instance: dg.DagsterInstance | None = None, cursor: str | None = None
) -> Any:
    """Let a sensor tick at a minute; return what Dagster records of it."""
    resource = NomadeResource(data_dir=str(root))
    definitions = build_defs(resource)
    with clock.set_to(at(minute)), dg.DagsterInstance.ephemeral() as other:
        context = dg.build_sensor_context(
            instance=instance or other,
            cursor=cursor,
            resources={"nomade": resource},
            repository_def=definitions.get_repository_def(),
        )
        return definitions.resolve_sensor_def(name).evaluate_tick(context)


def sample(root: Path, minute: float, used_percent: float) -> None:
    used = round(used_percent * 10**9)
    spool(root / "spool", reading_of(DISK, at(minute), disk_row(used=used)))


def log_of(root: Path) -> Path:
    """Return the file that every message is written to."""
    return Store.at(root).paths.logs / "alerts.ndjson"


def told(root: Path) -> list[tuple[str, str]]:
    """Return kind and rule of all notices that were delivered."""
    lines = log_of(root).read_text().splitlines() if log_of(root).is_file() else []
    return [(notice["kind"], notice["rule"]) for line in lines for notice in _notices(json.loads(line))]


def _notices(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return entry.get("notices") or entry.get("alerts")


def test_a_full_disk_is_told_by_the_tick_that_sees_it_and_the_tick_says_why(root: Path) -> None:
    sample(root, 0, 91)
    ticked = evaluate(root, "alerts_sensor")
    assert told(root) == [("firing", "disk-full")]
    assert "1 firing" in ticked.skip_message
    assert "told: 1 firing; 1 messages delivered, 0 failed" in ticked.skip_message
    assert "fired disk-full/alpha/node1:/" in ticked.skip_message
    assert ticked.run_requests == []
    assert last_beat(root / "heartbeat.json") is not None


def test_the_next_tick_tells_nothing_again_and_a_mended_disk_is_told_as_such(root: Path) -> None:
    sample(root, 0, 91)
    evaluate(root, "alerts_sensor")
    assert "told: nothing" in evaluate(root, "alerts_sensor", 0.5).skip_message
    for minute in range(1, 8):
        sample(root, minute, 50)
        evaluate(root, "alerts_sensor", minute)
    assert told(root) == [("firing", "disk-full"), ("resolved", "disk-full")]


def test_an_installation_without_data_evaluates_and_tells_nothing(root: Path) -> None:
    assert "told: nothing" in evaluate(root, "alerts_sensor").skip_message


def test_a_pipeline_that_was_down_for_days_gives_no_all_clear_before_it_has_heard_of_anything(root: Path) -> None:
    sample(root, 0, 91)
    evaluate(root, "alerts_sensor")
    days = 3 * 24 * 60
    assert "1 firing" in evaluate(root, "alerts_sensor", days).skip_message
    assert ("resolved", "disk-full") not in told(root)


def test_what_could_not_be_delivered_is_delivered_by_the_other_sensor(root: Path) -> None:
    sample(root, 0, 91)
    log_of(root).mkdir(parents=True)
    assert "0 messages delivered, 1 failed" in evaluate(root, "alerts_sensor").skip_message
    log_of(root).rmdir()
    assert evaluate(root, "alert_delivery_sensor", 0.1).skip_message == "no message is due"
    assert evaluate(root, "alert_delivery_sensor", 5).skip_message == "1 messages delivered, 0 failed"
    assert told(root) == [("firing", "disk-full")]


def test_broken_rules_fail_the_first_tick_with_file_and_line_and_later_the_last_good_ones_stay(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "nomade.toml").write_text("")
    file = tmp_path / "alerts.toml"
    sample(root, 0, 91)
    resource_path = str(tmp_path / "nomade.toml")

    def tick(minute: float) -> Any:
        resource = NomadeResource(config_path=resource_path, data_dir=str(root))
        with clock.set_to(at(minute)), dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, resources={"nomade": resource})
            return build_defs(resource).resolve_sensor_def("alerts_sensor").evaluate_tick(context)

    file.write_text("[[rule]]\nname = 1\n")
    with pytest.raises(Exception, match=r"alerts.toml:2"):
        tick(0)
    file.write_text("")
    assert "1 firing" in tick(0.5).skip_message
    file.write_text("[[rule]]\nname = 1\n")
    for minute in range(1, 13):
        sample(root, minute, 91)
        tick(minute)
    assert ("firing", "rule-not-judged") in told(root)
    assert ("resolved", "disk-full") not in told(root)


@dg.op
def breaks() -> None:
    raise ValueError("no space left\non the device")


@dg.op
def works() -> None:
    pass


def run(instance: dg.DagsterInstance, op: dg.OpDefinition) -> None:
    """Run a job called nightly, of one day."""

    @dg.job(name="nightly", tags={"dagster/partition": "2026-03-05"})
    def nightly() -> None:
        op()

    nightly.execute_in_process(instance=instance, raise_on_error=False)


def test_a_run_that_fails_is_an_alert_until_one_of_the_same_job_and_day_succeeds(root: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        # The runs end now, whatever the tests' clock says.
        minute = (clock.now() - T0) / timedelta(minutes=1) + 1
        assert evaluate(root, "run_failures_sensor", minute, instance).skip_message == "no run has ended"
        run(instance, breaks)
        ticked = evaluate(root, "run_failures_sensor", minute, instance)
        assert "told: firing nightly 2026-03-05" in ticked.skip_message
        again = evaluate(root, "run_failures_sensor", minute, instance, ticked.cursor)
        assert "told: nothing" in again.skip_message
        run(instance, works)
        assert "told: resolved" in evaluate(root, "run_failures_sensor", minute, instance, again.cursor).skip_message
    assert told(root) == [("firing", "pipeline-run-failed"), ("resolved", "pipeline-run-failed")]
    summary = Store.at(root).rollups.rows("SELECT reason FROM alert_events WHERE kind = 'fired'")[0]["reason"]
    assert "breaks" in summary
    assert "no space left" in summary

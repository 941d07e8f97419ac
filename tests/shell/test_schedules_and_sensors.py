"""Every asset has its clock: what schedules and sensors request at a given moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from support.rows import DAY, T0, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs, defs
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import IOSTAT_CPU


def requested(schedule: str, moment: datetime) -> list[str | None]:
    """Return the partitions that a schedule requests at a moment."""
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=defs.get_repository_def())
    data = defs.resolve_schedule_def(schedule).evaluate_tick(context)
    return [request.partition_key for request in data.run_requests]


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 3, 5, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "days"),
    [
        (at(0, 0), ["2026-03-04", "2026-03-05"]),
        (at(0, 15), ["2026-03-04", "2026-03-05"]),
        (at(0, 30), ["2026-03-05"]),
        (at(23, 45), ["2026-03-05"]),
    ],
)
def test_the_ingest_takes_today_and_until_half_past_midnight_yesterday(moment: datetime, days: list[str]) -> None:
    assert requested("ingest_every_15_minutes", moment) == days


def test_yesterday_is_closed_at_twenty_past_midnight() -> None:
    assert requested("close_yesterday_daily", at(0, 20)) == ["2026-03-04"]


def test_features_of_today_are_computed_every_hour() -> None:
    assert requested("features_hourly", at(0, 10)) == ["2026-03-05"]
    assert requested("features_hourly", at(23, 10)) == ["2026-03-05"]


def test_what_looks_at_a_window_follows_once_yesterday_has_been_closed() -> None:
    assert requested("analyse_yesterday_daily", at(0, 50)) == ["2026-03-04"]
    selected = defs.get_repository_def().get_job("analyse_day").asset_layer.executable_asset_keys
    layers = {"features", "graph", "simulation"}
    live = dg.AssetKey(["graph", "live"])
    assert set(selected) == {
        key for key in defs.resolve_asset_graph().materializable_asset_keys if key.path[0] in layers and key != live
    }
    assert live in defs.get_repository_def().get_job("ingest").asset_layer.executable_asset_keys


def test_late_data_of_a_day_brings_its_features_up_to_date() -> None:
    selected = defs.get_repository_def().get_job("close_day").asset_layer.executable_asset_keys
    assert dg.AssetKey(["features", "jobs"]) in selected


@pytest.mark.parametrize("asset", sorted(node.key.to_user_string() for node in defs.resolve_asset_graph().asset_nodes))
def test_every_asset_is_requested_by_a_schedule_that_runs(asset: str) -> None:
    """A new asset without a clock fails here."""
    repository = defs.get_repository_def()
    graph = defs.resolve_asset_graph()
    running = [s for s in repository.schedule_defs if s.default_status == dg.DefaultScheduleStatus.RUNNING]
    covered = {
        key.to_user_string()
        for schedule in running
        for key in repository.get_job(schedule.job_name).asset_layer.executable_asset_keys
    }
    assert graph.has(dg.AssetKey(asset.split("/")))
    assert asset in covered


def evaluate_late_sensor(folder: Path, cursor: str | None = None):
    resource = NomadeResource(data_dir=str(folder))
    definitions = build_defs(resource)
    sensor = definitions.resolve_sensor_def("late_data_sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            resources={"nomade": resource},
            repository_def=definitions.get_repository_def(),
        )
        return sensor.evaluate_tick(context)


def test_a_late_spool_file_requests_its_day_and_an_ingested_one_does_not(tmp_path: Path) -> None:
    spool(tmp_path / "spool", reading_of(IOSTAT_CPU, T0))
    with clock.set_to(T0 + timedelta(days=2)):
        first = evaluate_late_sensor(tmp_path)
        publish_day(Store.at(tmp_path), IOSTAT_CPU, DAY)
        second = evaluate_late_sensor(tmp_path, first.cursor)
        spool(tmp_path / "spool", reading_of(IOSTAT_CPU, T0 + timedelta(minutes=1)))
        third = evaluate_late_sensor(tmp_path, first.cursor)
    assert [request.partition_key for request in first.run_requests] == [DAY.isoformat()]
    assert second.run_requests == []
    assert [request.partition_key for request in third.run_requests] == [DAY.isoformat()]
    assert third.run_requests[0].run_key != first.run_requests[0].run_key


def test_todays_spool_is_not_late(tmp_path: Path) -> None:
    spool(tmp_path / "spool", reading_of(IOSTAT_CPU, T0))
    with clock.set_to(T0 + timedelta(minutes=5)):
        assert evaluate_late_sensor(tmp_path).run_requests == []

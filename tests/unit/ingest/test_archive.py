"""History from sysstat's archives: what is filled, and what is left alone."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from support.needs import REPOSITORY
from support.rows import reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config, GeneralSettings
from nomade_pipeline.ingest.archive import publish_archive
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.replay import Recorded, ReplayProbe
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import DISK, IOSTAT, MPSTAT, MPSTAT_SUMMARY, VMSTAT

DAY = date(2026, 11, 22)
RECORDED = (REPOSITORY / "tests/fixtures/sadf/restart.json").read_text()
NEXT_DAY = datetime(2026, 11, 23, 12, tzinfo=UTC)


def archive_probe() -> ReplayProbe:
    """Serve the recorded archive as the file of the day."""
    return ReplayProbe(commands=[Recorded(("sadf",), RECORDED)], files={"/var/log/sysstat/sa22": ""}, start=NEXT_DAY)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    general = GeneralSettings(cluster_name="alpha", host="node1", data_dir=str(tmp_path))
    return dataclasses.replace(Config(), general=general)


@pytest.mark.parametrize("table", [IOSTAT, MPSTAT, MPSTAT_SUMMARY, VMSTAT], ids=lambda table: table.name)
def test_a_past_day_without_agent_is_filled_from_the_archive(tmp_path: Path, config: Config, table) -> None:
    store = Store.at(tmp_path)
    with clock.set_to(NEXT_DAY):
        added = publish_archive(store, config, table, DAY, archive_probe())
        again = publish_archive(store, config, table, DAY, archive_probe())
    rows = store.lake.read_day(table, "alpha", DAY)
    assert added == rows.height > 0
    assert again == 0
    assert set(rows["source"]) == {"sadf"}
    assert set(rows["host"]) == {"node1"}
    assert rows["interval_seconds"].min() > 0


def test_an_hour_with_agent_rows_of_this_host_is_left_alone(tmp_path: Path, config: Config) -> None:
    store = Store.at(tmp_path)
    agent_hour = datetime(2026, 11, 22, 5, 30, tzinfo=UTC)
    spool(store.spool, reading_of(VMSTAT, agent_hour))
    with clock.set_to(NEXT_DAY):
        publish_day(store, VMSTAT, DAY)
        publish_archive(store, config, VMSTAT, DAY, archive_probe())
    rows = store.lake.read_day(VMSTAT, "alpha", DAY)
    in_agent_hour = rows.filter(rows["sample_time"].dt.hour() == 5)
    assert set(in_agent_hour["source"]) == {"tool"}


def test_an_hour_with_rows_of_another_host_only_is_filled(tmp_path: Path, config: Config) -> None:
    store = Store.at(tmp_path)
    spool(store.spool, reading_of(VMSTAT, datetime(2026, 11, 22, 5, 30, tzinfo=UTC)), host="node2")
    with clock.set_to(NEXT_DAY):
        publish_day(store, VMSTAT, DAY)
        assert publish_archive(store, config, VMSTAT, DAY, archive_probe()) > 0


def test_a_day_without_archive_and_a_table_without_one_stay_as_they_are(tmp_path: Path, config: Config) -> None:
    store = Store.at(tmp_path)
    with clock.set_to(NEXT_DAY):
        nothing = ReplayProbe(commands=[], files={}, start=NEXT_DAY)
        assert publish_archive(store, config, VMSTAT, DAY, nothing) == 0
        assert publish_archive(store, config, DISK, DAY, archive_probe()) == 0
        assert publish_archive(store, config, VMSTAT, DAY - timedelta(days=5), archive_probe()) == 0

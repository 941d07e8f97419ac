"""Raw and rollup assets on an ephemeral instance, with a real spool and a set clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from support.rows import DAY, T0, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.system import DISK, IOSTAT_CPU, VMSTAT

UNATTENDED = {"nomade/unattended": "test"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own, with no configuration of the machine in sight."""
    for name in ("NOMADE_CONFIG", "NOMADE_GENERAL__DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NOMADE_GENERAL__DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, job: str = "ingest", day: str = DAY.isoformat(), **options: Any) -> dg.ExecuteInProcessResult:
    """Run a job's partition five minutes after T0, or when the caller has set the clock."""
    definitions = build_defs(NomadeResource(data_dir=str(folder)))
    tags = options.pop("tags", UNATTENDED)
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=day, tags=tags, raise_on_error=False, **options
        )


def checks(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dg.AssetCheckEvaluation]:
    return {
        check.check_name: check
        for check in result.get_asset_check_evaluations()
        if check.asset_key == dg.AssetKey(asset.split("/"))
    }


def rows_of(result: dg.ExecuteInProcessResult, asset: str) -> Any:
    for event in result.get_asset_materialization_events():
        if event.materialization.asset_key == dg.AssetKey(asset.split("/")):
            return event.materialization.metadata["dagster/partition_row_count"].value
    return None


def minutes(table: Any, count: int) -> list[Any]:
    return [reading_of(table, T0 + timedelta(minutes=minute)) for minute in range(count)]


def test_a_spool_becomes_partitions_and_rollups_with_their_row_counts(folder: Path) -> None:
    spool(folder / "spool", *minutes(IOSTAT_CPU, 5))
    with clock.set_to(T0 + timedelta(minutes=5)):
        result = run(folder)
    assert result.success
    assert rows_of(result, "raw/iostat_cpu") == 5
    assert rows_of(result, "rollup/hourly") == len(IOSTAT_CPU.measures)
    store = Store.at(folder)
    stored = store.rollups.rows("SELECT count, sum FROM hourly WHERE metric = 'user_percent'")
    assert stored == [{"count": 5, "sum": 10.0}]


def test_a_second_run_changes_nothing(folder: Path) -> None:
    spool(folder / "spool", *minutes(IOSTAT_CPU, 5))
    with clock.set_to(T0 + timedelta(minutes=5)):
        run(folder)
        before = {path: path.read_bytes() for path in (folder / "lake").rglob("*.parquet")}
        result = run(folder)
    assert result.success
    assert rows_of(result, "raw/iostat_cpu") == 5
    assert {path: path.read_bytes() for path in (folder / "lake").rglob("*.parquet")} == before


def test_a_dead_agent_fails_the_newest_data_check_and_a_living_one_passes(folder: Path) -> None:
    spool(folder / "spool", *minutes(IOSTAT_CPU, 5))
    with clock.set_to(T0 + timedelta(minutes=6)):
        alive = checks(run(folder), "raw/iostat_cpu")["newest_data_is_there"]
    with clock.set_to(T0 + timedelta(hours=2)):
        dead = checks(run(folder), "raw/iostat_cpu")["newest_data_is_there"]
    assert alive.passed
    assert not dead.passed
    assert "is the agent running?" in str(dead.description)


def test_an_empty_spool_fails_the_newest_data_check_of_a_scheduled_run(folder: Path) -> None:
    with clock.set_to(T0):
        result = run(folder)
    assert result.success
    assert not checks(result, "raw/disk")["newest_data_is_there"].passed
    assert not (folder / "spool").exists(), "a scheduled run never samples"


def test_a_collector_that_has_nothing_to_collect_passes_the_newest_data_check(folder: Path) -> None:
    skipped = data_of(COLLECTION_LOG, collector="gpu", outcome="skipped", category="not_present", message="no GPU here")
    spool(folder / "spool", reading_of(COLLECTION_LOG, T0, skipped))
    with clock.set_to(T0 + timedelta(minutes=1)):
        check = checks(run(folder), "raw/gpu")["newest_data_is_there"]
    assert check.passed
    assert "no GPU here" in str(check.description)


def test_quarantined_rows_warn_with_their_reason_and_the_rest_is_published(folder: Path) -> None:
    bad = data_of(IOSTAT_CPU, user_percent=150.0)
    spool(folder / "spool", *minutes(IOSTAT_CPU, 3), reading_of(IOSTAT_CPU, T0 + timedelta(minutes=4), bad))
    with clock.set_to(T0 + timedelta(minutes=5)):
        result = run(folder)
    check = checks(result, "raw/iostat_cpu")["rows_fulfil_the_contract"]
    assert result.success
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "user_percent is above 100 (1)" in str(check.description)
    assert rows_of(result, "raw/iostat_cpu") == 3


def test_too_many_refused_rows_fail_the_run_keep_the_old_file_and_leave_the_rest_alone(folder: Path) -> None:
    spool(folder / "spool", *minutes(IOSTAT_CPU, 3), *minutes(VMSTAT, 3))
    with clock.set_to(T0 + timedelta(minutes=5)):
        run(folder)
    bad = [data_of(IOSTAT_CPU, user_percent=150.0)] * 150
    spool(folder / "spool", reading_of(IOSTAT_CPU, T0 + timedelta(minutes=6), *bad))
    spool(folder / "spool", reading_of(VMSTAT, T0 + timedelta(minutes=6)))
    with clock.set_to(T0 + timedelta(minutes=7)):
        result = run(folder)
    assert not result.success
    check = checks(result, "raw/iostat_cpu")["rows_fulfil_the_contract"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert Store.at(folder).lake.count(IOSTAT_CPU, "alpha", DAY) == 3
    assert rows_of(result, "raw/vmstat") == 4
    with clock.set_to(T0 + timedelta(minutes=7)):
        assert run(folder, "roll_up").success
    counts = Store.at(folder).rollups.rows(
        "SELECT count FROM hourly WHERE table_name = 'vmstat' AND metric = 'free_bytes'"
    )
    assert counts == [{"count": 4}], "the rollups of the other tables go on"


def test_a_person_who_materialises_today_on_a_fresh_install_samples_this_host(folder: Path) -> None:
    result = run(folder, day=clock.today().isoformat(), tags={}, asset_selection=[dg.AssetKey(["raw", "disk"])])
    assert result.success
    assert rows_of(result, "raw/disk") >= 1
    rows = Store.at(folder).lake.read(
        DISK,
        clock.start_of(clock.today()),
        clock.now() + timedelta(minutes=1),
    )
    assert set(rows["source"]) <= {"manual-tool", "manual-proc"}


def test_a_closed_day_is_one_file_with_all_its_hours(folder: Path) -> None:
    for hour in (1, 5, 23):
        spool(folder / "spool", reading_of(IOSTAT_CPU, clock.start_of(DAY) + timedelta(hours=hour)))
    with clock.set_to(clock.start_of(DAY) + timedelta(days=1, minutes=20)):
        result = run(folder)
    store = Store.at(folder)
    assert result.success
    assert [path.name for path in store.lake.partition(IOSTAT_CPU, "alpha", DAY).iterdir()] == ["day.parquet"]
    assert rows_of(result, "raw/iostat_cpu") == 3


def test_a_range_of_days_is_one_run_and_each_day_is_counted(folder: Path) -> None:
    days = [DAY - timedelta(days=back) for back in (2, 1, 0)]
    for day in days:
        spool(folder / "spool", reading_of(IOSTAT_CPU, clock.start_of(day) + timedelta(hours=3)))
    definitions = build_defs(NomadeResource(data_dir=str(folder)))
    key_range = dg.PartitionKeyRange(days[0].isoformat(), days[-1].isoformat())
    tags = {
        "dagster/asset_partition_range_start": key_range.start,
        "dagster/asset_partition_range_end": key_range.end,
        **UNATTENDED,
    }
    with clock.set_to(clock.start_of(DAY) + timedelta(hours=4)), dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("ingest").execute_in_process(instance=instance, tags=tags)
        keys = instance.get_materialized_partitions(dg.AssetKey(["raw", "iostat_cpu"]))
    assert result.success
    assert keys == {day.isoformat() for day in days}


def test_the_close_of_a_day_runs_the_great_expectations_suites(folder: Path) -> None:
    spool(folder / "spool", *minutes(IOSTAT_CPU, 5))
    with clock.set_to(T0 + timedelta(minutes=5)):
        result = run(folder, "close_day")
    assert result.success
    suite = checks(result, "raw/iostat_cpu")["great_expectations_suite"]
    assert suite.passed, suite.description
    assert int(str(suite.metadata["expectations"].value)) > 10
    assert int(str(suite.metadata["rows"].value)) == 5

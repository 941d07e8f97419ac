"""What the configuration changes in Dagster's runs; it is read at each run, not at the start."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.runs.schema import RunsTable
from support.rows import DAY, T0, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import IOSTAT_CPU


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose configuration file the runs read."""
    monkeypatch.delenv("NOMADE_GENERAL__DATA_DIR", raising=False)
    configure(tmp_path, "")
    return tmp_path


def configure(site: Path, text: str) -> None:
    (site / "nomade.toml").write_text(f'[general]\ndata_dir = "{site}"\ncluster_name = "alpha"\n{text}')


def resource(site: Path) -> NomadeResource:
    return NomadeResource(config_path=str(site / "nomade.toml"))


def ingest(site: Path) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return (
            build_defs(resource(site))
            .resolve_job_def("ingest")
            .execute_in_process(
                instance=instance,
                partition_key=DAY.isoformat(),
                tags={"nomade/unattended": "test"},
                raise_on_error=False,
                asset_selection=[dg.AssetKey(["raw", "iostat_cpu"])],
            )
        )


def newest_check(result: dg.ExecuteInProcessResult) -> bool:
    return next(c.passed for c in result.get_asset_check_evaluations() if c.check_name == "newest_data_is_there")


def test_the_age_of_stale_data_is_configured(site: Path) -> None:
    spool(site / "spool", reading_of(IOSTAT_CPU, T0))
    with clock.set_to(T0 + timedelta(minutes=40)):
        configure(site, "[pipeline]\nstale_after_minutes = 30\n")
        assert not newest_check(ingest(site))
        configure(site, "[pipeline]\nstale_after_minutes = 60\n")
        assert newest_check(ingest(site))


def test_the_quarantine_limit_decides_whether_an_hour_is_published(site: Path) -> None:
    """Thirty of a hundred rows are bad."""
    good = [reading_of(IOSTAT_CPU, T0 + timedelta(seconds=second)) for second in range(70)]
    bad = [
        reading_of(IOSTAT_CPU, T0 + timedelta(minutes=5, seconds=second), data_of(IOSTAT_CPU, user_percent=150.0))
        for second in range(30)
    ]
    spool(site / "spool", *good, *bad)
    with clock.set_to(T0 + timedelta(minutes=10)):
        configure(site, "[pipeline]\nquarantine_limit_percent = 20\n")
        assert not ingest(site).success
        assert Store.at(site).lake.count(IOSTAT_CPU, "alpha", DAY) == 0
        configure(site, "[pipeline]\nquarantine_limit_percent = 40\n")
        assert ingest(site).success
    assert Store.at(site).lake.count(IOSTAT_CPU, "alpha", DAY) == 70


def test_a_run_with_a_broken_configuration_fails_at_once_with_file_line_and_key(site: Path) -> None:
    (site / "nomade.toml").write_text("[general]\nclustername = 'x'\n")
    result = ingest(site)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "nomade.toml:2: [general] clustername: unknown key; did you mean cluster_name?" in str(
        failure.event_specific_data
    )
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_a_process_that_has_read_a_good_configuration_keeps_it_and_says_so(site: Path) -> None:
    """A sensor's process lives for weeks."""
    watched = resource(site)
    assert watched.config().general.cluster_name == "alpha"
    (site / "nomade.toml").write_text("[general]\nclustername = 'x'\n")
    assert watched.config().general.cluster_name == "alpha"
    assert "clustername" in str(watched.config_problem())
    configure(site, "log_level = 'DEBUG'\n")
    assert watched.config().general.log_level == "DEBUG"
    assert watched.config_problem() is None


def test_old_runs_of_dagster_go_and_young_ones_stay(site: Path) -> None:
    configure(site, "[retention]\ndagster_runs_days = 30\n")
    definitions = build_defs(resource(site))
    now = clock.now()
    with dg.DagsterInstance.ephemeral() as instance:
        old, young = (
            definitions.resolve_job_def("maintenance").execute_in_process(instance=instance).run_id for _ in range(2)
        )
        with instance.run_storage.connect() as connection:
            aged = (now - timedelta(days=31)).replace(tzinfo=None)
            connection.execute(RunsTable.update().where(RunsTable.c.run_id == old).values(create_timestamp=aged))
        result = definitions.resolve_job_def("maintenance").execute_in_process(instance=instance)
        assert not instance.has_run(old)
        assert instance.has_run(young)
    assert result.success


def test_maintenance_applies_the_retention_of_the_configuration(site: Path) -> None:
    file = spool(site / "spool", reading_of(IOSTAT_CPU, T0))
    with clock.set_to(T0 + timedelta(minutes=5)):
        assert ingest(site).success
    configure(site, "[retention]\nspool_hours = 5\n")
    for hours, stays in ((4, True), (7, False)):
        with clock.set_to(T0 + timedelta(hours=hours)), dg.DagsterInstance.ephemeral() as instance:
            build_defs(resource(site)).resolve_job_def("maintenance").execute_in_process(instance=instance)
        assert file.exists() is stays


def test_a_past_day_that_a_command_wrote_is_a_partition_of_the_catalogue(
    site: Path,
) -> None:
    """Imports and backfills write days outside of Dagster's runs."""
    from nomade_pipeline.cli.main import main
    from nomade_pipeline.config.paths import DataPaths
    from nomade_pipeline.supervisor import create_dagster_storage, environment, prepare_dagster_home

    paths = DataPaths(site)
    prepare_dagster_home(paths)
    create_dagster_storage(environment(paths, None, os.environ))
    spool(site / "spool", reading_of(IOSTAT_CPU, T0))
    with clock.set_to(T0 + timedelta(days=2)):
        assert main(["--config", str(site / "nomade.toml"), "ingest"]) == 0
    with dg.DagsterInstance.from_config(str(paths.dagster_home)) as instance:
        keys = instance.get_materialized_partitions(dg.AssetKey(["raw", "iostat_cpu"]))
        (record,) = instance.fetch_materializations(dg.AssetKey(["raw", "iostat_cpu"]), limit=5).records
    assert keys == {DAY.isoformat()}
    assert record.asset_materialization is not None
    assert record.asset_materialization.metadata["dagster/partition_row_count"].value == 1

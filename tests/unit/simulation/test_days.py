"""The simulation tables of a day, from planted jobs in a lake."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.rows import CLUSTER, DAY
from support.simulated_lake import fill_lake

from nomade_pipeline import clock
from nomade_pipeline.config.analysis_settings import DriftSettings, SimulationSettings
from nomade_pipeline.config.settings import Config
from nomade_pipeline.simulation.cloud import Cloud
from nomade_pipeline.simulation.day import (
    anomalies_of_day,
    cloud_of_day,
    coverage_of_day,
    drift_of_day,
    validation_of_day,
)
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.features import JOB_FEATURES
from nomade_pipeline.tables.simulation import (
    CLOUD_MODEL,
    DRIFT,
    SIMULATION_ANOMALIES,
    SIMULATION_CLOUD,
    SIMULATION_COVERAGE,
    SIMULATION_VALIDATION,
)

CONFIG = Config(simulation=SimulationSettings(jobs=600), drift=DriftSettings(look_back_days=3))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Twelve days of jobs of which the last two drifted, with the cloud of the last day."""
    store = fill_lake(tmp_path_factory.mktemp("lake"), drift_days=2)
    cloud_of_day(store, CONFIG, DAY)
    return store


def test_the_cloud_of_a_day_is_made_of_the_window_before_it(store: Store) -> None:
    (row,) = store.lake.read_day(CLOUD_MODEL, CLUSTER, DAY).to_dicts()
    assert row["last_day"] == DAY - timedelta(days=1)
    # A few of the 150 planted jobs a day have fewer than five measured quantities.
    assert 11 * 140 < row["jobs"] < 11 * 150
    assert row["fitted"] == row["jobs"] // 2
    drawn = store.lake.read_day(SIMULATION_CLOUD, CLUSTER, DAY)
    assert drawn["cell"].n_unique() == row["cells"] == len(Cloud.from_json(row["model"]).cells)
    assert drawn["swap_activity"].null_count() > 0


def test_doing_it_again_changes_nothing(store: Store) -> None:
    before = store.lake.read_day(SIMULATION_CLOUD, CLUSTER, DAY)
    cloud_of_day(store, CONFIG, DAY)
    assert store.lake.read_day(SIMULATION_CLOUD, CLUSTER, DAY).equals(before)


def test_validation_and_coverage_are_written_beside_their_floors(store: Store) -> None:
    figures = validation_of_day(store, CONFIG, DAY)[CLUSTER]
    assert 0.4 < figures["c2st_floor"] < 0.6
    rows = store.lake.read_day(SIMULATION_VALIDATION, CLUSTER, DAY)
    assert rows.filter(measure="c2st")["value"][0] == pytest.approx(figures["c2st"], abs=1e-4)
    coverage_of_day(store, CONFIG, DAY)
    shares = store.lake.read_day(SIMULATION_COVERAGE, CLUSTER, DAY)
    assert shares["measure"].to_list() == ["cloud_plausible", "real_inside"]
    assert (shares["low"] < shares["value"]).all()


def test_the_odd_jobs_of_the_day_are_told_with_their_reasons(store: Store) -> None:
    figures = anomalies_of_day(store, CONFIG, DAY)[CLUSTER]
    rows = store.lake.read_day(SIMULATION_ANOMALIES, CLUSTER, DAY)
    assert 140 <= figures["jobs"] < 150
    assert figures["odd"] == rows.height > 0
    assert (rows["p"] <= 0.01).all()
    assert set(rows["job_id_raw"]) <= set(store.lake.read_day(JOB_FEATURES, CLUSTER, DAY)["job_id_raw"])
    assert rows["words"].str.contains("jobs like it").any()


def test_drift_is_told_with_its_first_day_and_nothing_is_to_be_trained_yet(store: Store) -> None:
    figures = drift_of_day(store, CONFIG, DAY)[CLUSTER]
    rows = store.lake.read_day(DRIFT, CLUSTER, DAY)
    drifted = rows.filter(level="drift")
    assert "avg_core_busy" in drifted["quantity"].to_list()
    assert drifted["since"].min() >= DAY - timedelta(days=2)
    assert figures["level"] == "drift"
    assert figures["retraining_due"] is False


def test_quiet_days_are_no_drift(store: Store) -> None:
    figures = drift_of_day(store, CONFIG, DAY - timedelta(days=2))[CLUSTER]
    assert figures["changed"] == "nothing"


def test_days_without_jobs_are_not_judged_and_have_no_odd_jobs(tmp_path: Path) -> None:
    store = fill_lake(tmp_path, days=6)
    later = DAY + timedelta(days=4)
    assert (
        drift_of_day(store, CONFIG, later)[CLUSTER]["note"] == f"0 jobs since {DAY + timedelta(days=1)}; 30 are needed"
    )
    cloud_of_day(store, CONFIG, later)
    assert anomalies_of_day(store, CONFIG, later)[CLUSTER] == {"jobs": 0, "odd": 0, "sure": 0}


def test_the_days_that_are_looked_back_at_are_configured(store: Store) -> None:
    figures = drift_of_day(store, replace(CONFIG, drift=DriftSettings(look_back_days=1)), DAY)[CLUSTER]
    assert 140 <= figures["jobs"] < 150
    assert 420 <= drift_of_day(store, CONFIG, DAY)[CLUSTER]["jobs"] < 450


def test_the_number_of_simulated_jobs_is_configured(store: Store) -> None:
    assert store.lake.read_day(SIMULATION_CLOUD, CLUSTER, DAY).height == 600


def test_the_window_of_the_cloud_is_configured(tmp_path: Path) -> None:
    store = fill_lake(tmp_path, days=6)
    cloud_of_day(store, replace(CONFIG, simulation=SimulationSettings(window_days=4, jobs=100)), DAY)
    (row,) = store.lake.read_day(CLOUD_MODEL, CLUSTER, DAY).to_dicts()
    assert row["first_day"] == DAY - timedelta(days=4)
    assert 560 <= row["jobs"] < 600


def test_a_window_with_too_little_says_what_is_missing_and_leaves_no_old_cloud(tmp_path: Path) -> None:
    store = fill_lake(tmp_path, days=6)
    cloud_of_day(store, CONFIG, DAY)
    for number in range(1, 6):
        day = DAY - timedelta(days=number)
        few = store.lake.read_day(JOB_FEATURES, CLUSTER, day)
        store.lake.replace(JOB_FEATURES, CLUSTER, day, few.head(3))
    figures = cloud_of_day(store, CONFIG, DAY)[CLUSTER]
    assert figures["note"] == "15 jobs with 5 measured quantities; 400 are needed"
    assert store.lake.read_day(SIMULATION_CLOUD, CLUSTER, DAY).is_empty()
    assert validation_of_day(store, CONFIG, DAY)[CLUSTER]["note"] == figures["note"]
    assert anomalies_of_day(store, CONFIG, DAY)[CLUSTER]["note"] == figures["note"]


def test_quantities_that_were_never_measured_make_no_cloud(tmp_path: Path) -> None:
    import polars as pl

    store = fill_lake(tmp_path, days=3)
    for number in range(3):
        day = DAY - timedelta(days=number)
        rows = store.lake.read_day(JOB_FEATURES, CLUSTER, day)
        null = [pl.lit(None).alias(name) for name in rows.columns[8:] if rows[name].dtype == pl.Float64]
        bare = rows.with_columns(null).with_columns(runtime_minutes=rows["runtime_minutes"]).cast(rows.schema)
        store.lake.replace(JOB_FEATURES, CLUSTER, day, bare)
    assert "of 17 quantities are measured and vary" in cloud_of_day(store, CONFIG, DAY)[CLUSTER]["note"]


def test_drift_without_jobs_before_the_days_that_are_judged_says_so(tmp_path: Path) -> None:
    store = fill_lake(tmp_path, days=3)
    assert "no job ended in the 30 days up to" in drift_of_day(store, CONFIG, DAY)[CLUSTER]["note"]


def test_a_cluster_without_jobs_in_these_days_is_left_alone(store: Store) -> None:
    with clock.set_to(clock.start_of(DAY + timedelta(days=100))):
        assert cloud_of_day(store, CONFIG, DAY + timedelta(days=100)) == {}

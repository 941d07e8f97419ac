"""Simulation assets on an ephemeral instance, over a lake with planted jobs and a set clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from support.rows import CLUSTER, DAY, T0
from support.simulated_lake import fill_lake

from assets.simulation import RESEMBLES_CHECK, SIMULATION_ASSETS, resembles
from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.resources import NomadeResource

KEYS = [key for asset in SIMULATION_ASSETS for key in asset.keys]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def analysed(folder: Path) -> tuple[dict[str, dict], dg.ExecuteInProcessResult]:
    """Return the metadata of each asset of the day, and the run."""
    definitions = build_defs(NomadeResource(data_dir=str(folder)))
    with dg.DagsterInstance.ephemeral() as instance, clock.set_to(T0 + timedelta(days=1)):
        job = definitions.resolve_job_def("analyse_day")
        result = job.execute_in_process(instance=instance, partition_key=DAY.isoformat(), asset_selection=KEYS)
        events = result.get_asset_materialization_events()
    return {event.materialization.asset_key.path[-1]: event.materialization.metadata for event in events}, result


def test_a_day_is_simulated_with_figures_pictures_and_a_check(tmp_path: Path) -> None:
    fill_lake(tmp_path, days=12, drift_days=2)
    metadata, result = analysed(tmp_path)
    assert result.success
    assert set(metadata) == {"cloud", "validation", "coverage", "anomalies", "drift"}
    for subject, own in metadata.items():
        shown = own[f"{CLUSTER}: picture"].value
        assert shown.startswith("![picture](data:image/png;base64,"), subject
        assert len(shown) < 140_000, subject
    assert metadata["drift"][f"{CLUSTER}: retraining_due"].value is False
    assert metadata["drift"][f"{CLUSTER}: level"].value == "drift"
    (check,) = (each for each in result.get_asset_check_evaluations() if each.check_name == RESEMBLES_CHECK)
    assert check.description.startswith(f"{CLUSTER}: AUC ")


def test_a_window_with_too_little_materialises_with_a_note(tmp_path: Path) -> None:
    fill_lake(tmp_path, days=2, jobs=20)
    metadata, result = analysed(tmp_path)
    assert result.success
    assert metadata["cloud"][f"{CLUSTER}: note"].value.endswith(" jobs with 5 measured quantities; 400 are needed")
    assert all(f"{CLUSTER}: note" in own for own in metadata.values())


def test_a_site_without_jobs_materialises_nothing_and_says_so(tmp_path: Path) -> None:
    metadata, result = analysed(tmp_path)
    assert result.success
    assert {own["note"].value for own in metadata.values()} == {"no job ended in these days"}


def test_a_cloud_that_is_told_apart_fails_the_check() -> None:
    assert resembles({"alpha": {"c2st": 0.59}, "beta": {"note": "0 of 17"}}).passed
    assert not resembles({"alpha": {"c2st": 0.61}}).passed

"""What the network says, as assets on an ephemeral instance over a lake with planted jobs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Mapping

import dagster as dg
import pytest
from support.planted import outcomes, planted_jobs
from support.planted_lake import CLUSTER, fill_window, fill_window_without_graph
from support.rows import DAY, T0

from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.network import NETWORK_TABLES

SUBJECTS = ("communities", "statistics", "layout", "hotspots")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def analysed(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Run the network's assets for the day; return their metadata by subject."""
    definitions = build_defs(NomadeResource(data_dir=str(folder)))
    keys = [dg.AssetKey(["graph", subject]) for subject in SUBJECTS]
    with dg.DagsterInstance.ephemeral() as instance, clock.set_to(T0 + timedelta(days=1)):
        job = definitions.resolve_job_def("analyse_day")
        result = job.execute_in_process(instance=instance, partition_key=DAY.isoformat(), asset_selection=keys)
    assert result.success
    return {
        event.materialization.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }


def test_the_assets_tell_figures_and_show_pictures(tmp_path: Path) -> None:
    jobs = planted_jobs(400, seed=3)
    fill_window(Store.at(tmp_path), DAY, jobs, outcomes(jobs, {"memory": 0.6}))
    metadata = analysed(tmp_path)
    assert metadata["communities"]["communities"].value == 8
    assert metadata["statistics"]["verdict"].value.startswith(f"{CLUSTER}: ")
    assert metadata["layout"]["nodes"].value == 400
    assert metadata["hotspots"]["hotspots"].value >= 1
    for subject in SUBJECTS:
        shown = metadata[subject][f"picture_{CLUSTER}"].value
        assert shown.startswith("![picture](data:image/png;base64,")
        assert len(shown) < 140_000
    lake = Store.at(tmp_path).lake
    assert all(lake.read_day(table, CLUSTER, DAY).height for table in NETWORK_TABLES)


def test_a_window_with_too_few_quantities_materialises_and_says_so(tmp_path: Path) -> None:
    fill_window_without_graph(Store.at(tmp_path), DAY)
    metadata = analysed(tmp_path)
    assert metadata["communities"]["note"].value == "1 of 17 measured: no similarity graph"
    assert metadata["communities"]["communities"].value == 0
    assert "1 of 17 measured" in metadata["statistics"]["verdict"].value
    assert f"picture_{CLUSTER}" not in metadata["layout"]


def test_a_site_without_jobs_materialises_nothing(tmp_path: Path) -> None:
    metadata = analysed(tmp_path)
    assert metadata["communities"]["communities"].value == 0
    assert metadata["hotspots"]["bins_tested"].value == 0

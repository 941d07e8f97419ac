"""What the network says, as assets on an ephemeral instance over a lake with planted jobs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Mapping

import dagster as dg
import pytest
from support.features import CLUSTER as ALPHA
from support.features import features_of, store_with
from support.planted import outcomes, planted_jobs
from support.planted_lake import CLUSTER, fill_window, fill_window_without_graph
from support.rows import DAY, T0, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.features import JOB_FEATURES, VECTOR
from nomade_pipeline.tables.network import NETWORK_TABLES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

SUBJECTS = ("communities", "statistics", "layout", "hotspots")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def analysed(folder: Path, subjects: tuple[str, ...] = SUBJECTS) -> dict[str, Mapping[str, Any]]:
    """Run the network's assets for the day; return their metadata by subject."""
    definitions = build_defs(NomadeResource(data_dir=str(folder)))
    keys = [dg.AssetKey(["graph", subject]) for subject in subjects]
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


def test_networks_are_made_of_features_and_of_records_and_tell_why_where_there_is_none(tmp_path: Path) -> None:
    store = store_with(tmp_path, features_of(60))
    store.lake.replace(JOB_FEATURES, "trace", DAY, features_of(5, cluster="trace", **dict.fromkeys(VECTOR[2:])))
    times = {"submit_time": T0, "start_time": T0}
    ends = [row_of(JOB_METRICS, **times, job_id_raw="1", end_time=T0, sample_time=T0)]
    later = T0 + timedelta(hours=2)
    ends.append(
        row_of(JOB_METRICS, job_id_raw="2", submit_time=T0 + timedelta(hours=1), end_time=later, sample_time=later)
    )
    store.lake.replace(JOB_METRICS, ALPHA, DAY, frame_of(JOB_METRICS, ends))
    metadata = analysed(tmp_path, ("similarity", "request"))
    assert metadata["similarity"]["nodes"].value == 60
    assert metadata["similarity"]["without_graph"].value == "trace: 2 of 17 measured: no similarity graph"
    assert metadata["request"]["links"].value == 1
    for subject in ("similarity", "request"):
        assert f"picture_{ALPHA}" in metadata[subject]
    assert "picture_trace" not in metadata["similarity"]

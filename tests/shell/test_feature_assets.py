"""Feature assets on an ephemeral instance, over a lake with jobs and a set clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from support.rows import CLUSTER, DAY, T0, at, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.features import FEATURE_CORRELATION, FEATURE_VARIANCE, JOB_FEATURES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty jobs that ended on one day, in the lake."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    rows = [
        row_of(
            JOB_METRICS,
            job_id_raw=str(number),
            start_time=T0,
            end_time=at(number),
            sample_time=at(number),
            elapsed_seconds=60.0 * number,
            cpu_efficiency_ratio=number / 20,
            failure_class=number % 4,
        )
        for number in range(1, 21)
    ]
    Store.at(tmp_path).lake.publish(JOB_METRICS, CLUSTER, DAY, frame_of(JOB_METRICS, rows))
    return tmp_path


def test_a_day_is_analysed_and_the_figures_and_pictures_are_there(folder: Path) -> None:
    definitions = build_defs(NomadeResource(data_dir=str(folder)))
    keys = [dg.AssetKey(["features", name]) for name in ("jobs", "correlation", "variance")]
    with dg.DagsterInstance.ephemeral() as instance, clock.set_to(T0 + timedelta(days=1)):
        job = definitions.resolve_job_def("analyse_day")
        result = job.execute_in_process(instance=instance, partition_key=DAY.isoformat(), asset_selection=keys)
    assert result.success
    metadata = {
        event.materialization.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert metadata["jobs"]["dagster/partition_row_count"].value == 20
    assert metadata["variance"]["measured"].value.startswith(f"{CLUSTER}: ")
    assert "cpu_efficiency and runtime_minutes" in metadata["correlation"]["redundant_pairs"].value
    for subject in ("correlation", "variance"):
        shown = metadata[subject][f"picture_{CLUSTER}"].value
        assert shown.startswith("![picture](data:image/png;base64,")
        assert len(shown) < 140_000
    lake = Store.at(folder).lake
    for table in (JOB_FEATURES, FEATURE_CORRELATION, FEATURE_VARIANCE):
        assert lake.read_day(table, CLUSTER, DAY).height


def test_a_site_without_jobs_materialises_nothing_and_says_so(tmp_path: Path) -> None:
    definitions = build_defs(NomadeResource(data_dir=str(tmp_path)))
    keys = [dg.AssetKey(["features", name]) for name in ("jobs", "correlation", "variance")]
    with dg.DagsterInstance.ephemeral() as instance, clock.set_to(T0 + timedelta(days=1)):
        job = definitions.resolve_job_def("analyse_day")
        result = job.execute_in_process(instance=instance, partition_key=DAY.isoformat(), asset_selection=keys)
        rows = [e.materialization.metadata for e in result.get_asset_materialization_events()]
    assert result.success
    assert rows[0]["jobs"].value == 0
    assert not (tmp_path / "lake" / "features").exists()

"""Trend and score assets on an ephemeral instance, with real spools and a set clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from support.installation import GB, disk_row
from support.rows import CLUSTER, DAY, T0, reading_of, spool

from assets.derived import TREND_ASSETS, trend_scores
from assets.rollup import rollup_assets
from nomade_pipeline import clock
from nomade_pipeline.definitions import build_defs
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.derived import TREND_SCORES, TREND_TABLES
from nomade_pipeline.tables.system import DISK


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two days of a disk that fills by 2.4 GB a day, read once an hour, in the lake."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    readings = [
        reading_of(DISK, T0 - timedelta(hours=back), disk_row(used=30 * GB - back * GB // 10), interval=3600.0)
        for back in range(34, -1, -1)
    ]
    spool(tmp_path / "spool", *readings)
    for day in (DAY - timedelta(days=1), DAY):
        publish_day(Store.at(tmp_path), DISK, day)
    return tmp_path


SELECTION = [
    *rollup_assets.keys,
    *(dg.AssetKey(key.split("/")) for key in ("derived/disk", "derived/gpu", "derived/scores")),
]


def test_the_ingest_follows_trends_and_scores_the_projections_of_the_day_before(folder: Path) -> None:
    definitions = build_defs(NomadeResource(data_dir=str(folder)))
    tags = {"nomade/unattended": "test"}
    with dg.DagsterInstance.ephemeral() as instance, clock.set_to(T0 + timedelta(minutes=10)):
        job = definitions.resolve_job_def("ingest")
        for day in (DAY - timedelta(days=1), DAY):
            result = job.execute_in_process(
                instance=instance, partition_key=day.isoformat(), tags=tags, asset_selection=SELECTION
            )
        assert result.success
        rows = {
            event.materialization.asset_key.to_user_string(): event.materialization.metadata
            for event in result.get_asset_materialization_events()
        }
        (check,) = [
            each for each in result.get_asset_check_evaluations() if each.check_name == "intervals_hold_nine_of_ten"
        ]
    store = Store.at(folder)
    assert rows["derived/disk"]["dagster/partition_row_count"].value == 2
    assert rows["derived/gpu"]["dagster/partition_row_count"].value == 0
    assert {row["trend"] for row in store.lake.read_day(TREND_TABLES["disk"], CLUSTER, DAY).to_dicts()} == {
        "growing",
        "stable",
    }
    assert check.passed
    assert rows["derived/scores"]["dagster/partition_row_count"].value == 0


def test_every_derived_table_is_an_asset_of_its_layer() -> None:
    keys = {key.to_user_string() for asset in (*TREND_ASSETS, trend_scores) for key in asset.keys}
    assert keys == {f"derived/{name}" for name in (*TREND_TABLES, "scores")}
    assert TREND_SCORES.layer == "derived"

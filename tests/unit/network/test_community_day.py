"""From a window in the lake to the tables of communities, statistics, layout and hotspots."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from support.planted import Planted, outcomes, planted_jobs
from support.planted_lake import CLUSTER, fill_window, fill_window_without_graph

from nomade_pipeline.config.settings import Config
from nomade_pipeline.drawing import WIDEST_PIXELS
from nomade_pipeline.network.communities import agreement
from nomade_pipeline.network.community_day import communities_of_day
from nomade_pipeline.network.hotspot_day import hotspots_of_day
from nomade_pipeline.network.layout_day import layout_of_day
from nomade_pipeline.network.pictures import PICTURES
from nomade_pipeline.network.statistics_day import statistics_of_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.network import (
    CANNOT_SAY,
    CLUSTERED,
    COMMUNITIES,
    COMMUNITY_JOBS,
    COMMUNITY_RESOURCES,
    COMMUNITY_WINDOWS,
    GRAPH_HOTSPOTS,
    GRAPH_LAYOUT,
    GRAPH_STATISTICS,
    GRAPH_ZONES,
    NETWORK_TABLES,
)

DAY, JOBS = date(2026, 3, 1), 1200
STEPS = (communities_of_day, statistics_of_day, layout_of_day, hotspots_of_day)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return planted_jobs(JOBS, seed=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, planted: Planted) -> Store:
    found = Store.at(tmp_path_factory.mktemp("planted"))
    fill_window(found, DAY, planted, outcomes(planted, {"memory": 0.7}, rate=0.02))
    for step in STEPS:
        step(found, Config(), DAY)
    return found


def rows(store: Store, table: Table, day: date = DAY) -> pl.DataFrame:
    return store.lake.read_day(table, CLUSTER, day)


def test_each_community_is_a_planted_profile_in_words_with_its_failure_rate(store: Store, planted: Planted) -> None:
    communities = rows(store, COMMUNITIES)
    assert communities["jobs"].sum() == JOBS
    labels = rows(store, COMMUNITY_JOBS)["community"].to_numpy()
    assert agreement(labels.astype(np.int64), planted.profile) > 0.95
    worst = communities.sort("failure_rate").row(-1, named=True)
    assert worst["failure_rate_low"] > 0.3
    assert "wap" in worst["description"] or "memory under pressure" in worst["description"]
    gpu = communities.sort("gpu_share").row(-1, named=True)
    assert gpu["gpu_share"] > 0.9
    assert "in partition gpu" in gpu["description"]


def test_communities_by_resources_follow_the_partitions(store: Store) -> None:
    resources = {row["resource"]: row for row in rows(store, COMMUNITY_RESOURCES).to_dicts()}
    assert resources["gpu1"]["real_community"] == resources["gpu"]["real_community"]
    assert resources["gpu1"]["real_community"] != resources["cpu1"]["real_community"]
    assert resources["gpu"]["in_transition"] is False
    assert resources["cpu"]["in_transition"] is True
    assert resources["cpu1"]["weight"] == pytest.approx(resources["cpu"]["weight"] / 2)
    (window,) = rows(store, COMMUNITY_WINDOWS).to_dicts()
    assert window["real_communities"] >= 2
    assert 0 < window["agreement"] < 1


def test_the_declared_statistic_gives_the_verdict(store: Store) -> None:
    statistics = rows(store, GRAPH_STATISTICS)
    (declared,) = statistics.filter("declared").to_dicts()
    assert (declared["statistic"], declared["null_model"]) == ("mntd", "user_partition")
    assert declared["verdict"] == CLUSTERED
    assert statistics.filter(~pl.col("declared"))["verdict"].null_count() == statistics.height - 1
    assert statistics["reading"].str.len_chars().min() > 20


def test_layout_and_zones_cover_the_window(store: Store) -> None:
    layout = rows(store, GRAPH_LAYOUT)
    assert layout.height == JOBS
    assert layout.select("x", "y", "z", "pca_x", "nfs_write_gb").null_count().sum_horizontal().item() == 0
    zones = {row["zone"]: row for row in rows(store, GRAPH_ZONES).to_dicts()}
    assert set(zones) == {"safe", "danger"}
    assert 0 < zones["safe"]["jobs"] < zones["safe"]["known"] == JOBS


def test_the_planted_hotspot_is_the_first_one(store: Store) -> None:
    first = rows(store, GRAPH_HOTSPOTS).row(0, named=True)
    assert {first["quantity"], first["second_quantity"]} & {"memory_pressure", "memory_efficiency", "swap_activity"}
    assert first["failure_rate_low"] > first["base_rate"]
    assert first["users"] > 1


def test_the_next_day_keeps_numbers_and_places(store: Store, planted: Planted) -> None:
    kept, next_day = JOBS - 100, DAY + timedelta(days=1)
    joined = planted.last(kept).followed_by(planted_jobs(100, seed=8))
    one_day = replace(Config(), similarity=replace(Config().similarity, window_days=1))
    fill_window(store, next_day, joined, outcomes(joined, {}), first_job=100, config=one_day)
    communities_of_day(store, one_day, next_day)
    assert layout_of_day(store, one_day, next_day)["median_move"] < 0.2
    assert set(rows(store, COMMUNITIES)["community"]) == set(rows(store, COMMUNITIES, next_day)["community"])
    assert rows(store, COMMUNITIES, next_day)["stability"].min() > 0.9


def test_a_window_without_a_graph_says_why_and_crashes_nothing(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    fill_window_without_graph(store, DAY)
    figures = [step(store, Config(), DAY) for step in STEPS]
    assert figures[0]["note"] == "1 of 17 measured: no similarity graph"
    assert figures[1]["verdict"] == f"{CLUSTER}: 1 of 17 measured: no similarity graph"
    assert rows(store, COMMUNITIES).height == rows(store, GRAPH_LAYOUT).height == 0
    assert rows(store, COMMUNITY_JOBS)["real_community"].null_count() == 0


def test_too_few_failed_jobs_give_no_verdict(tmp_path: Path) -> None:
    store, few = Store.at(tmp_path), planted_jobs(60)
    fill_window(store, DAY, few, np.where(np.arange(60) < 5, 3, 0))
    assert statistics_of_day(store, Config(), DAY)["verdict"] == f"{CLUSTER}: {CANNOT_SAY}"
    assert set(rows(store, GRAPH_STATISTICS)["p"]) == {None}


def test_no_window_no_rows_and_no_error(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for step in STEPS:
        step(store, Config(), DAY)
    assert not any(store.lake.clusters(table) for table in NETWORK_TABLES)


def test_a_second_run_writes_the_same(store: Store) -> None:
    before = [rows(store, table) for table in NETWORK_TABLES]
    for step in STEPS:
        step(store, Config(), DAY)
    for table, frame in zip(NETWORK_TABLES, before, strict=True):
        assert rows(store, table).equals(frame), table.name


@pytest.mark.parametrize("subject", ["communities", "statistics", "layout", "hotspots"])
def test_a_picture_fits_the_dialog_of_dagster_and_is_small_enough_for_its_database(store: Store, subject: str) -> None:
    png = PICTURES[subject](store.lake, CLUSTER, DAY)
    assert png is not None
    with Image.open(io.BytesIO(png)) as image:
        assert image.width <= WIDEST_PIXELS
    assert len(png) < 100_000

"""The similarity graph of a day: its tables, its settings, and what it says where there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from support.features import CLUSTER, DAY, features_of, store_with
from support.rows import T0

from nomade_pipeline.config.settings import Config, PredictionSettings, SimilaritySettings
from nomade_pipeline.features.vectors import Scaler, raw_matrix
from nomade_pipeline.network import similarity
from nomade_pipeline.network.day import similarity_of_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.features import QUANTITY, VECTOR
from nomade_pipeline.tables.graph import SIMILARITY_EDGES, SIMILARITY_JOBS, SIMILARITY_TABLES, SIMILARITY_WINDOWS


def configured(threshold: float = 0.7, **values: object) -> Config:
    return replace(
        Config(),
        prediction=PredictionSettings(similarity_threshold=threshold),
        similarity=replace(SimilaritySettings(), **values),
    )


DEFAULT = Config()


def tables(store: Store, config: Config = DEFAULT) -> tuple[pl.DataFrame, pl.DataFrame, dict]:
    similarity_of_day(store, config, DAY)
    jobs, edges, windows = (store.lake.read_day(table, CLUSTER, DAY) for table in SIMILARITY_TABLES)
    return jobs, edges, windows.row(0, named=True)


@pytest.fixture
def store(tmp_path) -> Store:
    return store_with(tmp_path, features_of(60))


def test_every_job_of_the_window_is_a_node_and_similar_ones_are_linked(store):
    jobs, edges, window = tables(store)
    assert jobs["node"].to_list() == list(range(60))
    assert (window["jobs"], window["nodes"], window["note"]) == (60, 60, None)
    assert edges.height == window["edges"]
    profile = np.arange(60) % 4
    assert (profile[edges["first"].to_numpy()] == profile[edges["second"].to_numpy()]).all()


def test_jobs_with_equal_vectors_are_one_node_and_count_as_each_others_neighbours(tmp_path):
    frame = features_of(40)
    twins = frame[7:8].with_columns(job_id_raw=pl.Series(["2000"]))
    triplets = frame[7:8].with_columns(job_id_raw=pl.Series(["2001"]))
    jobs, _, window = tables(store_with(tmp_path, pl.concat([frame, twins, triplets])))
    alone = features_of(40)
    assert (window["jobs"], window["nodes"]) == (42, 40)
    same = jobs.filter(pl.col("job_id_raw").is_in(["1007", "2000", "2001"]))
    assert same["node"].n_unique() == 1
    vectors = Scaler.from_dict(json.loads(window["scaler"])).apply(raw_matrix(alone))[0]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    others = int(((units @ units[7]) >= 0.7).sum()) - 1
    assert same["degree_at_threshold"].to_list() == [others + 2] * 3


def test_no_edge_lies_below_the_threshold_of_the_configuration(store):
    few, many = (tables(store, configured(threshold))[1] for threshold in (0.95, 0.2))
    assert few["weight"].min() >= 0.95
    assert 0.2 <= many["weight"].min() < 0.7
    assert tables(store, configured(0.95))[2]["threshold"] == 0.95


def test_a_node_keeps_as_many_neighbours_as_the_configuration_says(store):
    _, edges, window = tables(store, configured(neighbours=2))
    assert edges.height <= 2 * 60
    assert window["hidden_edges"] > 0
    _, whole, everything = tables(store, configured(neighbours=59))
    assert everything["hidden_edges"] == 0
    assert whole.height == edges.height + window["hidden_edges"]


def test_the_window_is_as_long_as_the_configuration_says(tmp_path):
    earlier = features_of(20, end=T0 - timedelta(days=3)).with_columns(job_id_raw=pl.col("job_id_raw") + "0")
    store = store_with(tmp_path, pl.concat([features_of(30), earlier]))
    assert tables(store, configured(window_days=2))[2]["jobs"] == 30
    window = tables(store, configured(window_days=4))[2]
    assert window["jobs"] == 50
    assert window["first_time"].date() == DAY - timedelta(days=3)


def test_normalised_quantities_are_clipped_where_the_configuration_says(tmp_path):
    frame = features_of(60)
    far = frame.with_columns(
        swap_activity=pl.when(pl.col("job_id_raw") == "1000").then(pl.lit(1e12)).otherwise("swap_activity")
    )
    store = store_with(tmp_path, far)
    wide, narrow = (tables(store, configured(clip=clip)) for clip in (1000.0, 0.5))
    assert narrow[2]["clip"] == 0.5
    assert not wide[1].equals(narrow[1])


def test_the_dimensions_of_the_configuration_are_compared_and_one_with_the_outcome_is_marked(tmp_path):
    store = store_with(tmp_path, features_of(60, health_score=0.5))
    assert tables(store)[2]["circular"] is False
    named = tables(store, configured(dimensions=tuple(QUANTITY)))[2]
    assert json.loads(named["dimensions"]) == list(QUANTITY)
    assert named["circular"] is True
    five = tables(store, configured(dimensions=VECTOR[:5]))[2]
    assert (five["measured_dimensions"], five["circular"]) == (5, False)


def test_where_too_little_is_measured_there_is_no_graph_and_the_note_says_so(tmp_path):
    missing = {name: None for name in VECTOR if name not in ("cpu_efficiency", "runtime_minutes", "total_write_gb")}
    store = store_with(tmp_path, features_of(30, **missing))
    jobs, edges, window = tables(store)
    assert window["note"] == "3 of 17 measured: no similarity graph"
    assert (window["jobs"], window["eligible_jobs"], window["nodes"], window["edges"]) == (30, 0, None, None)
    assert jobs["node"].null_count() == 30
    assert jobs["measured"].to_list() == [3] * 30
    assert edges.is_empty()
    told = similarity_of_day(store, DEFAULT, DAY)
    assert told == {
        "jobs": 30,
        "nodes": 0,
        "edges": 0,
        "hidden_edges": 0,
        "without_graph": "alpha: 3 of 17 measured: no similarity graph",
    }


def test_a_job_with_too_few_quantities_takes_no_part_but_is_listed(tmp_path):
    frame = features_of(30)
    bare = features_of(1, **dict.fromkeys(VECTOR[4:])).with_columns(job_id_raw=pl.lit("999"))
    jobs, _, window = tables(store_with(tmp_path, pl.concat([frame, bare])))
    assert jobs.filter(pl.col("job_id_raw") == "999")["node"].to_list() == [None]
    assert (window["jobs"], window["eligible_jobs"]) == (31, 30)


def test_a_day_is_computed_again_to_the_same_bytes(store):
    def content() -> list[str]:
        similarity_of_day(store, DEFAULT, DAY)
        return [
            path.read_bytes().hex()
            for table in SIMILARITY_TABLES
            for path in sorted(store.lake.partition(table, CLUSTER, DAY).glob("*"))
        ]

    assert content() == content()


def test_a_window_without_jobs_leaves_nothing(tmp_path):
    store = store_with(tmp_path, features_of(10))
    later = DAY + timedelta(days=100)
    assert similarity_of_day(store, DEFAULT, later)["jobs"] == 0
    assert not store.lake.has(SIMILARITY_WINDOWS, CLUSTER, later)


def test_of_many_nodes_a_sample_is_counted_and_the_hidden_edges_are_extrapolated(store, monkeypatch):
    exact = tables(store, configured(neighbours=2))[2]
    monkeypatch.setattr(similarity, "COUNT_ALL_UP_TO", 50)
    monkeypatch.setattr(similarity, "COUNTED_SAMPLE", 20)
    jobs, edges, window = tables(store, configured(neighbours=2))
    assert window["counted_nodes"] == 20
    assert jobs["degree_at_threshold"].null_count() == 40
    assert (window["hidden_edges"] + edges.height) == pytest.approx(exact["hidden_edges"] + edges.height, rel=0.3)


def test_the_tables_carry_the_first_moment_of_the_last_day_so_that_a_range_of_days_finds_them(store):
    similarity_of_day(store, DEFAULT, DAY)
    for table in (SIMILARITY_JOBS, SIMILARITY_EDGES, SIMILARITY_WINDOWS):
        start = T0.replace(hour=0)
        assert store.lake.read(table, start, start + timedelta(days=1)).height > 0

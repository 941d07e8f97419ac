"""Running jobs among ended ones: what is known of them so far decides, and nothing else."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from support.features import CLUSTER, DAY, features_of, store_with
from support.rows import HOST, T0, at, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.running import running_features, running_jobs
from nomade_pipeline.network.day import similarity_of_day
from nomade_pipeline.network.live import NEAREST, Ground, live_of_day, placed_rows
from nomade_pipeline.network.stored import stored_graph
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.features import VECTOR
from nomade_pipeline.tables.graph import SIMILARITY_LIVE
from nomade_pipeline.tables.job_rollups import JOB_USAGE
from nomade_pipeline.tables.network import COMMUNITY_JOBS, GRAPH_LAYOUT
from nomade_pipeline.tables.slurm_queue import SLURM_JOB
from nomade_pipeline.tables.system import IOSTAT_CPU


def queued(number: str, minute: float, kind: str = "full", **values: object) -> dict:
    plain = {
        "state": "RUNNING",
        "submit_time": at(-120),
        "start_time": at(-60),
        "node_list": HOST,
        "gpus": 0,
        "cpus": 4,
    }
    common = {"job_id_raw": number, "job_id": number, "kind": kind, "sample_time": at(minute), "host": "head"}
    return row_of(SLURM_JOB, **{**plain, **common, **values})


def put(store: Store, table: Table, *rows: dict) -> None:
    store.lake.replace(table, CLUSTER, DAY, frame_of(table, rows))


@pytest.fixture
def store(tmp_path) -> Store:
    store = store_with(tmp_path, features_of(60))
    similarity_of_day(store, Config(), DAY)
    return store


def test_jobs_run_that_the_newest_picture_and_the_changes_after_it_show_running(store):
    put(
        store,
        SLURM_JOB,
        queued("1", -90),
        queued("2", -30),
        queued("3", -30),
        queued("4", -30, state="PENDING"),
        queued("3", -20, "gone"),
        queued("4", -10, "changed"),
    )
    assert running_jobs(store.lake, CLUSTER, T0)["job_id_raw"].to_list() == ["2", "4"]
    assert running_jobs(store.lake, CLUSTER, T0 + timedelta(hours=3)).is_empty()


def test_what_is_known_so_far_is_measured_as_of_an_ended_job_and_the_rest_is_null(store):
    put(store, SLURM_JOB, queued("7", -5), queued("8", -5, node_list="elsewhere"))
    samples = (
        row_of(IOSTAT_CPU, sample_time=at(minute), iowait_percent=wait) for minute, wait in ((-30, 10.0), (-29, 30.0))
    )
    put(store, IOSTAT_CPU, *samples)
    usage = row_of_usage("7", network_write_bytes=3 * 10**9, local_write_bytes=10**9, write_bytes=4 * 10**9)
    earlier_run = row_of_usage("7", start=-600, last=-500, host="n2", write_bytes=10**15)
    store.rollups.upsert(JOB_USAGE, [usage, earlier_run])
    one, other = running_features(store, CLUSTER, T0).to_dicts()
    assert one["runtime_minutes"] == 60
    assert (one["total_write_gb"], one["nfs_ratio"], one["vram_gb"]) == (4.0, 0.75, 0.0)
    assert (one["avg_iowait"], one["peak_iowait"]) == (20.0, 30.0)
    assert one["memory_efficiency"] is None
    assert (other["runtime_minutes"], other["total_write_gb"], other["avg_iowait"]) == (60, None, None)


def row_of_usage(number: str, start: float = -60, last: float = -1, **values: object) -> dict:
    plain = {column.name: None for column in JOB_USAGE.columns if column.nullable}
    own = {"cluster": CLUSTER, "job_id_raw": number, "node": HOST, "host": HOST, "readings": 5}
    times = {"run_start": clock.to_text(at(start)), "hour": clock.to_text(clock.hour_of(at(last)))}
    times |= {"first_time": clock.to_text(at(start)), "last_time": clock.to_text(at(last))}
    return {**plain, **own, **times, **values}


def running_twins(frame: pl.DataFrame, rows: list[int]) -> pl.DataFrame:
    """Return running jobs that are so far just what some ended ones came to."""
    return frame[rows].with_columns(
        start_time=pl.lit(at(-60)), network_write_gb=pl.lit(1.0), local_write_gb=pl.lit(2.0)
    )


def test_a_job_lies_where_the_ended_jobs_lie_that_are_most_like_it(store):
    places = pl.DataFrame({"cluster": CLUSTER, "node": range(60), "jobs": 1}).with_columns(
        **{name: (pl.col("node") % 4).cast(pl.Float64) for name in ("x", "y", "z", "pca_x", "pca_y", "pca_z")},
        sample_time=pl.lit(T0.replace(hour=0)),
    )
    store.lake.replace(GRAPH_LAYOUT, CLUSTER, DAY, conform(places, GRAPH_LAYOUT))
    bare = stored_graph(store.lake, Config(), CLUSTER, DAY)
    homes = bare.jobs.select("cluster", "job_id_raw", "submit_time", "node", community=pl.col("node") % 4)
    homes = homes.with_columns(sample_time=pl.lit(T0.replace(hour=0)))
    store.lake.replace(COMMUNITY_JOBS, CLUSTER, DAY, conform(homes, COMMUNITY_JOBS))
    graph = stored_graph(store.lake, Config(), CLUSTER, DAY)
    rows = placed_rows(graph, running_twins(graph.jobs, [0, 3, 17]), T0)
    assert [json.loads(row["nodes"])[0] for row in rows] == [0, 3, 17]
    assert [json.loads(row["cosines"])[0] for row in rows] == [1.0] * 3
    assert all(len(json.loads(row["nodes"])) == NEAREST for row in rows)
    assert [row["community"] for row in rows] == [0, 3, 1]
    assert [row["x"] for row in rows] == pytest.approx([0.0, 3.0, 1.0])
    assert (rows[0]["nfs_write_gb"], rows[0]["local_write_gb"]) == (1.0, 2.0)


def test_a_job_of_which_too_little_is_known_is_listed_without_a_place(store):
    graph = stored_graph(store.lake, Config(), CLUSTER, DAY)
    young = running_twins(graph.jobs, [0]).with_columns(pl.lit(None, pl.Float64).alias(name) for name in VECTOR[4:])
    (row,) = placed_rows(graph, young, T0)
    assert (row["measured"], row["nodes"], row["x"], row["community"]) == (4, "[]", None, None)


def test_places_are_means_weighted_by_cosine(store):
    ground = Ground.of(stored_graph(store.lake, Config(), CLUSTER, DAY))
    ground.places[0], ground.places[1] = 0.0, 3.0
    assert ground.place(np.array([0, 1, -1]), np.array([0.5, 1.0, np.nan])).tolist() == pytest.approx([2.0] * 6)


def test_todays_partition_holds_the_jobs_that_run_now_and_no_other_day_is_touched(store):
    put(store, SLURM_JOB, queued("7", -5))
    with clock.set_to(T0):
        assert live_of_day(store, Config(), DAY) == {"running": 1, "placed": 0}
        assert "over" in live_of_day(store, Config(), DAY - timedelta(days=1))["note"]
    rows = store.lake.read_day(SIMILARITY_LIVE, CLUSTER, DAY)
    assert rows.select("job_id_raw", "measured", "nodes").rows() == [("7", 2, "[]")]
    put(store, SLURM_JOB, queued("9", 25))
    with clock.set_to(at(30)):
        live_of_day(store, Config(), DAY)
    assert store.lake.read_day(SIMILARITY_LIVE, CLUSTER, DAY)["job_id_raw"].to_list() == ["9"]

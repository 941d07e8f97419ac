"""The job table, usage by hour, coverage, and when nodes were out of use, against figures counted by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.rows import CLUSTER, DAY, T0, at, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import event_readings
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS


@pytest.fixture
def store(tmp_path):
    return Store.at(tmp_path)


def job(number, end=30, *, minutes=20, failure_class=0, **values):
    """Return a job that ran so many minutes and ended ``end`` minutes after T0, on two CPUs."""
    plain = {
        "job_id_raw": str(number),
        "submit_time": at(end - minutes - 10),
        "start_time": at(end - minutes),
        "end_time": at(end),
        "wait_seconds": 600.0,
        "elapsed_seconds": minutes * 60.0,
        "failure_class": failure_class,
        "alloc_cpus": 2,
        "alloc_gpus": 0,
        "cpu_seconds": minutes * 60.0,
        "memory_seff_bytes": 5,
        "alloc_memory_bytes": 10,
        "user": "alice",
        "array_job_id": None,
    }
    return data_of(JOB_METRICS, **{**plain, **values})


def watched(number, minute, host="n1", **values):
    plain = {"job_id_raw": str(number), "node": host, "start_time": at(10), "is_final": False}
    return reading_of(JOB_MONITOR, at(minute), data_of(JOB_MONITOR, **{**plain, **values}), interval=30.0), host


def tell(store, *jobs, minute=40):
    with clock.set_to(at(minute)):
        SpoolWriter(store.spool, CLUSTER, "head").append(event_readings(JOB_METRICS, jobs))


def watch(store, *readings):
    for reading, host in readings:
        spool(store.spool, reading, host=host)


def roll_up(store, minute=59, day=DAY):
    with clock.set_to(at(minute)):
        for table in (JOB_METRICS, JOB_MONITOR, NODE_STATE):
            publish_day(store, table, day)
        roll_up_day(store, day)


def usage(store, dimension, name):
    (row,) = store.rollups.rows(
        "SELECT * FROM usage_daily WHERE dimension = ? AND name = ? AND date = ?", (dimension, name, DAY.isoformat())
    )
    return row


def test_a_job_is_joined_with_what_the_monitor_saw_on_each_of_its_nodes(store):
    tell(store, job(1))
    watch(
        store,
        watched(1, 15, network_write_bytes=100, memory_bytes=7, memory_peak_bytes=None, swap_bytes=3),
        watched(1, 25, network_write_bytes=250, memory_bytes=9, memory_peak_bytes=11, swap_bytes=2),
        watched(1, 25, host="n2", network_write_bytes=1000, memory_peak_bytes=20, memory_bytes=1, swap_bytes=None),
    )
    roll_up(store)
    (row,) = store.rollups.rows("SELECT * FROM jobs")
    assert (row["monitor_readings"], row["monitor_nodes"]) == (3, 2)
    assert row["network_write_bytes"] == 1250
    assert row["memory_cgroup_peak_bytes"] == 31
    assert row["swap_peak_bytes"] == 3


def test_a_job_that_nobody_watched_has_no_zeros(store):
    tell(store, job(1))
    roll_up(store)
    (row,) = store.rollups.rows("SELECT monitor_readings, network_write_bytes, oom_kills FROM jobs")
    assert set(row.values()) == {None}


def test_a_hook_that_measured_nothing_is_no_reading(store):
    unmeasured = dict.fromkeys(
        column.name for column in JOB_MONITOR.data_columns if column.nullable and column.name != "start_time"
    )
    tell(store, job(1), job(2))
    watch(store, watched(1, 10, **{**unmeasured, "found_by": "prolog"}))
    epilog = {**unmeasured, "found_by": "epilog", "is_final": True, "cpu_seconds": 3.0}
    watch(store, watched(2, 10, **{**unmeasured, "found_by": "prolog"}), watched(2, 30, **epilog))
    roll_up(store)
    rows = store.rollups.rows("SELECT job_id_raw, monitor_readings AS n, monitor_cpu_seconds AS cpu FROM jobs")
    assert {row["job_id_raw"]: (row["n"], row["cpu"]) for row in rows} == {"1": (None, None), "2": (1, 3.0)}


def test_the_runs_of_a_requeued_job_are_told_apart(store):
    tell(store, job(1, 30), job(1, 50, minutes=10, submit_time=at(31)))
    watch(
        store,
        watched(1, 20, network_write_bytes=100),
        watched(1, 45, network_write_bytes=7, start_time=at(40)),
    )
    roll_up(store)
    rows = store.rollups.rows("SELECT network_write_bytes AS n FROM jobs ORDER BY end_time")
    assert [row["n"] for row in rows] == [100, 7]


def test_readings_that_come_late_reach_the_job_of_another_day(store):
    long_job = job(1, 10, minutes=24 * 60, submit_time=T0 - timedelta(days=2))
    tell(store, long_job)
    roll_up(store)
    yesterday = T0 - timedelta(hours=12)
    watch(store, watched(1, -12 * 60, network_write_bytes=42, start_time=at(10 - 24 * 60)))
    roll_up(store, day=yesterday.date())
    (row,) = store.rollups.rows("SELECT network_write_bytes AS n FROM jobs")
    assert row["n"] == 42
    assert usage(store, "cluster", "")["measured_jobs"] == 1


def test_usage_is_added_up_by_user_account_partition_and_for_the_cluster(store):
    never_ran = {
        "start_time": None,
        "wait_seconds": None,
        "elapsed_seconds": 0.0,
        "alloc_cpus": None,
        "cpu_seconds": None,
    }
    tell(
        store,
        job(1),
        job(2, failure_class=4, user="bob", alloc_gpus=3),
        job(3, 130, failure_class=7, memory_seff_bytes=None, **never_ran),
        job(4, failure_class=None, cpu_seconds=None, memory_seff_bytes=None),
    )
    roll_up(store, minute=180)
    whole = usage(store, "cluster", "")
    assert (whole["jobs"], whole["success_jobs"], whole["oom_jobs"], whole["dependency_jobs"]) == (4, 1, 1, 1)
    assert (whole["unknown_jobs"], whole["started_jobs"], whole["measured_jobs"]) == (1, 3, 2)
    assert whole["wait_seconds"] == 1800
    assert whole["allocated_cpu_seconds"] == 3 * 2400
    assert whole["allocated_gpu_seconds"] == 3600
    assert (whole["efficiency_cpu_seconds"], whole["efficiency_allocated_cpu_seconds"]) == (2400, 4800)
    assert (whole["efficiency_memory_bytes"], whole["efficiency_allocated_memory_bytes"]) == (10, 20)
    assert usage(store, "user", "bob")["jobs"] == 1
    assert usage(store, "user", "alice")["jobs"] == 3
    hours = store.rollups.rows("SELECT hour, jobs FROM usage_hourly WHERE dimension = 'cluster' ORDER BY hour")
    assert [(row["hour"], row["jobs"]) for row in hours] == [
        ("2026-03-05T10:00:00.000Z", 3),
        ("2026-03-05T12:00:00.000Z", 1),
    ]
    (covered,) = store.rollups.rows("SELECT measured_ratio FROM metrics_coverage")
    assert covered["measured_ratio"] == pytest.approx(2 / 3)


def test_rolling_up_again_changes_nothing_and_a_correction_replaces(store):
    tell(store, job(1), job(2))
    watch(store, watched(1, 25, network_write_bytes=250))
    roll_up(store)
    before = [store.rollups.rows(f"SELECT * FROM {name}") for name in ("jobs", "usage_hourly", "job_usage")]
    roll_up_day(store, DAY, everything=True)
    assert before == [store.rollups.rows(f"SELECT * FROM {name}") for name in ("jobs", "usage_hourly", "job_usage")]
    tell(store, job(2, user="carol"), minute=50)
    roll_up(store)
    assert usage(store, "user", "carol")["jobs"] == usage(store, "user", "alice")["jobs"] == 1


def test_a_crash_between_the_job_table_and_its_join_is_made_up_for(store, monkeypatch):
    tell(store, job(1))
    watch(store, watched(1, 25, network_write_bytes=250))
    with monkeypatch.context() as patched:
        patched.setattr("nomade_pipeline.ingest.rollup.finish_jobs_of_day", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            roll_up(store)
    roll_up(store)
    assert store.rollups.rows("SELECT network_write_bytes AS n FROM jobs") == [{"n": 250}]
    assert usage(store, "cluster", "")["jobs"] == 1


def test_the_tasks_of_an_array_are_seen_together(store):
    tasks = [job(n, array_job_id="7", minutes=n, failure_class=3 * (n == 10)) for n in (10, 20, 25)]
    tell(store, *tasks, job(99))
    roll_up(store)
    (row,) = store.rollups.rows("SELECT * FROM arrays")
    assert (row["array_job_id"], row["tasks"], row["failed_tasks"]) == ("7", 3, 1)
    assert (row["elapsed_min_seconds"], row["elapsed_max_seconds"]) == (600, 1500)


def node(minute, name="n1", **values):
    plain = {
        "node": name,
        "state": "IDLE",
        "flags": None,
        "usable": 1,
        "drained": 0,
        "reason": None,
        "reason_user": None,
    }
    return reading_of(NODE_STATE, at(minute), data_of(NODE_STATE, **{**plain, **values}))


def test_the_history_says_since_when_a_node_was_out_of_use_and_who_took_it_out(store):
    drained = {"state": "IDLE", "flags": "DRAIN", "usable": 0, "drained": 1, "reason": "disk", "reason_user": "root"}
    draining = {**drained, "state": "ALLOCATED"}
    readings = [
        node(0),
        node(1, **draining),
        node(2, **draining),
        node(3, **drained),
        node(4),
        node(5, state="DOWN", usable=0),
    ]
    spool(store.spool, *readings)
    roll_up(store)
    rows = store.rollups.rows("SELECT * FROM node_history ORDER BY since_time")
    assert [(row["availability"], row["reason"], row["readings"]) for row in rows] == [
        ("draining", "disk", 2),
        ("drained", "disk", 1),
        ("down", None, 1),
    ]
    assert (rows[0]["since_time"], rows[0]["until_time"]) == ("2026-03-05T10:01:00.000Z", "2026-03-05T10:02:00.000Z")


def test_a_node_that_is_busy_or_has_a_planned_job_is_not_out_of_use(store):
    spool(store.spool, node(0, state="ALLOCATED"), node(1, state="MIXED", flags="PLANNED"))
    roll_up(store)
    assert store.rollups.rows("SELECT * FROM node_history") == []

"""Features of the jobs of a day, from a real lake: the hosts they ran on, nulls, other days, what came later."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Iterable

import polars as pl
import pytest
from support.rows import CLUSTER, DAY, at, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.day import features_of_day
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.features import AT_START, AT_SUBMIT, JOB_FEATURES, VECTOR
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB
from nomade_pipeline.tables.system import IOSTAT, IOSTAT_CPU, MPSTAT_SUMMARY, VMSTAT

LATER = clock.start_of(DAY + timedelta(days=3))
SYSTEM = (
    "avg_iowait",
    "peak_iowait",
    "device_util",
    "avg_core_busy",
    "imbalance_ratio",
    "max_core_busy",
    "memory_pressure",
    "swap_activity",
    "procs_blocked",
)


def put(root: Path, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Publish rows in the lake, each on the day of its sample time, and book them for the rollups."""
    store = Store.at(root)
    frame = frame_of(table, rows)
    for (day,), part in sorted(frame.group_by(pl.col("sample_time").dt.date())):
        published = store.lake.publish(table, CLUSTER, day, part)
        store.rollups.record_hours(table.name, CLUSTER, published.hours)


def job(number: str = "1", *, start: float = 0, end: float = 60, **values: Any) -> dict[str, Any]:
    """Return the accounting's record of a job that ran on node1 from so many minutes after T0 on."""
    told = {
        "job_id_raw": number,
        "user": "ann",
        "partition": "main",
        "submit_time": at(start - 10),
        "start_time": at(start),
        "end_time": at(end),
        "sample_time": at(end),
        "elapsed_seconds": (end - start) * 60,
        "wait_seconds": 600.0,
        "node_list": "node1",
        "alloc_gpus": 0,
        "failure_class": 0,
        "state": "COMPLETED",
        "time_limit_kind": "limited",
    }
    return row_of(JOB_METRICS, **{**told, **values})


def samples(
    minute: float, host: str = "node1", *, busy: float = 50.0, **values: Any
) -> list[tuple[Table, dict[str, Any]]]:
    """Return one sample of each system table of a host, of the minute that ends then."""
    common = {"host": host, "sample_time": at(minute), "received_time": at(minute), "interval_seconds": 60.0}
    memory = {
        "memory_total_bytes": 100,
        "memory_available_bytes": 10,
        "swap_in_bytes_per_second": 3e3,
        "swap_out_bytes_per_second": 1e3,
        "psi_memory_some_percent": 0.0,
        "procs_blocked": 4,
    }
    rows = {
        IOSTAT_CPU: {"iowait_percent": busy / 10},
        MPSTAT_SUMMARY: {"busy_percent": busy, "busy_max_percent": min(busy * 2, 100.0), "imbalance_ratio": 0.5},
        VMSTAT: memory,
    }
    found = [(table, row_of(table, **common, **{**told, **_own(table, values)})) for table, told in rows.items()]
    for device, kind, util in (("sda", "disk", busy), ("sdb", "disk", busy / 2), ("dm-0", "dm", 99.0)):
        found.append((IOSTAT, row_of(IOSTAT, **common, device=device, device_kind=kind, util_percent=util)))
    return found


def _own(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in table.column_names}


def put_samples(root: Path, rows: Iterable[tuple[Table, dict[str, Any]]]) -> None:
    by_table: dict[str, tuple[Table, list[dict[str, Any]]]] = {}
    for table, row in rows:
        by_table.setdefault(table.name, (table, []))[1].append(row)
    for table, found in by_table.values():
        put(root, table, found)


def hour_of_samples(first: int, last: int, host: str = "node1", **values: Any) -> list[tuple[Table, dict[str, Any]]]:
    return [row for minute in range(first + 1, last + 1) for row in samples(minute, host, **values)]


def features(root: Path, *, day: date = DAY, config: Config | None = None) -> list[dict[str, Any]]:
    """Compute a day when it is long over; return its rows."""
    with clock.set_to(LATER):
        features_of_day(Store.at(root), config or Config(), day)
    return Store.at(root).lake.read_day(JOB_FEATURES, CLUSTER, day).to_dicts()


def test_a_job_has_what_its_host_did_during_its_run_and_nothing_of_the_time_before_and_after(tmp_path):
    put(tmp_path, JOB_METRICS, [job(start=0, end=60)])
    put_samples(tmp_path, hour_of_samples(-60, 0, busy=100) + hour_of_samples(0, 60) + hour_of_samples(60, 120, busy=0))
    (found,) = features(tmp_path)
    assert {name: found[name] for name in SYSTEM} == pytest.approx(
        {
            "avg_iowait": 5.0,
            "peak_iowait": 5.0,
            "device_util": 50.0,
            "avg_core_busy": 50.0,
            "imbalance_ratio": 0.5,
            "max_core_busy": 100.0,
            "memory_pressure": 0.5,
            "swap_activity": 4.0,
            "procs_blocked": 4.0,
        }
    )
    assert found["coverage_ratio"] == pytest.approx(1.0)
    assert found["shared_host"] is None, "nothing is known of the nodes"


def test_a_job_on_two_hosts_has_the_mean_of_both_and_the_peak_of_one(tmp_path):
    put(tmp_path, JOB_METRICS, [job(node_list="node[1-2]")])
    put_samples(tmp_path, hour_of_samples(0, 60, "node1", busy=20) + hour_of_samples(0, 30, "node2", busy=80))
    (found,) = features(tmp_path)
    # Sixty minutes at 20 and the thirty that were measured at 80.
    assert found["avg_core_busy"] == pytest.approx(40.0)
    assert found["peak_iowait"] == pytest.approx(8.0)
    assert found["coverage_ratio"] == pytest.approx(0.75)


def test_the_map_of_nodes_leads_to_the_host_as_of_the_run_and_tells_who_shares_it(tmp_path):
    put(tmp_path, JOB_METRICS, [job("1", node_list="n1"), job("2", start=120, end=180, node_list="n1")])
    put_samples(tmp_path, hour_of_samples(0, 180, "old", busy=20) + hour_of_samples(0, 180, "new", busy=80))
    where = [("n1", "old", 0), ("n2", "new", 0), ("n1", "new", 100), ("n2", "new", 100)]
    put(
        tmp_path,
        NODE_STATE,
        [row_of(NODE_STATE, host="head", node=node, node_host=host, sample_time=at(m)) for node, host, m in where],
    )
    first, second = features(tmp_path)
    assert (first["avg_core_busy"], second["avg_core_busy"]) == (20.0, 80.0)
    assert (first["shared_host"], second["shared_host"]) == (False, True)


def test_without_samples_and_without_nodes_nothing_is_zero(tmp_path):
    nothing = dict.fromkeys(
        ("cpu_efficiency_ratio", "memory_efficiency_ratio", "disk_write_bytes", "gpu_memory_bytes", "gpu_util_percent")
    )
    put(tmp_path, JOB_METRICS, [job("1", **nothing, alloc_gpus=2), job("2", **nothing, node_list=None)])
    with_gpu, without_nodes = features(tmp_path)
    known = {"runtime_minutes"}
    assert {name for name in VECTOR if with_gpu[name] is not None} == known
    assert with_gpu["measured"] == 1
    assert with_gpu["used_gpu"] is None
    assert with_gpu["coverage_ratio"] == 0.0
    assert without_nodes["coverage_ratio"] is None
    assert (without_nodes["vram_gb"], without_nodes["used_gpu"]) == (0.0, False)


def test_what_was_not_measured_in_a_sample_stays_null(tmp_path):
    put(tmp_path, JOB_METRICS, [job()])
    silent = {"imbalance_ratio": None, "memory_available_bytes": None, "procs_blocked": None}
    rates = dict.fromkeys(("swap_in_bytes_per_second", "swap_out_bytes_per_second", "psi_memory_some_percent"))
    put_samples(tmp_path, hour_of_samples(0, 60, busy=0.5, **silent, **rates))
    (found,) = features(tmp_path)
    assert [name for name in SYSTEM if found[name] is None] == [
        "imbalance_ratio",
        "memory_pressure",
        "swap_activity",
        "procs_blocked",
    ]


def test_a_job_over_midnight_has_the_samples_of_both_days(tmp_path):
    midnight = 14 * 60
    put(tmp_path, JOB_METRICS, [job(start=midnight - 60, end=midnight + 60)])
    put_samples(tmp_path, hour_of_samples(midnight - 60, midnight, busy=10))
    put_samples(tmp_path, hour_of_samples(midnight, midnight + 60, busy=30))
    (found,) = features(tmp_path, day=DAY + timedelta(days=1))
    assert found["avg_core_busy"] == pytest.approx(20.0)
    assert found["coverage_ratio"] == pytest.approx(1.0)
    assert features(tmp_path) == []


def test_hours_of_days_long_before_come_from_the_rollups(tmp_path):
    days = 4
    begin = -days * 24 * 60
    put(tmp_path, JOB_METRICS, [job(start=begin, end=0)])
    put_samples(tmp_path, hour_of_samples(begin, begin + 60, busy=10) + hour_of_samples(-60, 0, busy=30))
    with clock.set_to(LATER):
        roll_up_day(Store.at(tmp_path), DAY - timedelta(days=days))
    (found,) = features(tmp_path)
    assert {name: found[name] for name in SYSTEM} == pytest.approx(
        {
            "avg_iowait": 2.0,
            "peak_iowait": 3.0,
            "device_util": 20.0,
            "avg_core_busy": 20.0,
            "imbalance_ratio": 0.5,
            "max_core_busy": 60.0,
            "memory_pressure": 0.5,
            "swap_activity": 4.0,
            "procs_blocked": 4.0,
        },
        rel=0.02,
    )
    assert found["coverage_ratio"] == pytest.approx(2 / (days * 24), rel=0.02)


def test_a_requeued_job_has_a_row_a_run_with_its_own_interval(tmp_path):
    put(tmp_path, JOB_METRICS, [job("7", start=0, end=60, state="NODE_FAIL"), job("7", start=120, end=180)])
    put_samples(tmp_path, hour_of_samples(0, 60, busy=10) + hour_of_samples(120, 180, busy=70))
    assert [row["avg_core_busy"] for row in features(tmp_path)] == pytest.approx([10, 70])


@pytest.mark.parametrize("skew", [-30.0, 30.0])
def test_a_host_whose_clock_is_off_by_half_a_minute_gives_nearly_the_same(tmp_path, skew):
    put(tmp_path, JOB_METRICS, [job(start=0, end=60)])
    rows = hour_of_samples(-60, 0, busy=0) + hour_of_samples(0, 60, busy=60) + hour_of_samples(60, 120, busy=0)
    for _, row in rows:
        row["sample_time"] += timedelta(seconds=skew)
    put_samples(tmp_path, rows)
    (found,) = features(tmp_path)
    assert found["avg_core_busy"] == pytest.approx(60.0, rel=0.01)


def test_an_end_before_the_start_is_a_run_without_samples(tmp_path):
    put(tmp_path, JOB_METRICS, [job(start=60, end=0, elapsed_seconds=None)])
    put_samples(tmp_path, hour_of_samples(0, 60))
    (found,) = features(tmp_path)
    assert all(found[name] is None for name in (*SYSTEM, "runtime_minutes"))


@pytest.mark.parametrize(("least", "measured"), [(0, True), (120, True), (121, False)])
def test_a_job_that_ran_too_short_has_no_quantities_of_its_host(tmp_path, least, measured):
    put(tmp_path, JOB_METRICS, [job(start=0, end=2)])
    put_samples(tmp_path, hour_of_samples(0, 60))
    plain = Config()
    wanted = replace(plain.collectors.job_metrics, min_runtime_seconds=least)
    config = replace(plain, collectors=replace(plain.collectors, job_metrics=wanted))
    (found,) = features(tmp_path, config=config)
    assert (found["avg_core_busy"] is not None) == measured
    assert found["runtime_minutes"] == 2.0


def test_what_the_job_monitor_saw_goes_before_the_accounting(tmp_path):
    put(tmp_path, JOB_METRICS, [job(disk_write_bytes=1, alloc_gpus=1, end=60)])
    readings = [
        row_of(
            JOB_MONITOR,
            job_id_raw="1",
            node="node1",
            sample_time=at(minute),
            start_time=at(0),
            write_bytes=minute * 10**9,
            network_write_bytes=minute * 10**8,
            local_write_bytes=minute * 3 * 10**8,
            write_peak_bytes_per_second=5e6,
            swap_bytes=1,
            gpu_memory_bytes=2 * 10**9,
        )
        for minute in (10, 30)
    ]
    put(tmp_path, JOB_MONITOR, readings)
    with clock.set_to(LATER):
        roll_up_day(Store.at(tmp_path), DAY)
    (found,) = features(tmp_path)
    told = ("total_write_gb", "nfs_ratio", "write_rate_mbps", "write_intensity", "had_swap", "vram_gb", "used_gpu")
    assert [found[name] for name in told] == pytest.approx([30.0, 0.25, 5.0, 0.5, True, 2.0, True])


def test_the_day_again_gives_the_same_file_and_a_job_that_has_gone_is_gone(tmp_path):
    put(tmp_path, JOB_METRICS, [job()])
    features(tmp_path)
    lake = Store.at(tmp_path).lake
    (path,) = lake.partition(JOB_FEATURES, CLUSTER, DAY).iterdir()
    before = path.read_bytes(), path.stat().st_mtime_ns
    features(tmp_path)
    assert before == (path.read_bytes(), path.stat().st_mtime_ns)
    lake.remove(JOB_METRICS, CLUSTER, DAY)
    assert features(tmp_path) == []


def test_dropping_all_that_came_later_changes_nothing_that_was_known_at_submission_and_start(tmp_path):
    """Not even with rows of a job that had been submitted before and ended later, where the queue was collected."""
    midnight = 14 * 60
    alive = row_of(
        SLURM_JOB,
        sample_time=at(midnight - 10),
        kind="full",
        job_id_raw="9",
        state="RUNNING",
        user="ann",
        partition="main",
        submit_time=at(-60),
        start_time=at(-50),
        tasks=1,
    )
    put(tmp_path, SLURM_JOB, [alive])
    put(tmp_path, JOB_METRICS, [job("1", start=0, end=60), job("2", start=30, end=90)])
    names = ["submit_time", *(column.name for column in (*AT_SUBMIT, *AT_START))]
    before = [{name: each[name] for name in names} for each in features(tmp_path)]
    put(tmp_path, JOB_METRICS, [job("9", start=-50, end=midnight + 60), job("10", start=midnight, end=midnight + 5)])
    put_samples(tmp_path, hour_of_samples(midnight, midnight + 60))
    assert before == [{name: each[name] for name in names} for each in features(tmp_path)]
    assert [each["user_running"] for each in before] == [1, 2]

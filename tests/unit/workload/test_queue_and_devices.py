"""The queue agrees with jobs and nodes at every sampled moment; storms, GPUs and file systems show what jobs do."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables import slurm_queue
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.system import DISK, GPU, NFS
from nomade_pipeline.workload.history import History
from nomade_pipeline.workload.profiles import NFS_SECONDS
from nomade_pipeline.workload.write import tables_of_day, write_history

Day = dict[Table, pl.DataFrame]


def whole(days: list[Day], table: Table) -> pl.DataFrame:
    return pl.concat(day[table] for day in days)


def queue(days: list[Day], partition: str = slurm_queue.WHOLE_CLUSTER) -> pl.DataFrame:
    return whole(days, slurm_queue.SLURM_QUEUE).filter(pl.col("partition") == partition).sort("sample_time")


def moments(small: History, rows: pl.DataFrame) -> np.ndarray:
    return (rows["sample_time"] - small.scenario.start).dt.total_seconds().to_numpy()


def test_the_queue_counts_the_jobs_that_wait_and_run_at_each_moment(small: History, days: list[Day]) -> None:
    told = queue(days)
    at = moments(small, told)[:, None]
    gone = np.where(small.ended, small.schedule.end, 10**9)
    start = np.where(small.started, small.schedule.start, 10**9)
    waits = (small.jobs.submit < at) & (at <= start) & (at < gone)
    runs = (start < at) & (at < gone)
    assert told["pending_jobs"].to_list() == waits.sum(axis=1).tolist()
    assert told["running_jobs"].to_list() == runs.sum(axis=1).tolist()
    cpus = small.jobs.cpus * small.jobs.nodes
    assert told["running_cpus"].to_list() == (runs @ cpus).tolist()
    assert told["pending_cpus"].to_list() == (waits @ cpus).tolist()


def test_the_partitions_add_up_to_the_cluster(days: list[Day]) -> None:
    parts = [queue(days, name) for name in ("standard", "gpu")]
    for name in ("pending_jobs", "running_jobs", "pending_cpus", "running_gpus", "started_jobs"):
        assert (parts[0][name] + parts[1][name]).equals(queue(days)[name]), name


def test_the_queue_and_the_nodes_agree_on_what_is_allocated(days: list[Day]) -> None:
    nodes = whole(days, NODE_STATE).group_by("sample_time").agg(pl.col("cpus_allocated", "gpus_allocated").sum())
    both = queue(days).join(nodes, on="sample_time")
    assert both.height == queue(days).height
    assert both["running_cpus"].equals(both["cpus_allocated"].rename("running_cpus"))
    assert both["running_gpus"].equals(both["gpus_allocated"].rename("running_gpus"))
    partitions = whole(days, slurm_queue.SLURM_PARTITION).group_by("sample_time").agg(pl.col("cpus_allocated").sum())
    again = queue(days).join(partitions, on="sample_time")
    assert (again["running_cpus"] == again["cpus_allocated"]).all()


def test_the_reasons_add_up_to_the_waiting_jobs(days: list[Day]) -> None:
    reasons = whole(days, slurm_queue.SLURM_PENDING)
    assert set(reasons["reason_class"]) == {"resources", "priority", "dependency"}
    total = reasons.group_by("partition", "sample_time").agg(pl.col("jobs").sum())
    both = whole(days, slurm_queue.SLURM_QUEUE).join(total, on=["partition", "sample_time"], how="left")
    assert (both["pending_jobs"] == both["jobs"].fill_null(0)).all()
    first = reasons.filter(pl.col("reason_class") == "resources", pl.col("partition") != slurm_queue.WHOLE_CLUSTER)
    assert (first["jobs"] == 1).all()


def test_the_changes_of_the_queue_give_the_queue(small: History, days: list[Day]) -> None:
    """Who starts from a full picture and follows the changes knows which jobs are in the queue, and in what state."""
    told = whole(days, slurm_queue.SLURM_JOB).sort("sample_time")
    counts = {row["sample_time"]: row for row in queue(days).iter_rows(named=True)}
    present: dict[str, str] = {}
    for (moment,), rows in told.partition_by("sample_time", as_dict=True, maintain_order=True).items():
        if "full" in rows["kind"].to_list():
            full = {row["job_id_raw"]: row["state"] for row in rows.iter_rows(named=True) if row["kind"] == "full"}
            if small.scenario.start != moment:
                left = set(rows.filter(pl.col("kind") == "gone")["job_id_raw"])
                assert left <= set(present) | left
                assert set(present) - left <= set(full)
            present = full
        for row in rows.filter(pl.col("kind") != "full").iter_rows(named=True):
            present.pop(row["job_id_raw"], None)
            if row["kind"] == "changed":
                present[row["job_id_raw"]] = row["state"]
        states = list(present.values())
        assert states.count("RUNNING") == counts[moment]["running_jobs"]
        assert states.count("PENDING") == counts[moment]["pending_jobs"]


def test_the_accounting_and_the_queue_agree_on_waiting_times(days: list[Day]) -> None:
    ran = whole(days, slurm_queue.SLURM_JOB).filter(pl.col("state") == "RUNNING", pl.col("kind") != "gone")
    both = ran.unique("job_id_raw").join(whole(days, JOB_METRICS), on="job_id_raw", suffix="_told")
    assert both.height > 500
    for name in ("submit_time", "start_time", "eligible_time", "node_list", "user", "job_name", "time_limit_seconds"):
        assert both[name].equals(both[f"{name}_told"].rename(name)), name


def test_calls_to_the_file_server_take_as_much_longer_as_the_storm_says(small: History, days: list[Day]) -> None:
    told = whole(days, NFS).filter(pl.col("write_rtt_seconds").is_not_null())
    storm = small.weather.storm[moments(small, told) // 60 - 1]
    ratio = told["write_rtt_seconds"].to_numpy() / NFS_SECONDS / storm
    assert storm.max() > 2
    assert abs(ratio.mean() - 1) < 0.01
    assert ratio.min() > 0.85


def test_a_gpu_is_held_by_one_job_at_a_time_and_is_busy_while_it_works(small: History, days: list[Day]) -> None:
    seen = whole(days, JOB_MONITOR).filter(pl.col("gpu_uuids").is_not_null(), ~pl.col("is_final"))
    held = seen.select("sample_time", pl.col("gpu_uuids").str.split(",")).explode("gpu_uuids")
    assert not held.is_duplicated().any()
    asked = small.jobs.gpus[seen["job_id_raw"].cast(pl.Int64).to_numpy() - 1001]
    assert (seen["gpu_uuids"].str.split(",").list.len().to_numpy() == asked).all()
    gpus = whole(days, GPU)
    used = gpus.join(held, left_on=["gpu_uuid", "sample_time"], right_on=["gpu_uuids", "sample_time"], how="semi")
    idle = gpus.join(held, left_on=["gpu_uuid", "sample_time"], right_on=["gpu_uuids", "sample_time"], how="anti")
    assert used["memory_used_bytes"].min() > 1e9  # type: ignore[operator]
    assert (idle["memory_used_bytes"] == 0).all()
    assert used["utilization_percent"].mean() > 70  # type: ignore[operator]


def test_home_grows_and_scratch_is_cleaned_up(days: list[Day]) -> None:
    disks = whole(days, DISK)
    home = (
        disks.filter(pl.col("path") == "/home")
        .group_by("sample_time")
        .agg(pl.col("used_bytes").unique())
        .sort("sample_time")
    )
    assert (home["used_bytes"].list.len() == 1).all(), "one file system has one size on every host"
    grown = home["used_bytes"].list.first()
    assert (grown.diff().drop_nulls() >= 0).all()
    assert grown[-1] > grown[0]
    scratch = disks.filter(pl.col("path") == "/scratch").sort("host", "sample_time")
    assert (scratch["used_bytes"].diff() < 0).any()
    assert set(disks.filter(pl.col("path") == "/home")["filesystem_id"]) == {"simnfs:/home"}


def test_the_ledger_of_a_simulated_day_is_full(small: History, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    write_history(store, small, lambda _what, _share: None)
    day = small.scenario.days[1]
    report = roll_up_day(store, day, tables=(COLLECTION_LOG, JOB_METRICS))
    assert report.rows["ledger"] > 100
    ledger = store.rollups.rows("SELECT * FROM ledger WHERE hour LIKE ?", (f"{day}%",))
    out = {row["host"] for row in ledger if row["received"] < row["expected"]}
    failed = small.weather.outages.node[small.weather.outages.failed]
    assert out <= {small.park.names[node] for node in failed}
    assert all(row["failed"] == row["quarantined"] == 0 for row in ledger)
    assert store.rollups.rows("SELECT count(*) AS n FROM jobs")[0]["n"] == (
        (small.schedule.end[small.ended] // 86400 == 1).sum()
    )
    scenario = json.loads((store.paths.truth / "sim-small" / "scenario.json").read_text())
    assert scenario["jobs"] == 1000
    truth = pl.read_parquet(store.paths.truth / "sim-small" / "jobs.parquet")
    told = store.lake.read_day(JOB_METRICS, "sim-small", day).join(truth, on=["job_id_raw", "submit_time"])
    assert told.height == store.lake.count(JOB_METRICS, "sim-small", day)
    names = set().union(*(table.column_names for table in tables_of_day(small, day)))
    assert not names & {"profile", "cause", "fate", "broken_build", "failure_probability_at_submit"}


def test_every_run_of_a_collector_is_in_the_log(days: list[Day]) -> None:
    log = whole(days, COLLECTION_LOG)
    assert set(log["collector"]) == {
        "disk", "iostat", "mpstat", "vmstat", "nfs", "gpu", "job_monitor", "slurm", "node_state", "job_metrics"
    }  # fmt: skip
    for collector, tables in (("disk", (DISK,)), ("node_state", (NODE_STATE,)), ("slurm", slurm_queue.SLURM_TABLES)):
        there = [whole(days, table).height for table in tables if table in days[0]]
        assert log.filter(pl.col("collector") == collector)["rows"].sum() == sum(there), collector

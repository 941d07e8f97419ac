"""Rows of a simulated day: they fulfil their contracts, agree with each other and with what happened."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from nomade_pipeline import clock
from nomade_pipeline.quality.contract import check
from nomade_pipeline.tables.contract import SIMULATED, Table
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.system import IOSTAT, IOSTAT_CPU, MPSTAT_SUMMARY, VMSTAT
from nomade_pipeline.workload.history import History
from nomade_pipeline.workload.write import tables_of_day

Day = dict[Table, pl.DataFrame]


def whole(days: list[Day], table: Table) -> pl.DataFrame:
    return pl.concat(day[table] for day in days)


def test_every_row_fulfils_its_contract_and_says_that_it_is_simulated(small: History, days: list[Day]) -> None:
    for number, day in zip(small.scenario.days, days, strict=True):
        for table, rows in day.items():
            assert check(rows, table, small.scenario.end).bad.is_empty(), table.name
            assert rows["source"].unique().to_list() == [SIMULATED]
            assert rows["cluster"].unique().to_list() == ["sim-small"]
            assert rows["sample_time"].dt.date().unique().to_list() == [number]
            assert not rows.select(table.key).is_duplicated().any(), table.name


def test_every_job_that_ended_is_told_once(small: History, days: list[Day]) -> None:
    told = whole(days, JOB_METRICS).sort(pl.col("job_id_raw").cast(pl.Int64))
    assert told.height == small.ended.sum()
    assert told["failure_class"].to_list() == small.outcome[small.ended].tolist()
    assert (told["end_time"] >= told["submit_time"]).all()
    ran = told.filter(pl.col("start_time").is_not_null())
    assert (ran["end_time"] - ran["start_time"]).dt.total_seconds().to_list() == ran["elapsed_seconds"].to_list()
    assert (ran["start_time"] - ran["submit_time"]).dt.total_seconds().to_list() == ran["wait_seconds"].to_list()


def test_what_never_ran_used_nothing(days: list[Day]) -> None:
    never = whole(days, JOB_METRICS).filter(pl.col("start_time").is_null())
    assert never.height
    for name in ("alloc_cpus", "node_list", "cpu_seconds", "memory_seff_bytes", "wait_seconds", "cpu_efficiency_ratio"):
        assert never[name].is_null().all(), name


def test_hosts_compute_exactly_what_the_jobs_that_run_there_use(small: History, days: list[Day]) -> None:
    """CPU seconds: those of the jobs, and the half percent of the operating systems, as `mpstat` shows them."""
    rows = whole(days, MPSTAT_SUMMARY)
    shown = (rows["busy_percent"] * rows["cpus"]).sum() / 100 * 60
    seconds = small.scenario.seconds - 60
    done = small.weather.work(
        small.jobs.profile[small.started],
        small.schedule.start[small.started],
        np.minimum(small.until[small.started], seconds).clip(small.schedule.start[small.started]),
    )
    used = (small.busy * small.jobs.cpus * small.jobs.nodes)[small.started] @ done
    idle = rows["cpus"].sum() * 60 * 0.004 * np.exp(0.3**2 / 2)
    assert shown == pytest.approx(used + idle, rel=0.005)
    assert used > 20 * idle


def test_the_accounting_and_the_hosts_agree_on_cpu_seconds(small: History, days: list[Day]) -> None:
    told = whole(days, JOB_METRICS)["cpu_seconds"].sum()
    going = (small.started & ~small.ended) @ (small.busy * small.jobs.cpus * small.jobs.nodes * small.work)
    rows = whole(days, IOSTAT_CPU).join(
        whole(days, NODE_STATE).select(host="node", sample_time="sample_time", cpus="cpus"), on=["host", "sample_time"]
    )
    shown = ((rows["user_percent"] + rows["system_percent"]) * rows["cpus"]).sum() / 100 * 60
    assert shown == pytest.approx(told + going, rel=0.03)


def test_shares_of_cpu_time_add_up_to_the_whole(days: list[Day]) -> None:
    for table in (IOSTAT_CPU, MPSTAT_SUMMARY, VMSTAT):
        rows = whole(days, table)
        parts = [n for n in ("user", "nice", "system", "iowait", "idle", "steal") if f"{n}_percent" in rows.columns]
        total = rows.select(pl.sum_horizontal(f"{name}_percent" for name in parts)).to_series()
        assert total.is_between(99.9, 100.1).all(), table.name


def test_slurm_says_of_the_nodes_what_runs_on_them(small: History, days: list[Day]) -> None:
    """At every sampled moment the CPUs, memory and GPUs that are allocated are those of the running jobs."""
    schedule, jobs = small.schedule, small.jobs
    job = np.repeat(np.arange(len(jobs)), np.diff(schedule.offsets))
    nodes = whole(days, NODE_STATE)
    moments = ((nodes["sample_time"] - small.scenario.start).dt.total_seconds()).to_numpy()
    for number, name in enumerate(small.park.names):
        mine, here = job[schedule.nodes == number], (nodes["node"] == name).to_numpy()
        runs = (schedule.start[mine] < moments[here, None]) & (schedule.end[mine] > moments[here, None])
        for column, asked in (("cpus", jobs.cpus), ("memory", jobs.memory), ("gpus", jobs.gpus)):
            told = nodes.filter(here)[f"{column}_allocated{'_bytes' if column == 'memory' else ''}"]
            assert told.to_list() == (runs @ asked[mine]).tolist()
    allocated = nodes["cpus_allocated"]
    assert (allocated <= nodes["cpus"]).all()
    idle = nodes["state"].is_in(["IDLE"])
    assert (allocated.filter(idle) == 0).all()
    assert (allocated.filter(nodes["state"] == "MIXED") > 0).all()


def test_a_host_that_has_failed_sends_nothing_and_slurm_says_so(days: list[Day]) -> None:
    nodes, hosts = whole(days, NODE_STATE), whole(days, VMSTAT)
    down = nodes.filter(pl.col("state") == "DOWN")
    assert down.height
    assert (down["responding"] == 0).all()
    assert (down["cpus_allocated"] == 0).all()
    joined = down.join(hosts, left_on=["node", "sample_time"], right_on=["host", "sample_time"])
    assert joined.is_empty()
    assert nodes.filter(pl.col("responding") == 1).height == hosts.height


def test_the_monitor_sees_each_running_job_and_its_counters_never_fall(small: History, days: list[Day]) -> None:
    seen = whole(days, JOB_MONITOR).sort("job_id_raw", "node", "sample_time")
    again = ~seen.select(pl.struct("job_id_raw", "node").is_first_distinct()).to_series()
    for name in ("cpu_seconds", "read_bytes", "write_bytes", "memory_peak_bytes"):
        falls = (seen[name].diff() < 0).fill_null(value=False) & again
        assert not falls.any(), name
    last = seen.filter(pl.col("is_final")).group_by("job_id_raw").agg(pl.col("cpu_seconds", "write_bytes").sum())
    told = whole(days, JOB_METRICS).join(last, on="job_id_raw", suffix="_seen")
    assert told.height > 500
    assert (told["cpu_seconds"] - told["cpu_seconds_seen"]).abs().max() < 0.1
    sampled = told.filter(pl.col("disk_write_bytes").is_not_null())
    assert (sampled["disk_write_bytes"] - sampled["write_bytes"]).abs().max() <= 8


def test_a_job_killed_for_memory_was_at_its_limit(days: list[Day]) -> None:
    last = whole(days, JOB_MONITOR).filter(pl.col("oom_kills") > 0)
    assert last.height
    share = (last["memory_used_peak_bytes"] + last["swap_bytes"]) / last["memory_limit_bytes"]
    assert share.min() > 0.99


def test_memory_of_the_hosts_holds_that_of_their_jobs(days: list[Day]) -> None:
    seen = whole(days, JOB_MONITOR).filter(~pl.col("is_final"))
    used = seen.group_by("host", "sample_time").agg(pl.col("memory_used_peak_bytes").sum().alias("used"))
    hosts = whole(days, VMSTAT).join(used, on=["host", "sample_time"], how="left")
    rest = hosts["memory_total_bytes"] - hosts["memory_available_bytes"] - hosts["used"].fill_null(0)
    assert rest.is_between(3.9e9, 4.1e9).all()


def test_io_of_jobs_is_seen_at_the_disks(days: list[Day]) -> None:
    disks, nodes = whole(days, IOSTAT), whole(days, IOSTAT_CPU)
    both = disks.join(nodes, on=["host", "sample_time"])
    busy = both.filter(pl.col("util_percent") > 40)
    assert busy.height
    assert busy["iowait_percent"].mean() > 3 * both["iowait_percent"].mean()  # type: ignore[operator]


def test_the_same_day_gives_the_same_rows_however_it_is_asked_for(small: History, days: list[Day]) -> None:
    alone = dict(tables_of_day(small, small.scenario.days[1]))
    for table, rows in alone.items():
        assert rows.equals(days[1][table]), table.name


def test_the_clock_is_not_asked(small: History, days: list[Day]) -> None:
    with clock.set_to(small.scenario.end + timedelta(days=400)):
        later = dict(tables_of_day(small, small.scenario.days[0]))
    assert all(rows.equals(days[0][table]) for table, rows in later.items())

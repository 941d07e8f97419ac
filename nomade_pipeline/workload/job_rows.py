"""Jobs that have ended as the accounting tells them: rows of `job_metrics`, and the names and numbers of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.tables import outcomes
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.workload.frames import HEAD, moments, rows, texts
from nomade_pipeline.workload.history import History
from nomade_pipeline.workload.people import People
from nomade_pipeline.workload.profiles import PROFILES
from nomade_pipeline.workload.scenario import DAY, MIB, PARTITIONS
from nomade_pipeline.workload.submissions import FIRST_JOB_ID, NONE

if TYPE_CHECKING:
    import polars

GPU_TYPE = "sim"
# How the accounting tells each class: state, exit code, signal.
_TOLD = {
    outcomes.SUCCESS: ("COMPLETED", 0, 0),
    outcomes.TIMEOUT: ("TIMEOUT", 0, 0),
    outcomes.CANCELLED: ("CANCELLED", 0, 15),
    outcomes.FAILED: ("FAILED", 1, 0),
    outcomes.OOM: ("OUT_OF_MEMORY", 0, 125),
    outcomes.SEGFAULT: ("FAILED", 0, 11),
    outcomes.NODE_FAIL: ("NODE_FAIL", 1, 0),
    outcomes.DEPENDENCY: ("CANCELLED", 0, 0),
}
_CLASS_SOURCE = {outcomes.SEGFAULT: "signal", outcomes.DEPENDENCY: "reason"}
# A job's processes are sampled by the accounting so often: a shorter one has no peak of memory.
ACCOUNTING_TICK = 30
FIRST_UID = 5001


def job_numbers(numbers: Integers) -> polars.Series:
    """Return the job numbers of jobs as text."""
    import polars as pl

    return pl.Series(numbers + FIRST_JOB_ID).cast(pl.String)


def shown_numbers(history: History, jobs: Integers) -> polars.Series:
    """Return the job numbers as people write them: `123`, `123_4`."""
    import polars as pl

    group, task = (pl.Series(each[jobs]) for each in (history.jobs.group + FIRST_JOB_ID, history.jobs.task))
    frame = pl.DataFrame({"group": group, "task": task, "own": jobs + FIRST_JOB_ID})
    array = pl.format("{}_{}", "group", "task")
    return frame.select(pl.when(pl.col("task") >= 0).then(array).otherwise(pl.col("own").cast(pl.String))).to_series()


def names_of(history: History, jobs: Integers) -> dict[str, polars.Series]:
    """Return user, account, partition and name of jobs."""
    people, job = history.people, history.jobs
    most = max(len(profile.names) for profile in PROFILES)
    names = [(*profile.names, *[""] * most)[:most] for profile in PROFILES]
    user = job.user[jobs]
    return {
        "user": texts(people.names, user),
        "account": _accounts(people, user),
        "partition": texts(PARTITIONS, job.partition[jobs]),
        "job_name": texts([name for of in names for name in of], job.profile[jobs] * most + job.name[jobs]),
    }


def _accounts(people: People, user: Integers) -> polars.Series:
    return texts(people.accounts, user)


def node_lists(history: History, jobs: Integers) -> polars.Series:
    """Return the nodes of jobs as a list with commas; null for one that has not started."""
    import polars as pl

    offsets, names = history.schedule.offsets, history.park.names
    lists = [
        ",".join(names[node] for node in history.schedule.nodes[offsets[job] : offsets[job + 1]]) or None
        for job in jobs.tolist()
    ]
    return pl.Series(lists, dtype=pl.String)


def job_metrics(history: History, begin: int) -> polars.DataFrame:
    """Return the jobs that ended on the day that begins so many seconds after the scenario's start."""
    end = history.schedule.end
    jobs = np.flatnonzero(history.ended & (end >= begin) & (end < begin + DAY))
    data = {**_about(history, jobs), **_request(history, jobs), **_outcome(history, jobs), **_use(history, jobs)}
    return rows(history.scenario, JOB_METRICS, HEAD, end[jobs], data, interval=0)


def _about(history: History, jobs: Integers) -> dict[str, Any]:
    """Return who, what and when."""
    job, schedule = history.jobs, history.schedule
    start = schedule.start[jobs].astype(float)
    started = start != NONE
    array = job.task[jobs] != NONE
    elapsed = np.where(started, schedule.end[jobs] - start, 0.0)
    return {
        "job_id_raw": job_numbers(jobs),
        "submit_time": moments(history.scenario, job.submit[jobs]),
        "submit_time_source": "submit",
        "job_id": shown_numbers(history, jobs),
        "array_job_id": job_numbers(job.group[jobs]).set(_series(~array), None),
        "array_task_id": np.where(array, job.task[jobs], np.nan),
        "restarts": 0,
        **names_of(history, jobs),
        "group_name": _accounts(history.people, job.user[jobs]),
        "qos": "normal",
        "work_dir": "/home",
        "eligible_time": moments(history.scenario, history.eligible[jobs]),
        "start_time": moments(history.scenario, start),
        "end_time": moments(history.scenario, schedule.end[jobs]),
        "wait_seconds": np.where(started, start - job.submit[jobs], np.nan),
        "elapsed_seconds": elapsed,
        "suspended_seconds": 0.0,
        "time_limit_seconds": job.limit[jobs].astype(float),
        "time_limit_kind": "limited",
    }


def _series(flags: Flags) -> polars.Series:
    import polars as pl

    return pl.Series(flags)


def _request(history: History, jobs: Integers) -> dict[str, Any]:
    job = history.jobs
    started = history.started[jobs]
    nodes, gpus = job.nodes[jobs], job.gpus[jobs] * job.nodes[jobs]
    asked = {"cpus": job.cpus[jobs] * nodes, "nodes": nodes, "memory_bytes": job.memory[jobs] * nodes, "gpus": gpus}
    return {
        **{f"req_{name}": value for name, value in asked.items()},
        **{f"alloc_{name}": np.where(started, value, np.nan) for name, value in asked.items()},
        "gpu_types": texts([GPU_TYPE], np.zeros(len(jobs), np.int64)).set(_series(~started | (gpus == 0)), None),
        "node_list": node_lists(history, jobs),
        "alloc_tres": tres(history, jobs).set(_series(~started), None),
    }


def tres(history: History, jobs: Integers) -> polars.Series:
    """Return the trackable resources of jobs as Slurm writes them."""
    import polars as pl

    job = history.jobs
    nodes = job.nodes[jobs]
    counts = {"billing": job.cpus, "cpu": job.cpus, "gres/gpu": job.gpus, "mem": job.memory // MIB, "node": None}
    frame = pl.DataFrame({name: nodes if each is None else each[jobs] * nodes for name, each in counts.items()})
    gpus = pl.when(pl.col("gres/gpu") > 0).then(
        pl.format(f"gres/gpu={{}},gres/gpu:{GPU_TYPE}={{}},", *["gres/gpu"] * 2)
    )
    parts = [pl.format("billing={},cpu={},", "billing", "cpu"), gpus.otherwise(pl.lit(""))]
    return frame.select(pl.concat_str(*parts, pl.format("mem={}M,node={}", "mem", "node"))).to_series()


def _outcome(history: History, jobs: Integers) -> dict[str, Any]:
    outcome, started = history.outcome[jobs], history.started[jobs]
    told = [_TOLD[code] for code in range(len(outcomes.OUTCOME_CLASSES))]
    cancelled = outcome == outcomes.CANCELLED
    uid = np.where(cancelled, history.jobs.user[jobs] + FIRST_UID, np.nan)
    sources = [_CLASS_SOURCE.get(code, "state") for code in range(len(told))]
    return {
        "state": texts([state for state, _, _ in told], outcome),
        "state_raw": _raw_states(texts([state for state, _, _ in told], outcome), uid),
        "failure_class": outcome,
        "class_source": texts(sources, outcome),
        "cancelled_by_uid": uid,
        **exit_codes(history, jobs),
        "derived_exit_code": 0,
        "derived_exit_signal": 0,
        "oom_killed": _series(outcome == outcomes.OOM).set(_series(~started), None),
        "reason": texts(["DependencyNeverSatisfied"], np.zeros(len(jobs), np.int64)).set(
            _series(outcome != outcomes.DEPENDENCY), None
        ),
    }


def exit_codes(history: History, jobs: Integers) -> dict[str, Integers]:
    """Return exit status and signal of jobs that have ended, as the accounting tells them."""
    outcome, started = history.outcome[jobs], history.started[jobs]
    codes, signals = (np.array([_TOLD[code][place] for code in range(len(_TOLD))]) for place in (1, 2))
    return {"exit_code": codes[outcome] * started, "exit_signal": signals[outcome] * started}


def _raw_states(states: polars.Series, uid: Floats) -> polars.Series:
    import polars as pl

    frame = pl.DataFrame({"state": states, "uid": pl.Series(uid).fill_nan(None).cast(pl.Int64)})
    by = pl.format("{} by {}", "state", "uid")
    return frame.select(pl.when(pl.col("uid").is_null()).then("state").otherwise(by)).to_series()


def memory_peak(history: History, jobs: Integers) -> Floats:
    """Return the largest memory of a node's processes that jobs have had in use, bytes."""
    job = history.jobs
    begin = job.of_profile("memory_begin")[jobs]
    grown = np.minimum(history.work[jobs] / history.run_of("memory_rise")[jobs], 1.0)
    return np.minimum(history.run_of("memory_peak")[jobs] * (begin + (1 - begin) * grown), job.memory[jobs])


def _use(history: History, jobs: Integers) -> dict[str, Any]:
    """Return what was used; nothing of a job that never ran, no peaks of one that ended before the first tick."""
    job, work = history.jobs, history.work[jobs]
    started = history.started[jobs]
    elapsed = np.where(started, history.schedule.end[jobs] - history.schedule.start[jobs], 0)
    sampled = started & (elapsed >= ACCOUNTING_TICK)
    nodes = job.nodes[jobs]
    cpu = np.where(started, history.busy[jobs] * (job.cpus[jobs] * nodes) * work, np.nan).round(3)
    system = job.of_profile("system")[jobs]
    memory = np.where(sampled, memory_peak(history, jobs), np.nan).round() * nodes
    asked = (job.memory[jobs] * nodes).astype(float)
    moved = {
        way: np.where(sampled, history.io_rate(f"nfs_{way}", jobs) + history.io_rate(f"local_{way}", jobs), np.nan)
        for way in ("read", "write")
    }
    has_gpu = sampled & (job.gpus[jobs] > 0)
    return {
        "steps": np.where(started, 2, 0),
        "user_cpu_seconds": cpu * (1 - system),
        "system_cpu_seconds": cpu * system,
        "cpu_seconds": cpu,
        "cpu_efficiency_ratio": np.where(elapsed > 0, cpu / np.maximum(elapsed * job.cpus[jobs] * nodes, 1), np.nan),
        "memory_seff_bytes": memory,
        "memory_max_rss_tasks_bytes": memory,
        "memory_max_rss_bytes": np.where(sampled, memory / nodes, np.nan),
        "memory_efficiency_ratio": memory / asked,
        "memory_tasks_efficiency_ratio": memory / asked,
        "disk_read_bytes": moved["read"] * work * nodes,
        "disk_write_bytes": moved["write"] * work * nodes,
        "gpu_memory_bytes": np.where(has_gpu, history.vram[jobs] * job.gpus[jobs] * nodes, np.nan),
        "gpu_util_percent": np.where(has_gpu, 100 * job.of_profile("gpu_busy")[jobs] * job.gpus[jobs] * nodes, np.nan),
    }

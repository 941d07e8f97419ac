"""The queue as Slurm tells it each minute: rows of the tables of the collector `slurm`, from the head node.

A job waits at a moment that lies behind its submission and not behind its start; it runs between start and end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.slurm_queue import (
    SLURM_JOB,
    SLURM_PARTITION,
    SLURM_PENDING,
    SLURM_QUEUE,
    SLURM_SCHEDULER,
    WHOLE_CLUSTER,
)
from nomade_pipeline.workload.frames import HEAD, moments, rows, texts
from nomade_pipeline.workload.history import History
from nomade_pipeline.workload.host_load import HostLoad, drained, wobble
from nomade_pipeline.workload.job_rows import job_numbers, names_of, node_lists, shown_numbers
from nomade_pipeline.workload.running import Running, counted
from nomade_pipeline.workload.scenario import HOUR, MINUTE, PARTITIONS
from nomade_pipeline.workload.submissions import NONE

if TYPE_CHECKING:
    import polars

# Why a job waits: class and Slurm's word for it. The first that waits in a partition lacks resources.
_REASONS = (("resources", "Resources"), ("priority", "Priority"), ("dependency", "Dependency"))
_RESOURCES, _PRIORITY, _DEPENDENCY = range(3)
_LONGEST_LIMIT = 7 * 24 * HOUR


def queue_rows(running: Running, load: HostLoad) -> dict[Table, polars.DataFrame]:
    """Return the rows of a day."""
    queued = _queued(running)
    return {
        SLURM_QUEUE: _counts(running, queued),
        SLURM_PENDING: _pending(running, queued),
        SLURM_JOB: _told_jobs(running, queued),
        SLURM_PARTITION: _partitions(running, load),
        SLURM_SCHEDULER: _scheduler(running, queued),
    }


def _queued(running: Running) -> polars.DataFrame:
    """Return a row for each job and minute in which it waits or runs, in the order of jobs and minutes."""
    import polars as pl

    history = running.history
    jobs, schedule = history.jobs, history.schedule
    gone = np.where(history.ended, schedule.end, history.scenario.seconds + MINUTE)
    start = np.where(history.started, schedule.start, gone - 1)
    # Numbers of the samples, whose times are whole minutes: the first behind a moment, the last not behind another.
    first, begins, last = jobs.submit // MINUTE + 1, start // MINUTE + 1, -(-gone // MINUTE) - 1
    from_ = np.maximum(first, running.first_minute + 1)
    until = np.minimum(last, running.first_minute + running.minutes)
    some = np.flatnonzero(until >= from_)
    length = (until - from_ + 1)[some]
    job = np.repeat(some, length)
    sample = np.repeat(from_[some], length) + counted(length)
    runs = (sample >= begins[job]) & history.started[job]
    moment = sample * MINUTE
    eligible = history.eligible[job]
    held = ~runs & ~(eligible < moment)
    frame = pl.DataFrame(
        {
            "job": job,
            "minute": sample - running.first_minute - 1,
            "runs": runs,
            "begins": sample == begins[job],
            "partition": jobs.partition[job],
            "user": jobs.user[job],
            "nodes": jobs.nodes[job],
            "cpus": (jobs.cpus * jobs.nodes)[job],
            "gpus": (jobs.gpus * jobs.nodes)[job],
            "wait": np.where(runs, schedule.start[job], moment) - np.where(held, jobs.submit[job], eligible),
            "held": held,
        }
    )
    ready = ~pl.col("runs") & ~pl.col("held")
    is_first = pl.col("job") == pl.col("job").filter(ready).min().over("partition", "minute")
    reason = pl.when("runs").then(None).when("held").then(_DEPENDENCY).when(is_first).then(_RESOURCES)
    return frame.with_columns(reason=reason.otherwise(_PRIORITY))


def _by(queued: polars.DataFrame, *keys: str, **values: polars.Expr) -> polars.DataFrame:
    """Return sums by partition, and of the whole cluster, and minute."""
    import polars as pl

    whole = queued.with_columns(partition=pl.lit(len(PARTITIONS), pl.Int64))
    both = pl.concat([queued, whole])
    return both.group_by("partition", *keys, "minute").agg(**values).sort("partition", *keys, "minute")


def _counts(running: Running, queued: polars.DataFrame) -> polars.DataFrame:
    """Return the rows of `slurm_queue`: each partition and minute, those without a job too."""
    import polars as pl

    waits, runs, begins = ~pl.col("runs"), pl.col("runs"), pl.col("runs") & pl.col("begins")
    found = _by(
        queued,
        pending_jobs=waits.sum(),
        running_jobs=runs.sum(),
        **{f"pending_{name}": pl.col(name).filter(waits).sum() for name in ("cpus", "nodes", "gpus")},
        **{f"running_{name}": pl.col(name).filter(runs).sum() for name in ("cpus", "nodes", "gpus")},
        users=pl.col("user").n_unique(),
        wait_mean_seconds=pl.col("wait").filter(waits).mean(),
        wait_median_seconds=pl.col("wait").filter(waits).median(),
        wait_max_seconds=pl.col("wait").filter(waits).max(),
        started_jobs=begins.sum(),
        started_wait_mean_seconds=pl.col("wait").filter(begins).mean(),
    )
    partitions, minutes = pl.int_range(len(PARTITIONS) + 1, eager=True), pl.int_range(running.minutes, eager=True)
    every = partitions.alias("partition").to_frame().join(minutes.alias("minute").to_frame(), how="cross")
    found = every.join(found, on=["partition", "minute"], how="left", maintain_order="left")
    counts = [name for name in found.columns if "wait" not in name]
    found = found.with_columns(pl.col(counts).fill_null(0))
    data = {name: found[name] for name in found.columns if name not in ("partition", "minute")}
    zeros = dict.fromkeys(("suspended_jobs", "completing_jobs", "other_jobs"), 0)
    return _head_rows(running, SLURM_QUEUE, found["minute"], {**data, **zeros, "partition": _partition_names(found)})


def _pending(running: Running, queued: polars.DataFrame) -> polars.DataFrame:
    import polars as pl

    waiting = queued.filter(~pl.col("runs"))
    found = _by(waiting, "reason", jobs=pl.len(), cpus=pl.col("cpus").sum(), wait_max_seconds=pl.col("wait").max())
    reason = found["reason"].to_numpy()
    data = {
        **{name: found[name] for name in ("jobs", "cpus", "wait_max_seconds")},
        "partition": _partition_names(found),
        "reason_class": texts([name for name, _ in _REASONS], reason),
        "example_reason": texts([word for _, word in _REASONS], reason),
    }
    return _head_rows(running, SLURM_PENDING, found["minute"], data)


def _partition_names(found: polars.DataFrame) -> polars.Series:
    return texts((*PARTITIONS, WHOLE_CLUSTER), found["partition"].to_numpy())


def _head_rows(running: Running, table: Table, minute: polars.Series, data: Mapping[str, Any]) -> polars.DataFrame:
    return rows(running.history.scenario, table, HEAD, running.moments[minute.to_numpy()], data)


def _told_jobs(running: Running, queued: polars.DataFrame) -> polars.DataFrame:
    """Return the rows of `slurm_job`: all jobs each full hour, between them those that changed and those that left."""
    import polars as pl

    full = pl.col("minute").is_in(np.flatnonzero(running.moments % HOUR == 0).tolist() or [0])
    same = (pl.col("job") == pl.col("job").shift()) & pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).shift()) for name in ("runs", "reason")
    )
    new = ~same.fill_null(value=False) & ((pl.col("minute") > 0) | (running.first_minute == 0))
    kept = queued.with_columns(full=full).filter(full | new)
    last = queued.group_by("job").agg(pl.col("minute", "runs").last()).filter(pl.col("minute") < running.minutes - 1)
    gone = last.with_columns(pl.col("minute") + 1).sort("job")
    return pl.concat([_present(running, kept), _gone(running, gone)])


def _present(running: Running, kept: polars.DataFrame) -> polars.DataFrame:
    import polars as pl

    history, job = running.history, kept["job"].to_numpy()
    jobs, runs = history.jobs, kept["runs"]
    reason = kept["reason"].fill_null(0).to_numpy()
    start = np.where(runs.to_numpy(), history.schedule.start[job], np.nan)
    data = {
        **_identity(history, job, runs),
        **names_of(history, job),
        "kind": texts(("changed", "full"), kept["full"].cast(pl.Int64).to_numpy()),
        "array_job_id": job_numbers(jobs.group[job]).set(pl.Series(jobs.task[job] == NONE), None),
        "tasks": 1,
        "qos": "normal",
        "reason": texts([word for _, word in _REASONS], reason).set(runs, None),
        "reason_class": texts([name for name, _ in _REASONS], reason).set(runs, None),
        "cpus": kept["cpus"],
        "nodes": kept["nodes"],
        "memory_bytes": (jobs.memory * jobs.nodes)[job],
        "gpus": kept["gpus"],
        "node_list": node_lists(history, job).set(~runs, None),
        "dependency": _dependencies(history, job, kept["held"]),
        "submit_time": moments(history.scenario, jobs.submit[job]),
        "eligible_time": moments(history.scenario, history.eligible[job]).set(kept["held"], None),
        "start_time": moments(history.scenario, start),
        "end_time": moments(history.scenario, start + jobs.limit[job]),
        "time_limit_seconds": jobs.limit[job].astype(float),
    }
    return _head_rows(running, SLURM_JOB, kept["minute"], data)


def _identity(history: History, job: Integers, runs: polars.Series) -> dict[str, Any]:
    import polars as pl

    state = texts(("PENDING", "RUNNING"), runs.cast(pl.Int64).to_numpy())
    return {
        "job_id_raw": job_numbers(job),
        "job_id": shown_numbers(history, job),
        "state_raw": state,
        "state": state,
    }


def _dependencies(history: History, job: Integers, held: polars.Series) -> polars.Series:
    import polars as pl

    parent = job_numbers(history.jobs.parent[job])
    told = pl.select(pl.format("afterok:{}(unfulfilled)", parent)).to_series()
    return told.set(~held | pl.Series(history.jobs.parent[job] == NONE), None)


def _gone(running: Running, gone: polars.DataFrame) -> polars.DataFrame:
    data = {**_identity(running.history, gone["job"].to_numpy(), gone["runs"]), "kind": "gone"}
    return _head_rows(running, SLURM_JOB, gone["minute"], data)


def _partitions(running: Running, load: HostLoad) -> polars.DataFrame:
    """Return the rows of `slurm_partition`."""
    import polars as pl

    park = running.history.park
    out = ~load.up | drained(running)
    cpus = park.cpus[:, None] + np.zeros_like(load.busy)
    full, some = load.allocated_cpus >= cpus, load.allocated_cpus > 0
    parts = []
    for number, name in enumerate(PARTITIONS):
        part = park.partitions[name]

        def total(values: Any, part: slice = part) -> Floats:
            summed: Floats = np.asarray(values[part], float).sum(axis=0)
            return summed

        allocated, idle = total(load.allocated_cpus), total(np.where(out, 0, cpus - load.allocated_cpus))
        data = {
            "partition": name,
            "state": "up",
            "is_default": number == 0,
            "nodes": part.stop - part.start,
            "nodes_allocated": total(~out & full),
            "nodes_mixed": total(~out & some & ~full),
            "nodes_idle": total(~out & ~some),
            "nodes_unavailable": total(out),
            "cpus": total(cpus),
            "cpus_allocated": allocated,
            "cpus_idle": idle,
            "cpus_other": total(cpus) - allocated - idle,
            "time_limit_seconds": float(_LONGEST_LIMIT),
        }
        parts.append(rows(running.history.scenario, SLURM_PARTITION, HEAD, running.moments, data))
    return pl.concat(parts)


def _scheduler(running: Running, queued: polars.DataFrame) -> polars.DataFrame:
    """Return the rows of `slurm_scheduler`: daemons that answer, counters since midnight UTC."""
    import polars as pl

    history, at = running.history, running.moments
    midnight = at // (24 * HOUR) * 24 * HOUR
    length = np.zeros(running.minutes)
    waiting = queued.filter(~pl.col("runs")).group_by("minute").len()
    length[waiting["minute"].to_numpy()] = waiting["len"].to_numpy()
    ended = history.started & history.ended

    def since_midnight(times: Integers) -> Integers:
        ordered = np.sort(times)
        return np.searchsorted(ordered, at) - np.searchsorted(ordered, midnight)

    end = history.schedule.end
    data = {
        "controller": HEAD,
        "controller_up": True,
        "backups_down": 0,
        "dbd_up": True,
        "ping_seconds": 0.003 * wobble(running, "ping", (running.minutes,)),
        "dbd_ping_seconds": 0.004 * wobble(running, "dbd", (running.minutes,)),
        "squeue_seconds": 0.01 + 2e-6 * length,
        "server_threads": 3,
        "agent_queue": 0,
        "dbd_agent_queue": 0,
        "jobs_submitted": since_midnight(history.jobs.submit),
        "jobs_started": since_midnight(history.schedule.start[history.started]),
        "jobs_completed": since_midnight(end[ended & (history.outcome == 0)]),
        "jobs_canceled": since_midnight(end[history.ended & np.isin(history.outcome, (2, 7))]),
        "jobs_failed": since_midnight(end[ended & np.isin(history.outcome, (1, 3, 4, 5, 6))]),
        "counters_since": moments(history.scenario, midnight),
        "queue_length": length,
    }
    return rows(history.scenario, SLURM_SCHEDULER, HEAD, at, data)

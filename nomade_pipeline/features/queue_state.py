"""How many jobs of its user and of its partition waited and ran just before a job was submitted.

A job that was alive at a moment shows what was known of it then: when it had been submitted and whether it had started.
When and how it ended later changes nothing, so the counts may serve a prediction at submission.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Iterable, Iterator

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB

if TYPE_CHECKING:
    import polars

# Of a job that was submitted longer ago nothing is counted: one absurd time must not make every day read all of them.
MOST_DAYS_BACK = 92
# Where the queue was not collected, jobs that were still alive at the day's end are found by the records of so many
# days after it.
MOST_DAYS_AHEAD = 31
# The collector tells the whole queue once an hour.
PICTURE_AGE = timedelta(hours=2)
# Others are counted so many at a time.
BATCH_ROWS = 500_000

COUNTED_BY = ("user", "partition")
_LIFE = ("user", "partition", "submit_time", "start_time", "end_time")


def queue_columns(lake: Lake, cluster: str, day: date, jobs: polars.DataFrame) -> polars.DataFrame:
    """Return the counts of jobs that ended on a UTC day, in their order; null where user or partition is not told.

    Args:
        lake: where the records and the queue lie.
        cluster: whose jobs.
        day: the UTC day on which they ended.
        jobs: ``user``, ``partition`` and ``submit_time``.

    Raises:
        LakeError: a stored file cannot be read.
    """
    first = clock.start_of(day - timedelta(days=MOST_DAYS_BACK))
    return counts_of(jobs, _batches(_others(lake, cluster, day, _oldest(jobs, first))), first)


def _oldest(jobs: polars.DataFrame, first: datetime) -> date:
    """Return the day of the oldest submission that is looked at."""
    oldest = jobs["submit_time"].min()
    return max(oldest, first).date() if isinstance(oldest, datetime) else first.date()


def counts_of(jobs: polars.DataFrame, others: Iterable[polars.DataFrame], first: datetime) -> polars.DataFrame:
    """Return ``user_waiting``, ``user_running``, ``partition_waiting``, ``partition_running`` of jobs.

    Args:
        jobs: ``user``, ``partition`` and ``submit_time``; they may be among the others, and do not count themselves.
        others: parts of the jobs that are counted, with ``start_time`` and ``end_time``: null for not yet.
        first: jobs that were submitted before get null.
    """
    import polars as pl

    known = (jobs["submit_time"] >= first).to_numpy()
    found = {f"{by}_{state}": np.zeros(jobs.height, np.int64) for by in COUNTED_BY for state in ("waiting", "running")}
    for part in others:
        for by in COUNTED_BY:
            waiting, running = _alive(jobs, part, by)
            found[f"{by}_waiting"] += waiting
            found[f"{by}_running"] += running
    told = {by: jobs[by].is_not_null() & pl.Series(known, dtype=pl.Boolean) for by in COUNTED_BY}
    table = pl.DataFrame({**found, **{f"_{by}": told[by] for by in COUNTED_BY}})
    return table.select(pl.when(f"_{name.partition('_')[0]}").then(name).alias(name) for name in found)


def _alive(jobs: polars.DataFrame, others: polars.DataFrame, by: str) -> tuple[Integers, Integers]:
    """Return how many others of the same user or partition waited, and ran, just before each job's submission."""
    import polars as pl

    names = pl.concat([jobs[by], others[by]]).cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    asked, groups = names[: jobs.height], names[jobs.height :]
    moment = _milliseconds(jobs["submit_time"], 0)
    first, never = int(moment.min(initial=0)), int(moment.max(initial=0)) + 1
    submit, start, end = (_milliseconds(others[name], never) for name in ("submit_time", "start_time", "end_time"))
    # Clocks of two daemons may differ: nothing happens before what it follows on.
    started = others["start_time"].is_not_null().to_numpy()
    began = np.maximum(start, submit)
    left = np.where(started, began, np.maximum(end, submit))
    over = np.where(started, np.maximum(end, began), never)

    def before(times: Integers) -> Integers:
        # One sorted array for all groups: a group's times lie between its number and the next, times the span.
        span = never - first + 2
        keys = np.sort(groups * span + np.clip(times, first - 1, never) - first + 1)
        earlier = np.searchsorted(keys, asked * span + moment - first + 1)
        return np.asarray(earlier - np.searchsorted(keys, asked * span), np.int64)

    return before(submit) - before(left), before(began) - before(over)


def _milliseconds(times: polars.Series, null: int) -> Integers:
    """Return times as milliseconds since 1970 UTC."""
    found: Integers = times.dt.epoch("ms").fill_null(null).to_numpy()
    return found


def _batches(parts: Iterable[polars.DataFrame]) -> Iterator[polars.DataFrame]:
    """Join small parts: of a small cluster a day is soon counted, and most of the cost is the call."""
    import polars as pl

    waiting: list[polars.DataFrame] = []
    for part in parts:
        waiting.append(part)
        if sum(each.height for each in waiting) >= BATCH_ROWS:
            yield pl.concat(waiting)
            waiting.clear()
    if waiting:
        yield pl.concat(waiting)


def _others(lake: Lake, cluster: str, day: date, oldest: date) -> Iterator[polars.DataFrame]:
    """Yield the jobs that may have been alive between a day and the end of another, each once."""
    import polars as pl

    end = min(clock.start_of(day + timedelta(days=1)), clock.now())
    days = lake.days(JOB_METRICS, cluster)
    for each in days:
        if oldest <= each <= day:
            yield lake.read_day(JOB_METRICS, cluster, each, columns=_LIFE)
    queue = queue_at(lake, cluster, end)
    if queue is not None:
        ended = lake.read_day(JOB_METRICS, cluster, day, columns=("job_id_raw", "submit_time"))
        yield queue.join(ended, on=["job_id_raw", "submit_time"], how="anti").select(_LIFE)
        return
    for each in days:
        if day < each <= day + timedelta(days=MOST_DAYS_AHEAD):
            yield lake.read_day(JOB_METRICS, cluster, each, columns=_LIFE).filter(pl.col("submit_time") < end)


def queue_at(lake: Lake, cluster: str, moment: datetime) -> polars.DataFrame | None:
    """Return the jobs in the queue at a moment, one row a job, with ``job_id_raw``; None where it was not collected.

    Args:
        lake: where raw/slurm_job lies.
        cluster: whose queue.
        moment: the newest whole picture that is at most `PICTURE_AGE` old, and what changed since, tell.
    """
    import polars as pl

    names = ("job_id_raw", "kind", "sample_time", "state", "tasks", *_LIFE[:4])
    days = {(moment - PICTURE_AGE).date(), moment.date()}
    rows = pl.concat([lake.read_day(SLURM_JOB, cluster, each, columns=names) for each in sorted(days)])
    rows = rows.filter(pl.col("sample_time").is_between(moment - PICTURE_AGE, moment))
    picture = rows.filter(pl.col("kind") == "full")["sample_time"].max()
    if picture is None:
        return None
    rows = rows.filter(pl.col("sample_time") >= picture).sort("sample_time", maintain_order=True)
    rows = rows.unique("job_id_raw", keep="last", maintain_order=True).filter(pl.col("kind") != "gone")
    waits = (pl.col("state") == "PENDING").fill_null(value=False)
    alive = rows.drop_nulls("submit_time").select(
        "job_id_raw",
        "user",
        # A waiting job may name several; it counts in the first.
        pl.col("partition").str.split(",").list.first(),
        "submit_time",
        # Of a waiting job the queue tells when it is expected to start.
        pl.when(~waits).then("start_time").alias("start_time"),
        pl.lit(None, pl.Datetime("ms", "UTC")).alias("end_time"),
        pl.col("tasks").fill_null(1).alias("_tasks"),
    )
    repeated = alive.select(pl.all().exclude("_tasks").repeat_by("_tasks"))
    return repeated.explode(repeated.columns)

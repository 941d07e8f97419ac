"""Whether what Slurm's commands tell agrees with each other: an empty, successful answer is the usual fault.

`PrivateData=jobs` makes squeue and sacct answer an unprivileged user with nothing and success; a slurmdbd
that lags or was rebuilt lacks jobs that the queue has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from nomade_pipeline import clock
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB, SLURM_PARTITION, SLURM_QUEUE, WHOLE_CLUSTER

if TYPE_CHECKING:
    import polars

# slurmdbd is told of an end within seconds; one that is this late is missing, not slow.
ACCOUNTING_LAG = timedelta(minutes=20)

# One reading may fall between the start of a job and the answer about its node.
LEAST_READINGS = 3

SHOWN_JOBS = 10


@dataclass(frozen=True)
class Finding:
    """The outcome of a check: how many things disagree, and what they are, for a person."""

    count: int
    message: str


def jobs_without_record(store: Store, day: date) -> Finding:
    """Return the jobs that ran and left the queue on a day, and of which the accounting has no end.

    Args:
        store: where.
        day: UTC date; of today only what left the queue some time ago is expected.
    """
    import polars as pl

    seen, ended = _read(store, SLURM_JOB.name, day, 0), _read(store, JOB_METRICS.name, day, 1)
    limit = clock.now() - ACCOUNTING_LAG
    gone = (
        seen.filter((pl.col("kind") == "gone") & (pl.col("sample_time") < limit))
        .select("cluster", "job_id_raw")
        .unique()
    )
    ran = (
        seen.filter(pl.col("state").is_in(["RUNNING", "COMPLETING", "SUSPENDED"]))
        .select("cluster", "job_id_raw")
        .unique()
    )
    known = ended.select("cluster", "job_id_raw").unique()
    missing = gone.join(ran, on=["cluster", "job_id_raw"]).join(known, on=["cluster", "job_id_raw"], how="anti")
    numbers = sorted(missing["job_id_raw"].to_list())
    if not numbers:
        return Finding(0, f"each of the {gone.height} jobs that left the queue is accounted for")
    shown = ", ".join(numbers[:SHOWN_JOBS]) + (" …" if len(numbers) > SHOWN_JOBS else "")
    return Finding(
        len(numbers),
        f"{len(numbers)} jobs left the queue and sacct does not know their end: {shown}; does slurmdbd lag (`sdiag`), "
        f"or may this user see all jobs (PrivateData)? `nomade backfill --since {day}` reads the day again",
    )


def empty_answers(store: Store, day: date) -> Finding:
    """Return how many readings of a day show an empty queue although CPUs are allocated."""
    import polars as pl

    queue, partitions = (_read(store, table.name, day, 0) for table in (SLURM_QUEUE, SLURM_PARTITION))
    place = ["cluster", "host", "sample_time"]
    empty = queue.filter(
        (pl.col("partition") == WHOLE_CLUSTER) & (pl.col("running_jobs") + pl.col("completing_jobs") == 0)
    )
    busy = partitions.group_by(place).agg(pl.col("cpus_allocated").max()).filter(pl.col("cpus_allocated") > 0)
    both = empty.join(busy, on=place)
    if both.height < LEAST_READINGS:
        return Finding(0, "no reading shows an empty queue on busy nodes")
    return Finding(
        both.height,
        f"{both.height} readings show no running job although CPUs are allocated: squeue answers this user with "
        "nothing; set PrivateData so that it may see all jobs, or run the agent as root or SlurmUser",
    )


def _read(store: Store, table_name: str, day: date, days_after: int) -> polars.DataFrame:
    """Return a table's rows of a day, and of some days after it."""
    from nomade_pipeline.tables.catalog import raw_table_named

    start = clock.start_of(day)
    return store.lake.read(raw_table_named(table_name), start, start + timedelta(days=1 + days_after))

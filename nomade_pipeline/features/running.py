"""What is known so far of the jobs that run now: the quantities of a job that ended this moment."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nomade_pipeline import clock
from nomade_pipeline.features.system import system_quantities
from nomade_pipeline.features.told import told_columns
from nomade_pipeline.ingest.derived_sources import Reader
from nomade_pipeline.ingest.job_rollup import USAGE_SO_FAR
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.features import QUANTITY
from nomade_pipeline.tables.job_rollups import JOBS, MONITOR_COLUMNS
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB

if TYPE_CHECKING:
    import polars

# A full picture of the queue comes once an hour.
PICTURE_AGE = timedelta(hours=2)
# How the queue names what the accounting will tell of an ended job.
_RENAMED = {"cpus": "alloc_cpus", "gpus": "alloc_gpus"}


def running_jobs(lake: Lake, cluster: str, now: datetime) -> polars.DataFrame:
    """Return the rows of `slurm_job` of the jobs that run, as of the newest readings that the lake holds.

    Each host's newest full picture is brought up to date with the changes after it. A job whose start or submission
    is not told is left out.
    """
    import polars as pl

    rows = lake.read(SLURM_JOB, now - PICTURE_AGE, now + timedelta(seconds=1), clusters=[cluster])
    pictured = pl.col("sample_time").filter(pl.col("kind") == "full").max().over("host")
    newest = rows.filter(pl.col("sample_time") >= pictured).sort("sample_time").unique("job_id_raw", keep="last")
    runs = newest.filter((pl.col("kind") != "gone") & (pl.col("state") == "RUNNING"))
    return runs.drop_nulls(["submit_time", "start_time"]).sort("job_id_raw")


def running_features(store: Store, cluster: str, now: datetime) -> polars.DataFrame:
    """Return the running jobs of a cluster with the documented quantities so far; null: not known yet.

    Also ``job_id_raw``, ``job_id``, ``submit_time``, ``start_time``, ``user``, ``partition``, ``network_write_gb`` and
    ``local_write_gb``. What only the accounting tells at the end (the memory peak by seff) is null.

    Raises:
        LakeError, DatabaseError: lake or database cannot be read.
    """
    import polars as pl

    jobs = running_jobs(store.lake, cluster, now).rename(_RENAMED).drop("end_time")
    jobs = jobs.join(_watched(store, cluster, jobs), on="job_id_raw", how="left", maintain_order="left")
    elapsed = (pl.lit(now) - pl.col("start_time")).dt.total_milliseconds() / 1000
    jobs = jobs.with_columns(end_time=pl.lit(now).cast(pl.Datetime("ms", "UTC")), elapsed_seconds=elapsed)
    unknown = {name: kind for name, kind in polars_schema(JOB_METRICS).items() if name not in jobs.columns}
    jobs = jobs.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in unknown.items())
    # The score of a job that has not ended is not known, whatever the network is configured to compare.
    told = jobs.with_columns(**told_columns(), health_score=pl.lit(None, dtype=pl.Float64))
    system = system_quantities(store, cluster, now.date(), jobs)
    names = ("job_id_raw", "job_id", "submit_time", "start_time", "user", "partition")
    own = [name for name in QUANTITY if name not in system.columns]
    told = told.select(*names, *own, "network_write_gb", "local_write_gb")
    return pl.concat([told, system.select(name for name in QUANTITY if name in system.columns)], how="horizontal")


def _watched(store: Store, cluster: str, jobs: polars.DataFrame) -> polars.DataFrame:
    """Return what the job monitor has seen of running jobs so far: ``job_id_raw`` and `MONITOR_COLUMNS`."""
    import polars as pl

    started = [[number, clock.to_text(start)] for number, start in jobs.select("job_id_raw", "start_time").iter_rows()]
    rows = Reader(store.paths).rows(USAGE_SO_FAR, (json.dumps(started), cluster))
    kinds = polars_schema(JOBS)
    schema = {name: kinds[name] for name in ("job_id_raw", *(column.name for column in MONITOR_COLUMNS))}
    return pl.DataFrame(rows, schema=schema, orient="row", strict=False)

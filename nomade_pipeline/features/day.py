"""The table `job_features` of a UTC day: everything that is known of the jobs that ended on it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.health import health_score
from nomade_pipeline.features.queue_state import queue_columns
from nomade_pipeline.features.records import records_of_day
from nomade_pipeline.features.system import system_quantities
from nomade_pipeline.features.told import request_columns, start_columns, told_columns
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.features import JOB_FEATURES, VECTOR
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars


def features_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write the features of the jobs of all clusters that ended on a UTC day anew; return figures to show.

    Args:
        store: where.
        config: the settings.
        day: the UTC date; of today the jobs that have ended by now.

    Raises:
        LakeError, DatabaseError: lake or database cannot be read or written.
    """
    lake, least = store.lake, config.collectors.job_metrics.min_runtime_seconds
    known = {*lake.clusters(JOB_METRICS), *lake.clusters(JOB_FEATURES)}
    jobs = 0
    for cluster in sorted(known):
        if lake.has(JOB_METRICS, cluster, day) or lake.has(JOB_FEATURES, cluster, day):
            jobs += lake.replace(JOB_FEATURES, cluster, day, job_features(store, cluster, day, least))
    return {"jobs": jobs}


def job_features(store: Store, cluster: str, day: date, least_seconds: float) -> polars.DataFrame:
    """Return the rows of `job_features` of one cluster and UTC day; see `system_quantities` for the shortest runs."""
    import polars as pl

    records = records_of_day(store, cluster, day)
    told = {**told_columns(), **request_columns(), **start_columns()}
    rows = pl.concat(
        [
            records.with_columns(sample_time=pl.col("end_time"), **told),
            queue_columns(store.lake, cluster, day, records),
            system_quantities(store, cluster, day, records, least_seconds),
        ],
        how="horizontal",
    )
    measured = pl.sum_horizontal(pl.col(name).is_not_null() for name in VECTOR).cast(pl.Int32)
    return conform(rows.with_columns(health_score=health_score(), measured=measured), JOB_FEATURES)

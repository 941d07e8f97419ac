"""The table `job_features` of a UTC day: everything that is known of the jobs that ended on it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.records import records_of_day
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
    del config
    lake = store.lake
    known = {*lake.clusters(JOB_METRICS), *lake.clusters(JOB_FEATURES)}
    jobs = 0
    for cluster in sorted(known):
        if lake.has(JOB_METRICS, cluster, day) or lake.has(JOB_FEATURES, cluster, day):
            jobs += lake.replace(JOB_FEATURES, cluster, day, job_features(store, cluster, day))
    return {"jobs": jobs}


def job_features(store: Store, cluster: str, day: date) -> polars.DataFrame:
    """Return the rows of `job_features` of one cluster and UTC day."""
    import polars as pl

    records = records_of_day(store, cluster, day)
    told = {**told_columns(), **request_columns(), **start_columns()}
    rows = records.with_columns(sample_time=pl.col("end_time"), **told)
    rows = rows.with_columns(pl.lit(None).alias(name) for name in JOB_FEATURES.column_names if name not in rows.columns)
    measured = pl.sum_horizontal(pl.col(name).is_not_null() for name in VECTOR).cast(pl.Int32)
    return conform(rows.with_columns(measured=measured), JOB_FEATURES)

"""The jobs that ended on a UTC day: the accounting's records beside what the job monitor saw of them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from nomade_pipeline import clock
from nomade_pipeline.ingest.derived_sources import Reader
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.rollups import day_bounds
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.job_rollups import JOBS, MONITOR_COLUMNS
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

_WATCHED = ("job_id_raw", "submit_time", *(column.name for column in MONITOR_COLUMNS))
_QUERY = (
    f"SELECT {', '.join(_WATCHED)} FROM jobs "
    "WHERE cluster = ? AND end_time >= ? AND end_time < ? AND monitor_readings IS NOT NULL"
)


def records_of_day(store: Store, cluster: str, day: date) -> polars.DataFrame:
    """Return the columns of raw/job_metrics of the jobs that ended on a day, and `MONITOR_COLUMNS` (null: not watched).

    Raises:
        LakeError, DatabaseError: lake or database cannot be read.
    """
    import polars as pl

    records = store.lake.read_day(JOB_METRICS, cluster, day)
    schema = {name: kind for name, kind in polars_schema(JOBS).items() if name in _WATCHED}
    rows = [
        (number, clock.from_text(submitted), *rest)
        for number, submitted, *rest in Reader(store.paths).rows(_QUERY, (cluster, *day_bounds(day)))
    ]
    watched = pl.DataFrame(rows, schema={name: schema[name] for name in _WATCHED}, orient="row", strict=False)
    return records.join(watched, on=["job_id_raw", "submit_time"], how="left", maintain_order="left")

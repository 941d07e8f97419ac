"""Putting the steps of an imported dump to their allocations, part by part.

sacct writes the steps of a job behind it, so a part needs nothing but the last job of the one before. Steps that
stand elsewhere (a sorted dump) are noted, for a second reading of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from nomade_pipeline.collectors.sacct_rows import rows_of
from nomade_pipeline.ingest.job_frame import JobFrame, Steps, jobs_of_frame, records_of
from nomade_pipeline.ingest.records import data_frame
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

_NUMBER, _STEP = "_number", "_step"


class JobMerger:
    """Turns parts of a dump into rows.

    Args:
        zone: name of the zone in which times without an offset were written.

    Attributes:
        scattered: numbers of jobs whose steps stand apart from them.
    """

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._held: polars.DataFrame | None = None
        self.scattered: set[str] = set()

    def take(self, frame: polars.DataFrame) -> JobFrame:
        """Return the rows of the jobs of a part that are whole; its last one may go on in the next."""
        import polars as pl

        parts = [each for each in (self._held, numbered(frame) if frame.height else None) if each is not None]
        if not parts:
            return _nothing()
        rows = pl.concat(parts, how="diagonal")
        open_end = rows[_NUMBER] == rows[_NUMBER][-1]
        self._held = rows.filter(open_end)
        return self._jobs(rows.filter(~open_end))

    def close(self) -> JobFrame:
        """Return the rows of the last job: nothing follows."""
        held, self._held = self._held, None
        return _nothing() if held is None else self._jobs(held)

    def _jobs(self, rows: polars.DataFrame) -> JobFrame:
        import polars as pl

        is_step = rows[_STEP].is_not_null()
        if not is_step.any():
            return jobs_of_frame(rows.drop(_NUMBER, _STEP), self._zone)
        of_steps, of_jobs = rows[_NUMBER].filter(is_step), rows[_NUMBER].filter(~is_step)
        self.scattered.update(of_steps.filter(~of_steps.is_in(of_jobs.implode())).unique())
        # A number that several allocations share: which of them a step belongs to is found one by one.
        shared = rows[_NUMBER].is_in(of_jobs.filter(of_jobs.is_duplicated()).implode())
        jobs = rows.filter(~is_step & ~shared)
        owned = rows.filter(is_step & ~shared).join(
            jobs.select(_NUMBER).with_row_index("_owner"), on=_NUMBER, how="inner", maintain_order="left"
        )
        steps = Steps(owned.drop(_NUMBER, _STEP, "_owner"), owned["_owner"].cast(pl.Int64))
        usual = jobs_of_frame(jobs.drop(_NUMBER, _STEP), self._zone, steps)
        if not shared.any():
            return usual
        others = one_by_one(rows.filter(shared).drop(_NUMBER, _STEP), self._zone)
        return JobFrame(pl.concat([usual.rows, others.rows]), [*usual.rejected, *others.rejected])


def _nothing() -> JobFrame:
    return JobFrame(data_frame([], JOB_METRICS), [])


def one_by_one(frame: polars.DataFrame, zone: str) -> JobFrame:
    """Return the rows of allocations and steps, job by job."""
    found = rows_of(records_of(frame), ZoneInfo(zone))
    return JobFrame(data_frame(found.rows, JOB_METRICS), found.rejected)


def numbered(frame: polars.DataFrame) -> polars.DataFrame:
    """Add the plain number of each record's job and the name of its step, null for an allocation."""
    import polars as pl

    names = [name for name in ("jobidraw", "jobid") if name in frame.columns]
    told = pl.coalesce(pl.when(pl.col(name) != "").then(pl.col(name)) for name in names)
    parts = told.str.splitn(".", 2).struct
    return frame.with_columns(parts.field("field_0").alias(_NUMBER), parts.field("field_1").alias(_STEP))


def of_numbers(frame: polars.DataFrame, numbers: set[str]) -> polars.DataFrame:
    """Keep the records of some jobs."""
    import polars as pl

    return numbered(frame).filter(pl.col(_NUMBER).is_in(list(numbers))).drop(_NUMBER, _STEP)

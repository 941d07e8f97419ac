"""Many jobs of the accounting as rows of `job_metrics` at once: what `collectors.sacct_rows` does job by job.

The two give the same rows and refuse the same; a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.collectors.sacct_rows import class_of, rows_of
from nomade_pipeline.collectors.sacct_split import Record
from nomade_pipeline.collectors.slurm_states import ENDED_STATES, parse_job_state
from nomade_pipeline.collectors.slurm_values import parse_time_limit
from nomade_pipeline.ingest.job_cells import JobCells, nulls, rounded
from nomade_pipeline.ingest.job_requests import request_columns
from nomade_pipeline.ingest.job_use import StepCells, efficiencies, exit_codes, use_columns, with_step_outcomes
from nomade_pipeline.ingest.records import data_frame
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

_PEOPLE = r"^([0-9]+)(?:_([0-9]+|\[[^\]|]*\]?)|\+([0-9]+))?$"
_LARGEST_INDEX_DIGITS = 18
_WHO = {
    "user": "user", "group_name": "group", "account": "account", "partition": "partition", "qos": "qos",
    "reservation": "reservation", "job_name": "jobname", "comment": "comment", "work_dir": "workdir", "sluid": "sluid",
}  # fmt: skip


@dataclass(frozen=True)
class JobFrame:
    """What a frame of allocations gave.

    Attributes:
        rows: the jobs that have ended, in the contract's data columns.
        rejected: what could not be read, with the reason.
    """

    rows: polars.DataFrame
    rejected: list[Rejected]


@dataclass(frozen=True)
class Steps:
    """The steps of a frame of allocations.

    Attributes:
        frame: cells as text by column.
        owners: for each step the row of its allocation.
    """

    frame: polars.DataFrame
    owners: polars.Series


def jobs_of_frame(frame: polars.DataFrame, zone: str = "UTC", steps: Steps | None = None) -> JobFrame:
    """Turn allocations and their steps into rows; jobs with anything unusual are read one by one.

    Args:
        frame: allocations, cells as text by column; see `JobCells`.
        zone: name of the zone in which times without an offset were written.
        steps: their steps; None where none is told.
    """
    import polars as pl

    rows, odd = _usual(frame, zone, steps)
    if odd.is_empty():
        return JobFrame(rows, [])
    slow = rows_of(records_of(odd), ZoneInfo(zone))
    return JobFrame(pl.concat([rows, data_frame(slow.rows, JOB_METRICS)]), slow.rejected)


def records_of(frame: polars.DataFrame) -> list[Record]:
    """Return the rows of a frame of text as records; times are written out."""
    import polars as pl

    times = [pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S") for name, kind in frame.schema.items() if kind != pl.String]
    return [
        {name: text for name, text in record.items() if text is not None}
        for record in frame.with_columns(times).iter_rows(named=True)
    ]


def _usual(frame: polars.DataFrame, zone: str, steps: Steps | None) -> tuple[polars.DataFrame, polars.DataFrame]:
    """Return the rows of the usual jobs, and the records of the others."""
    import polars as pl

    cells = JobCells(frame, zone)
    own_steps = None if steps is None else StepCells(JobCells(steps.frame, zone), steps.owners)
    facts = pl.DataFrame(_told(cells))
    facts = facts.with_columns(_started(cells, facts))
    facts = facts.with_columns(*request_columns(cells, facts["started"]), *_when(facts))
    facts = facts.with_columns(use_columns(cells, facts["started"], own_steps))
    facts = with_step_outcomes(facts, own_steps)
    facts = _with_class(facts.with_columns(**efficiencies()))
    odd, goes_on = _judged(cells, facts)
    rows = pl.int_range(facts.height, eager=True)
    if own_steps is not None:
        odd |= rows.is_in(own_steps.owners.filter(own_steps.cells.odd).implode())
    fast = _stored(facts.filter(~odd & ~goes_on))
    if steps is None:
        return fast, frame.filter(odd)
    their_steps = steps.frame.filter(steps.owners.is_in(rows.filter(odd).implode()))
    return fast, pl.concat([frame.filter(odd), their_steps], how="diagonal")


def _judged(cells: JobCells, facts: polars.DataFrame) -> tuple[polars.Series, polars.Series]:
    """Return which jobs have to be read one by one, and which of the others have not ended."""
    import polars as pl

    known_end = pl.col("state").is_in(list(ENDED_STATES))
    stateless = pl.col("state_raw").is_null()
    ended = known_end | (stateless & pl.col("end_time").is_not_null())
    goes_on = facts.select(
        pl.col("state").is_not_null() & ~known_end
        | (stateless & pl.col("end_time").is_null() & pl.lit(cells.has("end")))
    ).to_series()
    odd = facts.select(~ended | pl.col("end_time").is_null()).to_series().fill_null(value=True)
    odd = cells.odd | (odd & ~goes_on)
    return odd | facts.select(pl.struct("job_id_raw", "submit_time").is_duplicated()).to_series(), goes_on


def _told(cells: JobCells) -> dict[str, polars.Series]:
    """Return what is told of each job as it is: numbers, names, times, state and exit codes."""
    import polars as pl

    raw, people = cells.text("jobidraw", "jobid"), cells.text("jobid", "jobidraw")
    numbers = pl.DataFrame({"raw": raw, "people": people})
    parts = pl.col("people").str.extract_groups(_PEOPLE).struct.unnest()
    numbers = numbers.with_columns(parts)
    state = cells.read_parts(parse_job_state, {"state": pl.String, "uid": pl.Int64}, "state")
    codes = exit_codes(cells, "exitcode")
    derived = exit_codes(cells, "derivedexitcode")
    seconds = cells.size("elapsedraw").cast(pl.Float64)
    told = {
        "job_id_raw": raw,
        "job_id": people,
        "array_job_id": numbers.select(pl.when(pl.col("2").is_not_null()).then(pl.col("1"))).to_series(),
        "array_task_id": numbers["2"].cast(pl.Int64, strict=False),
        "het_job_id": numbers.select(pl.when(pl.col("3").is_not_null()).then(pl.col("1"))).to_series(),
        "het_job_offset": numbers["3"].cast(pl.Int64, strict=False),
        "restarts": cells.size("restarts"),
        **{name: cells.text(column) for name, column in _WHO.items()},
        "eligible_time": cells.time("eligible"),
        "submitted": cells.time("submit"),
        "start": cells.time("start"),
        "end_time": cells.time("end"),
        "told_elapsed": seconds if not cells.has("elapsed") else _coalesced(seconds, cells.duration("elapsed")),
        "suspended_seconds": cells.duration("suspended"),
        "state_raw": cells.text("state"),
        "state": state["state"],
        "cancelled_by_uid": state["uid"],
        "exit_code": codes["code"],
        "exit_signal": codes["signal"],
        "derived_exit_code": derived["code"],
        "derived_exit_signal": derived["signal"],
        "told_reason": cells.text("reason"),
        "reason": cells.known("reason"),
        **_limit(cells),
    }
    long = numbers.select(
        (pl.col("2").str.len_bytes() > _LARGEST_INDEX_DIGITS) | (pl.col("3").str.len_bytes() > _LARGEST_INDEX_DIGITS)
    )
    cells.odd |= long.to_series().fill_null(value=False)
    return told


def _coalesced(first: polars.Series, second: polars.Series) -> polars.Series:
    import polars as pl

    return pl.select(pl.coalesce(first, second)).to_series()


def _limit(cells: JobCells) -> dict[str, polars.Series]:
    """Return the time limit: the raw one, unless it says nothing."""
    import polars as pl

    kinds = {"kind": pl.String, "seconds": pl.Float64}
    raw, text = (
        cells.read_parts(parse_time_limit, kinds, "timelimitraw"),
        cells.read_parts(parse_time_limit, kinds, "timelimit"),
    )
    use_text = raw.select(pl.col("kind").is_null() | (pl.col("kind") == "unknown")).to_series()
    kind = text["kind"].zip_with(use_text, raw["kind"]).fill_null("unknown")
    return {"time_limit_kind": kind, "time_limit_seconds": text["seconds"].zip_with(use_text, raw["seconds"])}


def _started(cells: JobCells, facts: polars.DataFrame) -> list[polars.Series]:
    """Return whether each job ever ran, and the nodes that it ran on."""
    import polars as pl

    table = pl.DataFrame(
        {
            "start": facts["start"],
            "elapsed": facts["told_elapsed"],
            "nodes": cells.text("nodelist"),
            "known": cells.known("nodelist"),
            "none": cells.size("allocnodes") == 0,
        }
    )
    no_nodes = pl.when(pl.col("nodes").is_not_null()).then(pl.col("known").is_null()).otherwise(pl.col("none"))
    never = ((pl.col("elapsed") == 0) & no_nodes).fill_null(value=False)
    begun = pl.col("start").is_not_null() | pl.lit(not cells.has("start"))
    table = table.with_columns(started=begun & ~never)
    return [table["started"], table.select(pl.when("started").then("known").alias("node_list")).to_series()]


def _when(facts: polars.DataFrame) -> list[polars.Series]:
    """Return the times and their differences; without a submission the start, else the end, stands in the key."""
    import polars as pl

    source = (
        pl.when(pl.col("submitted").is_not_null()).then(pl.lit("submit"))
        .when(pl.col("start").is_not_null()).then(pl.lit("start"))
        .otherwise(pl.lit("end"))
    )  # fmt: skip
    start = pl.when("started").then(pl.col("start"))
    wait = (start - pl.col("submitted")).dt.total_milliseconds() / 1000
    ran = (pl.col("end_time") - start).dt.total_milliseconds() / 1000
    return facts.select(
        submit_time=pl.coalesce("submitted", "start", "end_time"),
        submit_time_source=source,
        start_time=start,
        wait_seconds=pl.when(wait >= 0).then(wait),
        elapsed_seconds=pl.coalesce("told_elapsed", pl.when(ran >= 0).then(ran)),
    ).get_columns()


def _with_class(facts: polars.DataFrame) -> polars.DataFrame:
    """Add the outcome class, found once for each distinct combination of what it depends on."""
    import polars as pl

    causes = ["state", "started", "told_reason", "exit_code", "exit_signal", "derived_exit_code",
              "derived_exit_signal", "oom_killed"]  # fmt: skip
    found = []
    distinct = facts.select(causes).unique()
    for state, started, reason, code, signal, derived, derived_signal, oom in distinct.iter_rows():
        found.append(
            class_of(
                state,
                started=started,
                reason=reason,
                code=(code, signal),
                derived=(derived, derived_signal),
                oom_killed=oom,
            )
        )
    classes = distinct.with_columns(
        pl.Series("failure_class", [kind for kind, _ in found], pl.Int32),
        pl.Series("class_source", [source for _, source in found], pl.String),
    )
    return facts.join(classes, on=causes, how="left", nulls_equal=True, maintain_order="left")


def _stored(facts: polars.DataFrame) -> polars.DataFrame:
    """Return the contract's data columns with values as the spool would store them."""
    import polars as pl

    schema = polars_schema(JOB_METRICS)
    columns = []
    for column in JOB_METRICS.data_columns:
        kind = schema[column.name]
        if column.name not in facts.columns:
            columns.append(nulls(facts.height, kind).alias(column.name))
            continue
        series = facts[column.name]
        columns.append(rounded(series, column.decimals) if column.decimals is not None else series.cast(kind))
    return pl.DataFrame(columns)

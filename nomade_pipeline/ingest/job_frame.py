"""Many jobs of the accounting as rows of `job_metrics` at once: what `collectors.sacct_rows` does job by job.

For allocations without steps. The two give the same rows; a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional
from zoneinfo import ZoneInfo

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.collectors.sacct_columns import parse_count
from nomade_pipeline.collectors.sacct_rows import NO_CODE, OOM_SIGNAL, class_of, rows_of
from nomade_pipeline.collectors.slurm_states import ENDED_STATES, parse_job_state
from nomade_pipeline.collectors.slurm_values import parse_exit_code, parse_time_limit
from nomade_pipeline.ingest.job_cells import JobCells, nulls
from nomade_pipeline.ingest.job_figures import efficiencies, request_columns, use_columns
from nomade_pipeline.ingest.records import data_frame
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

_PEOPLE = r"^([0-9]+)(?:_([0-9]+|\[[^\]|]*\]?)|\+([0-9]+))?$"
_LARGEST_INDEX_DIGITS = 18
# Farther from a half than this, in units of the last digit that is kept, all ways of rounding agree.
_NEAR = 1e-3
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


def jobs_of_frame(frame: polars.DataFrame, zone: str = "UTC") -> JobFrame:
    """Turn allocations into rows; those with anything unusual are read one by one.

    Args:
        frame: cells as text by column; see `JobCells`.
        zone: name of the zone in which times without an offset were written.
    """
    import polars as pl

    rows, odd = _usual(frame, zone)
    if odd.is_empty():
        return JobFrame(rows, [])
    times = [pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S") for name, kind in odd.schema.items() if kind != pl.String]
    records = [
        {name: text for name, text in record.items() if text is not None}
        for record in odd.with_columns(times).iter_rows(named=True)
    ]
    slow = rows_of(records, ZoneInfo(zone))
    return JobFrame(pl.concat([rows, data_frame(slow.rows, JOB_METRICS)]), slow.rejected)


def _usual(frame: polars.DataFrame, zone: str) -> tuple[polars.DataFrame, polars.DataFrame]:
    """Return the rows of the usual allocations, and the records of the others."""
    import polars as pl

    cells = JobCells(frame, zone)
    facts = pl.DataFrame(_told(cells))
    facts = facts.with_columns(_started(cells, facts))
    facts = facts.with_columns(*request_columns(cells, facts["started"]), *_when(facts))
    facts = facts.with_columns(use_columns(cells, facts["started"]))
    facts = _with_class(facts.with_columns(**efficiencies()))
    ended = pl.col("state").is_in(list(ENDED_STATES)) | (
        pl.col("state_raw").is_null() & pl.col("end_time").is_not_null()
    )
    goes_on = facts.select(
        pl.col("state").is_not_null() & ~pl.col("state").is_in(list(ENDED_STATES))
        | (pl.col("state_raw").is_null() & pl.col("end_time").is_null() & pl.lit(cells.has("end")))
    ).to_series()
    odd = cells.odd | facts.select(~ended | pl.col("end_time").is_null()).to_series().fill_null(value=True)
    odd &= ~(goes_on & ~cells.odd)
    odd |= facts.select(pl.struct("job_id_raw", "submit_time").is_duplicated()).to_series()
    return _stored(facts.filter(~odd & ~goes_on)), frame.filter(odd)


def _told(cells: JobCells) -> dict[str, polars.Series]:
    """Return what is told of each job as it is: numbers, names, times, state and exit codes."""
    import polars as pl

    raw, people = cells.text("jobidraw", "jobid"), cells.text("jobid", "jobidraw")
    numbers = pl.DataFrame({"raw": raw, "people": people})
    parts = pl.col("people").str.extract_groups(_PEOPLE).struct.unnest()
    numbers = numbers.with_columns(parts)
    state = cells.read_parts(parse_job_state, {"state": pl.String, "uid": pl.Int64}, "state")
    codes = cells.read_parts(_exit_code, {"code": pl.Int64, "signal": pl.Int64}, "exitcode")
    derived = cells.read_parts(_exit_code, {"code": pl.Int64, "signal": pl.Int64}, "derivedexitcode")
    seconds = cells.read(parse_count, pl.Int64, "elapsedraw").cast(pl.Float64)
    told = {
        "job_id_raw": raw,
        "job_id": people,
        "array_job_id": numbers.select(pl.when(pl.col("2").is_not_null()).then(pl.col("1"))).to_series(),
        "array_task_id": numbers["2"].cast(pl.Int64, strict=False),
        "het_job_id": numbers.select(pl.when(pl.col("3").is_not_null()).then(pl.col("1"))).to_series(),
        "het_job_offset": numbers["3"].cast(pl.Int64, strict=False),
        "restarts": cells.read(parse_count, pl.Int64, "restarts"),
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


def _exit_code(text: str) -> Optional[tuple[Optional[int], Optional[int]]]:
    code = parse_exit_code(text)
    return None if code == NO_CODE else code


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
            "none": cells.read(parse_count, pl.Int64, "allocnodes") == 0,
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

    facts = facts.with_columns(
        oom_killed=pl.when(
            (pl.col("exit_signal") == OOM_SIGNAL).fill_null(value=False)
            | (pl.col("derived_exit_signal") == OOM_SIGNAL).fill_null(value=False)
        ).then(True)
    )
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
        columns.append(_rounded(series, column.decimals) if column.decimals is not None else series.cast(kind))
    return pl.DataFrame(columns)


def _rounded(series: polars.Series, decimals: int) -> polars.Series:
    """Round as Python does, which the spool's writer uses: Polars rounds halves away from zero."""
    scaled = series * 10**decimals
    near_half = ((scaled - scaled.floor() - 0.5).abs() < _NEAR).fill_null(value=False)
    rounded = series.round(decimals)
    if not near_half.any():
        return rounded
    exact = [round(value, decimals) for value in series.filter(near_half)]
    return rounded.scatter(near_half.arg_true(), exact)

"""One job of the accounting as a row of `job_metrics`; pure functions.

A job that has not ended gives no row. What cannot be read in one that has is null, and noted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Dict, List, Optional, Sequence, Tuple

from nomade_pipeline.collectors.base import Rejected, Row
from nomade_pipeline.collectors.sacct_cells import Cells
from nomade_pipeline.collectors.sacct_columns import JOB_ID, parse_count
from nomade_pipeline.collectors.sacct_jobs import Job, merge_steps, number_of
from nomade_pipeline.collectors.sacct_split import Record
from nomade_pipeline.collectors.sacct_use import efficiency_columns, request_columns, use_columns
from nomade_pipeline.collectors.slurm_states import ENDED_STATES, End, outcome_class, parse_job_state
from nomade_pipeline.collectors.slurm_values import (
    is_absent,
    parse_duration,
    parse_exit_code,
    parse_time,
    parse_time_limit,
)
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

# `0:125` is how Slurm writes an end for lack of memory: its own signal 253 without the bit of a core dump.
OOM_SIGNAL = 125

# Exit status and signal, each None where it is not told.
ExitCode = Tuple[Optional[int], Optional[int]]
NO_CODE: ExitCode = (None, None)

_LARGEST = {"int32": 2**31 - 1, "int64": 2**63 - 1}
_NUMBERS = tuple(column for column in JOB_METRICS.data_columns if column.minimum is not None)


class NotEnded(Exception):
    """The job goes on: there is nothing to store yet, and nothing is wrong."""


class Unusable(Exception):
    """The job cannot be stored; the message says why."""


@dataclass(frozen=True)
class Jobs:
    """What the records of an output give: a row for each job that has ended, and what could not be read."""

    rows: List[Row]
    rejected: List[Rejected]


def rows_of(records: Sequence[Record], zone: tzinfo = timezone.utc) -> Jobs:
    """Return the rows of an output's records, one for each key.

    Args:
        records: allocations and steps.
        zone: where times without an offset were written.
    """
    jobs, lost = merge_steps(records)
    rows, notices = rows_of_jobs(jobs, zone)
    return Jobs(rows, [*lost, *notices])


def rows_of_jobs(jobs: Sequence[Job], zone: tzinfo = timezone.utc) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of jobs and what could not be read.

    Of rows with one key the one that ended last stays, and the others are told.
    """
    rejected: List[Rejected] = []
    rows: Dict[Tuple[str, str, datetime], Row] = {}
    for job in jobs:
        row, notices = row_of(job, zone)
        rejected.extend(notices)
        if row is None:
            continue
        key = (job.allocation.get("cluster", ""), row["job_id_raw"], row["submit_time"])
        before = rows.setdefault(key, row)
        if before != row:
            rows[key] = max(before, row, key=lambda each: (each["end_time"], repr(each)))
            rejected.append(Rejected(str(row["job_id"]), "a second job with the same number and submission"))
    return list(rows.values()), rejected


def row_of(job: Job, zone: tzinfo = timezone.utc) -> Tuple[Optional[Row], List[Rejected]]:
    """Return the row of a job and what could not be read of it; no row while it goes on."""
    notices: List[Rejected] = []
    allocation = Cells(job.allocation, notices)
    steps = [Cells(step, notices) for step in job.steps]
    try:
        row = _row(allocation, steps, number_of(job.allocation)[0], zone)
    except NotEnded:
        return None, []
    except Unusable as error:
        return None, [Rejected(_as_told(job.allocation), str(error))]
    _keep_in_range(row, notices)
    # A cell that several columns are made of is told once.
    return row, list(dict.fromkeys(notices))


def _as_told(record: Record) -> str:
    return " ".join(f"{name}={text}" for name, text in record.items() if text)


def _row(cells: Cells, steps: Sequence[Cells], number: str, zone: tzinfo) -> Row:
    """Build a row.

    Raises:
        NotEnded: the job goes on.
        Unusable: its key or its end is not told.
    """
    state, uid = parse_job_state(cells.text("state"))
    times = _times(cells, zone)
    _check_ended(cells, state, times["end"])
    started = (times["start"] is not None or not cells.has("start")) and not _never_ran(cells)
    row: Row = {
        **_identity(cells, number),
        **_who(cells),
        **_when(cells, times, started=started),
        **request_columns(cells, started=started),
        **(use_columns(cells, steps) if started else {"steps": len(steps)}),
    }
    if started:
        row.update(efficiency_columns(row))
    row.update(_outcome(cells, steps, state, uid, started=started))
    return row


def _check_ended(cells: Cells, state: Optional[str], end: Optional[datetime]) -> None:
    told = cells.text("state")
    if state is not None and state not in ENDED_STATES:
        raise NotEnded
    if end is None and told is None and cells.has("end"):
        raise NotEnded
    if end is None:
        raise Unusable("its End is not told" if state or not told else "a state that is in no list, and no End")


def _times(cells: Cells, zone: tzinfo) -> Dict[str, Optional[datetime]]:
    """Return eligibility, submission, start and end.

    Raises:
        Unusable: one of the last three is told and cannot be read; the row's key or day would be wrong.
    """
    eligible = cells.read(lambda text: parse_time(text, zone), "eligible")
    found: Dict[str, Optional[datetime]] = {"eligible": eligible}
    for name in ("submit", "start", "end"):
        try:
            found[name] = parse_time(cells.text(name), zone)
        except ValueError:
            raise Unusable(f"{name} is no time") from None
    return found


def _never_ran(cells: Cells) -> bool:
    """Whether a job that has a start was never started: Slurm tells the end for it, with no time run on no node."""
    elapsed = _elapsed(cells)
    nodes = cells.text("nodelist")
    no_nodes = is_absent(nodes) if nodes is not None else cells.read(parse_count, "allocnodes") == 0
    return elapsed == 0 and no_nodes


def _elapsed(cells: Cells) -> Optional[float]:
    seconds = cells.read(parse_count, "elapsedraw")
    return float(seconds) if seconds is not None else cells.read(parse_duration, "elapsed")


def _identity(cells: Cells, number: str) -> Row:
    """Return the job's numbers."""
    people = (cells.text("jobid") or number).partition(".")[0]
    match = JOB_ID.fullmatch(people)
    base, task, component = match.group(1, 2, 3) if match else (None, None, None)
    return {
        "job_id_raw": number,
        "job_id": people,
        "array_job_id": base if task else None,
        "array_task_id": int(task) if task and task.isdigit() else None,
        "het_job_id": base if component else None,
        "het_job_offset": int(component) if component else None,
        "sluid": cells.text("sluid"),
        "restarts": cells.read(parse_count, "restarts"),
    }


def _who(cells: Cells) -> Row:
    return {
        "user": cells.text("user"),
        "group_name": cells.text("group"),
        "account": cells.text("account"),
        "partition": cells.text("partition"),
        "qos": cells.text("qos"),
        "reservation": cells.text("reservation"),
        "job_name": cells.text("jobname"),
        "comment": cells.text("comment"),
        "work_dir": cells.text("workdir"),
    }


def _when(cells: Cells, times: Dict[str, Optional[datetime]], *, started: bool) -> Row:
    """Return the job's times; without a time of submission the start, else the end, stands in the key."""
    start, end = times["start"] if started else None, times["end"]
    source = "submit" if times["submit"] else "start" if times["start"] else "end"
    wait = start - times["submit"] if start and times["submit"] else None
    limit = cells.read(parse_time_limit, "timelimitraw")
    kind, seconds = limit if limit and limit[0] != "unknown" else cells.read(parse_time_limit, "timelimit") or _UNKNOWN
    elapsed = _elapsed(cells)
    if elapsed is None and start and end and end >= start:
        elapsed = (end - start).total_seconds()
    return {
        "submit_time": times[source],
        "submit_time_source": source,
        "eligible_time": times["eligible"],
        "start_time": start,
        "end_time": end,
        "wait_seconds": wait.total_seconds() if wait is not None and wait >= timedelta() else None,
        "elapsed_seconds": elapsed,
        "suspended_seconds": cells.read(parse_duration, "suspended"),
        "time_limit_kind": kind,
        "time_limit_seconds": seconds,
    }


_UNKNOWN: Tuple[str, Optional[float]] = ("unknown", None)


def _outcome(cells: Cells, steps: Sequence[Cells], state: Optional[str], uid: Optional[int], *, started: bool) -> Row:
    """Return how the job ended and its outcome class."""
    code = cells.read(parse_exit_code, "exitcode") or NO_CODE
    derived = _derived_exit(cells, steps)
    oom = _oom_killed(steps, (code[1], derived[1]))
    reason = cells.text("reason")
    kind, source = class_of(state, started=started, reason=reason, code=code, derived=derived, oom_killed=oom)
    return {
        "state_raw": cells.text("state"),
        "state": state,
        "failure_class": kind,
        "class_source": source,
        "cancelled_by_uid": uid,
        "exit_code": code[0],
        "exit_signal": code[1],
        "derived_exit_code": derived[0],
        "derived_exit_signal": derived[1],
        "oom_killed": oom,
        "reason": None if is_absent(reason) else reason,
    }


def class_of(
    state: Optional[str],
    *,
    started: bool,
    reason: Optional[str],
    code: ExitCode,
    derived: ExitCode,
    oom_killed: Optional[bool],
) -> Tuple[Optional[int], str]:
    """Return the outcome class and what it was found by; the exit code of the steps counts where the job's is 0."""
    status, signal = code if any(code) else derived
    return outcome_class(End(state, started, reason, exit_code=status, exit_signal=signal, oom_killed=bool(oom_killed)))


def _derived_exit(cells: Cells, steps: Sequence[Cells]) -> ExitCode:
    """Return the largest exit status of the numbered steps and its signal, as told or found."""
    told = cells.read(parse_exit_code, "derivedexitcode")
    if told is not None and told != NO_CODE:
        return told
    numbered = (each for each in steps if each.number.rpartition(".")[2][:1].isdigit())
    found = [code for code in (each.read(parse_exit_code, "exitcode") for each in numbered) if code]
    return max(found, key=lambda code: (code[0] or 0, code[1] or 0), default=NO_CODE)


def _oom_killed(steps: Sequence[Cells], signals: Sequence[Optional[int]]) -> Optional[bool]:
    """Return whether a step ended for lack of memory; None when no step was told."""
    if OOM_SIGNAL in signals:
        return True
    if not steps:
        return None
    states = {parse_job_state(each.text("state"))[0] for each in steps}
    codes = [each.read(parse_exit_code, "exitcode") for each in steps]
    return "OUT_OF_MEMORY" in states or any(code is not None and code[1] == OOM_SIGNAL for code in codes)


def _keep_in_range(row: Row, notices: List[Rejected]) -> None:
    """Turn figures that the contract does not allow into null: a wrong number is worse than none."""
    for column in _NUMBERS:
        value = row.get(column.name)
        if value is not None and (value < column.minimum or value > _LARGEST.get(column.type, float("inf"))):
            row[column.name] = None
            notices.append(Rejected(f"{row['job_id']} {column.name}={value}", f"{column.name} is out of range"))
    if row["state_raw"] is not None and row["state"] is None:
        notices.append(
            Rejected(f"{row['job_id']} state={row['state_raw']}", "a state that is in no list; its job has no class")
        )

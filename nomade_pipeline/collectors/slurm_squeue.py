"""Jobs in the queue, as `squeue` tells them: records by title become jobs, whatever the release and the form.

The collector asks with `-O` because only that form has the allocated or requested trackable resources, the one place
that knows every way of asking for GPUs (`%b` loses `--gpus-per-task`), in the same single request. `--json` has them
too; it takes several times as long and prints 4 kB a job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Dict, Iterable, List, Optional, Tuple

from nomade_pipeline.collectors.base import Rejected, Row
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.slurm_records import Record, count, reject, told
from nomade_pipeline.collectors.slurm_states import parse_job_state, reason_class
from nomade_pipeline.collectors.slurm_values import (
    gpus_of_tres,
    parse_gres,
    parse_size,
    parse_time,
    parse_time_limit,
    parse_tres,
)
from nomade_pipeline.tables.outcomes import JOB_FLAGS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB

# What `squeue -O` is asked for; the name of the job stands last.
FIELDS = (
    "JobID", "ArrayJobID", "ArrayTaskID", "HetJobID", "HetJobOffset", "State", "UserName", "Account", "Partition",
    "QOS", "Reason", "PriorityLong", "NumCPUs", "NumNodes", "NumTasks", "tres-alloc", "tres-per-job", "tres-per-node",
    "tres-per-socket", "tres-per-task", "NodeList", "Dependency", "Reservation", "SubmitTime", "EligibleTime",
    "StartTime", "EndTime", "TimeLimit", "Name",
)  # fmt: skip

# Groups of states for counting. A job that is configuring or waits for a node to boot holds its nodes.
PENDING = frozenset(
    ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT", "EXPEDITING")
)
RUNNING = frozenset(("RUNNING", "CONFIGURING", "POWER_UP_NODE", "RESIZING", "SIGNALING"))
SUSPENDED = frozenset(("SUSPENDED", "STOPPED"))
COMPLETING = frozenset(("COMPLETING", "STAGE_OUT"))
_GROUPS = {"pending": PENDING, "running": RUNNING, "suspended": SUSPENDED, "completing": COMPLETING}
_GROUP_OF = {state: group for group, states in _GROUPS.items() for state in states}

_JOB_ID = re.compile(r"\d+(?:[_+](?:\d+|\[[^\]]*\]?))?")
_TASKS = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")


@dataclass(frozen=True)
class Job:
    """One line of the queue: a job, a component of a heterogeneous job, or all waiting tasks of an array.

    Attributes:
        row: its row in table `slurm_job`, without `kind`.
        tasks: jobs that it stands for, at least 1.
        partitions: those it waits for or runs in.
    """

    row: Row
    tasks: int
    partitions: Tuple[str, ...]

    @property
    def group(self) -> str:
        """Return the group of its state: pending, running, suspended, completing or other."""
        return _GROUP_OF.get(self.row["state"], "other")


def jobs_of(records: Iterable[Record]) -> Tuple[List[Job], List[Rejected]]:
    """Return the jobs in records by title, and the records that could not be read with the reason."""
    jobs: List[Job] = []
    rejected: List[Rejected] = []
    seen = set()
    for record in records:
        try:
            job = job_of(record)
        except (ValueError, KeyError) as error:
            rejected.append(reject(record, error))
            continue
        if job.row["job_id_raw"] in seen:
            rejected.append(reject(record, ValueError("the job is listed twice")))
            continue
        seen.add(job.row["job_id_raw"])
        jobs.append(job)
    return jobs, rejected


def job_of(record: Record) -> Job:
    """Return the job in one record by title.

    Raises:
        ValueError: a value cannot be read.
        KeyError: the record has no job number or no state.
    """
    state_raw = record["STATE"] if "STATE" in record else record["ST"]
    state = state_of(state_raw)
    if state is None and not re.fullmatch(r"[A-Z_+]+", state_raw):
        raise ValueError(f"{state_raw!r:.40} is no state of a job: the columns are shifted")
    job_id, raw, array = _identity(record)
    tasks = count_tasks(job_id)
    partition = told(record, "PARTITION")
    waits = state in PENDING
    reason = told(record, "REASON") or _reason_in_nodes(record) if waits else None
    tres = told(record, "TRES_ALLOC")
    row: Row = {
        "job_id_raw": raw,
        "job_id": job_id,
        "array_job_id": array,
        "tasks": tasks,
        "user": told(record, "USER"),
        "account": told(record, "ACCOUNT"),
        "partition": partition,
        "qos": told(record, "QOS"),
        "job_name": record.get("NAME"),
        "state_raw": state_raw,
        "state": state,
        "reason": None if reason == "None" else reason,
        "reason_class": _reason_class(reason) if waits else None,
        "priority": _priority(told(record, "PRIORITY")),
        "cpus": count(told(record, "CPUS")),
        "nodes": count(told(record, "NODES")),
        "memory_bytes": None if tres is None else _resources(tres)[0],
        "gpus": None if tres is None else gpus_of(record, tres),
        "node_list": told(record, "NODELIST") or _nodes(record),
        "dependency": told(record, "DEPENDENCY"),
        "reservation": told(record, "RESERVATION"),
        **_times(record),
        "time_limit_seconds": _limit(record.get("TIME_LIMIT"))[1],
    }
    return Job(refuse_impossible(SLURM_JOB, row), tasks or 1, tuple(partition.split(",")) if partition else ())


@lru_cache(maxsize=512)
def state_of(text: str) -> Optional[str]:
    """Return the state of `RUNNING+COMPLETING`, which is told in JSON: a flag goes before the base, as in squeue."""
    words = [parse_job_state(word)[0] for word in ([text] if text.endswith("+") else text.split("+"))]
    return next((word for word in words if word in JOB_FLAGS), words[0])


def _identity(record: Record) -> Tuple[str, str, Optional[str]]:
    """Return a job's number as people write it, its plain number, and that of its array."""
    job_id = record["JOBID"]
    if _JOB_ID.fullmatch(job_id) is None:
        raise ValueError(f"{job_id!r:.40} is no job number: the columns are shifted")
    task, leader = told(record, "ARRAY_TASK_ID"), told(record, "HET_JOB_ID")
    if task is not None:
        array = record["ARRAY_JOB_ID"]
        return f"{array}_{task}" if task.isdigit() else f"{array}_[{task}]", job_id, array
    if leader is not None:
        return f"{leader}+{told(record, 'HET_JOB_OFFSET') or 0}", job_id, None
    array, underscore, rest = job_id.partition("_")
    # The waiting tasks of an array have the number of the array itself.
    return job_id, array if rest.startswith("[") else job_id, array if underscore else None


def count_tasks(job_id: str) -> Optional[int]:
    """Return how many jobs `123_[1,5-9:2%2]` stands for; 1 for a plain number, None when the list is cut off.

    Raises:
        ValueError: the list cannot be read.
    """
    _, bracket, listed = job_id.partition("[")
    if not bracket:
        return 1
    if not listed.endswith("]") or "..." in listed:
        return None
    total = 0
    for part in listed[:-1].partition("%")[0].split(","):
        match = _TASKS.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r:.40} is no range of array tasks")
        first, last, step = match.groups()
        total += len(range(int(first), int(last or first) + 1, int(step or 1)))
    return total


def gpus_of(record: Record, tres: str) -> Optional[int]:
    """Return the GPUs that a job holds or asks for; None when they cannot be told.

    A site that does not account for GPUs (`AccountingStorageTRES` without `gres/gpu`) has none in the trackable
    resources: then what it was given (JSON only) or what it asked for by job, node or task counts.

    Raises:
        ValueError: a number cannot be read.
    """
    accounted = _resources(tres)[1]
    if accounted is not None:
        return accounted
    given = told(record, "GRES")
    if given is not None:
        return parse_gres(given)[0]
    asked: Dict[str, int] = {}
    for per in ("JOB", "NODE", "SOCKET", "TASK"):
        text = told(record, f"TRES_PER_{per}")
        if text is not None and "gpu" in text:
            asked[per] = parse_gres(text.replace("=", ":"))[0]
    if "JOB" in asked or not asked:
        return asked.get("JOB", 0)
    times = {"NODE": count(told(record, "NODES")), "TASK": count(told(record, "TASKS"))}
    per, number = next(iter(asked.items()))
    many = times.get(per)
    return None if many is None else number * many


def _priority(text: Optional[str]) -> Optional[int]:
    """Read a priority in points; the normalised one of `%p`, between 0 and 1, is none."""
    return int(text) if text is not None and text.isdigit() else None


def _times(record: Record) -> Dict[str, Optional[datetime]]:
    columns = ("SUBMIT_TIME", "ELIGIBLE_TIME", "START_TIME", "END_TIME")
    return {title.lower(): _time(record.get(title)) for title in columns}


# Thousands of jobs share a few states, reasons, limits, requests and times.
_time = lru_cache(maxsize=4096)(parse_time)
_limit = lru_cache(maxsize=512)(parse_time_limit)
_reason_class = lru_cache(maxsize=512)(reason_class)


@lru_cache(maxsize=512)
def _resources(tres: str) -> Tuple[Optional[int], Optional[int]]:
    """Return the memory in bytes and the GPUs in trackable resources; None for what is none of them."""
    found = parse_tres(tres)
    gpus = gpus_of_tres(found)[0] if any(name.startswith("gres/gpu") for name in found) else None
    return parse_size(found.get("mem"), bare_unit=2**20), gpus


def _reason_in_nodes(record: Record) -> Optional[str]:
    """Return the reason that squeue's usual form shows in place of the nodes."""
    text = record.get("NODELIST(REASON)", "")
    return text[1:-1] or None if text.startswith("(") else None


def _nodes(record: Record) -> Optional[str]:
    text = told(record, "NODELIST(REASON)")
    return None if text is None or text.startswith("(") else text

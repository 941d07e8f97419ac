"""Slurm's JSON, of the commands' `--json` and of slurmrestd, turned into the records that the tables give.

The forms differ by release: a number is plain or `{"set", "infinite", "number"}`, a state a word or a list, a name
has moved. Each name is looked up where any release has it.
"""

from __future__ import annotations

import json
from typing import Any, Iterable, List, Mapping, Optional, Sequence

from nomade_pipeline.collectors.base import CollectorError, Row
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.slurm_records import Record
from nomade_pipeline.collectors.slurm_sdiag import seconds_of
from nomade_pipeline.collectors.slurm_values import parse_time
from nomade_pipeline.tables.slurm_queue import SLURM_SCHEDULER

_JOB_NAMES = {
    "JOBID": "job_id",
    "ARRAY_JOB_ID": "array_job_id",
    "HET_JOB_ID": "het_job_id",
    "HET_JOB_OFFSET": "het_job_offset",
    "STATE": "job_state",
    "USER": "user_name",
    "ACCOUNT": "account",
    "PARTITION": "partition",
    "QOS": "qos",
    "NAME": "name",
    "REASON": "state_reason",
    "PRIORITY": "priority",
    "CPUS": "cpus",
    "NODES": "node_count",
    "TASKS": "tasks",
    "GRES": "gres_detail",
    "TRES_PER_JOB": "tres_per_job",
    "TRES_PER_NODE": "tres_per_node",
    "TRES_PER_SOCKET": "tres_per_socket",
    "TRES_PER_TASK": "tres_per_task",
    "NODELIST": "nodes",
    "DEPENDENCY": "dependency",
    "RESERVATION": "resv_name",
    "SUBMIT_TIME": "submit_time",
    "ELIGIBLE_TIME": "eligible_time",
    "START_TIME": "start_time",
    "END_TIME": "end_time",
    "TIME_LIMIT": "time_limit",
}
_RESERVATION_NAMES = {
    "ReservationName": "name",
    "StartTime": "start_time",
    "EndTime": "end_time",
    "Nodes": "node_list",
    "NodeCnt": "node_count",
    "TRES": "tres",
    "PartitionName": "partition",
    "Users": "users",
    "Accounts": "accounts",
    "Flags": "flags",
}
_DIAG_COUNTS = {
    "server_threads": "server_thread_count",
    "agent_queue": "agent_queue_size",
    "dbd_agent_queue": "dbd_agent_queue_size",
    "jobs_submitted": "jobs_submitted",
    "jobs_started": "jobs_started",
    "jobs_completed": "jobs_completed",
    "jobs_canceled": "jobs_canceled",
    "jobs_failed": "jobs_failed",
    "queue_length": "schedule_queue_length",
    "backfill_depth": "bf_last_depth",
    "backfilled_jobs": "bf_last_backfilled_jobs",
}
_DIAG_TIMES = {
    "cycle_last_seconds": ("schedule_cycle_last", "schedule_cycle_total"),
    "cycle_mean_seconds": ("schedule_cycle_mean", "schedule_cycle_total"),
    "cycle_max_seconds": ("schedule_cycle_max", "schedule_cycle_total"),
    "backfill_last_seconds": ("bf_cycle_last", "bf_cycle_counter"),
    "backfill_mean_seconds": ("bf_cycle_mean", "bf_cycle_counter"),
}


def load(text: str) -> Mapping[str, Any]:
    """Return the document of one answer.

    Raises:
        CollectorError: it is no JSON object, or Slurm answered with an error and nothing else.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CollectorError("parse", f"not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise CollectorError("parse", "JSON, but no object: not an answer of Slurm")
    errors = document.get("errors")
    if isinstance(errors, list) and errors and not any(_content(document)):
        told = [each.get("description") or each.get("error") for each in errors if isinstance(each, dict)]
        raise CollectorError("parse", f"Slurm answered with an error: {'; '.join(map(str, told))}")
    return document


def plugin_of(document: Mapping[str, Any]) -> str:
    """Return which part of Slurm answered: `openapi/slurmctld`, `openapi/dbv0.0.38`; empty when it is not told."""
    meta = document.get("meta")
    plugin = meta.get("plugin") if isinstance(meta, dict) else None
    return str(plugin.get("type", "")) if isinstance(plugin, dict) else ""


def _content(document: Mapping[str, Any]) -> Iterable[Any]:
    about = ("errors", "warnings", "meta", "last_update", "last_backfill")
    return (value for name, value in document.items() if name not in about)


def entries(document: Mapping[str, Any], name: str) -> List[Mapping[str, Any]]:
    """Return the objects in a list of the document.

    Raises:
        CollectorError: it is no list of objects.
    """
    found = document.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise CollectorError("parse", f"{name} is no list of objects")
    return found


def text_of(value: Any) -> Optional[str]:
    """Return a value as Slurm's commands would print it; None when it is absent or not set."""
    if isinstance(value, dict):
        if value.get("infinite"):
            return "UNLIMITED"
        return text_of(value.get("number")) if value.get("set", True) else None
    if isinstance(value, (list, tuple)):
        return ",".join(filter(None, map(text_of, value)))
    if value is None or isinstance(value, bool):
        return None
    return str(value)


def state_of(value: Any, flags: Any = ()) -> str:
    """Return a state, a word or a list of words, as words joined by `+`."""
    words = [*(value if isinstance(value, list) else [value]), *(flags if isinstance(flags, list) else ())]
    return "+".join(str(word).upper() for word in words if word)


def record_of(entry: Mapping[str, Any], names: Mapping[str, str]) -> Record:
    """Return the texts of an entry by title; what is absent or not set is left out."""
    texts = ((title, text_of(entry.get(name))) for title, name in names.items())
    return {title: text for title, text in texts if text is not None}


def job_record(entry: Mapping[str, Any]) -> Record:
    """Return a job as a record by squeue's titles."""
    record = record_of(entry, _JOB_NAMES)
    record["STATE"] = state_of(entry.get("job_state"))
    # The longer form, with the nodes that are not available; squeue prints it where there is one.
    record["REASON"] = text_of(entry.get("state_description")) or record.get("REASON", "")
    record["TRES_ALLOC"] = text_of(entry.get("tres_alloc_str")) or text_of(entry.get("tres_req_str")) or ""
    # A job of no array or no heterogeneous job has the leader 0.
    if record.get("ARRAY_JOB_ID", "0") != "0":
        record["ARRAY_TASK_ID"] = text_of(entry.get("array_task_string")) or text_of(entry.get("array_task_id")) or ""
    if record.get("HET_JOB_ID") == "0":
        del record["HET_JOB_ID"]
    return record


def partition_record(entry: Mapping[str, Any]) -> Record:
    """Return an entry of `sinfo --json` (23.02 and later) as a record by sinfo's titles.

    Raises:
        KeyError, TypeError: it lacks a part.
    """
    partition, cpus = entry["partition"], entry["cpus"]
    about = partition.get("partition", {})
    limit = partition.get("maximums", {}).get("time")
    return {
        "PARTITION": str(partition["name"]),
        "AVAIL": state_of(about.get("state")).lower(),
        "TIMELIMIT": text_of(limit) or "",
        "NODES": str(entry["nodes"]["total"]),
        "STATE": state_of(entry["node"]["state"]),
        "CPUS(A/I/O/T)": "/".join(str(cpus[name]) for name in ("allocated", "idle", "other", "total")),
    }


def reservation_words(entry: Mapping[str, Any]) -> Record:
    """Return a reservation as the words that scontrol prints."""
    return record_of(entry, _RESERVATION_NAMES)


def scheduler_columns(statistics: Mapping[str, Any]) -> Row:
    """Return the columns of `slurm_scheduler` in the statistics of `sdiag --json`.

    Raises:
        ValueError: there is no scheduling cycle in them, or a number is impossible.
    """
    if "schedule_cycle_last" not in statistics:
        raise ValueError("there are no statistics of the main scheduler in it")
    row: Row = {"counters_since": parse_time(text_of(statistics.get("req_time_start")))}
    for column, name in _DIAG_COUNTS.items():
        row[column] = _whole(statistics.get(name))
    for column, (name, cycles) in _DIAG_TIMES.items():
        row[column] = seconds_of(_whole(statistics.get(name)), _whole(statistics.get(cycles)))
    return refuse_impossible(SLURM_SCHEDULER, row)


def _whole(value: Any) -> Optional[int]:
    text = text_of(value)
    return None if text is None else int(text)


def as_list(value: Any) -> Sequence[str]:
    """Return names that are a list in newer releases and joined by commas in older ones."""
    return [str(each) for each in value] if isinstance(value, list) else (text_of(value) or "").split(",")

"""How `sacct` words the jobs of a replayed cluster: each allocation, and a step with what was used."""

from __future__ import annotations

from typing import Any, Sequence

from nomade_pipeline.playback.queue_answers import duration, text, time_text, tres_of
from nomade_pipeline.playback.state import Row

_MINUTE = 60

# What is offered; `sacct --helpformat` lists it.
COLUMNS = (
    "JobID", "JobIDRaw", "State", "Submit", "Eligible", "Start", "End", "ElapsedRaw", "Suspended", "TimelimitRaw",
    "ExitCode", "DerivedExitCode", "Restarts", "ReqCPUS", "AllocCPUS", "ReqNodes", "NNodes", "AllocNodes", "ReqTRES",
    "AllocTRES", "NTasks", "UserCPU", "SystemCPU", "TotalCPU", "MaxRSS", "TRESUsageInTot", "TRESUsageOutTot",
    "ConsumedEnergyRaw", "NodeList", "Partition", "QOS", "Reason", "Account", "User", "Group", "Reservation", "WorkDir",
    "Comment", "JobName",
)  # fmt: skip


def helpformat() -> str:
    """Return what `sacct --helpformat` prints."""
    return " ".join(COLUMNS) + "\n"


def records_of(job: Row) -> list[dict[str, str]]:
    """Return a job's records by column: its allocation and, if it ran steps, as many as were told."""
    allocation = _allocation(job)
    steps = [_step(job, name) for name in ("batch", "extern", *map(str, range(max(0, job["steps"] - 2))))]
    kept = steps[: job["steps"]]
    if kept:
        kept[0] |= _used(job)
    return [allocation, *kept]


def table(columns: Sequence[str], delimiter: str, records: Sequence[dict[str, str]], *, ends: bool) -> str:
    """Return records as `--parsable` (every cell ends with the delimiter) or `-P` prints them, with the header.

    Args:
        columns: names, in the order that was asked for.
        delimiter: between cells.
        records: cells by column; what is missing is empty.
        ends: the delimiter ends the last cell too.
    """
    lines = [dict(zip(columns, columns, strict=True)), *records]
    end = delimiter if ends else ""
    return "".join(delimiter.join(line.get(name, "") for name in columns) + end + "\n" for line in lines)


def _allocation(job: Row) -> dict[str, str]:
    limits = {"unlimited": "UNLIMITED", "partition": "Partition_Limit", "unknown": ""}
    limit = job["time_limit_seconds"]
    started = job["start_time"] is not None
    return {
        "JobID": text(job["job_id"], job["job_id_raw"]),
        "JobIDRaw": job["job_id_raw"],
        "State": text(job["state_raw"], ""),
        "Submit": time_text(job["submit_time"]),
        "Eligible": _time(job["eligible_time"]),
        "Start": _time(job["start_time"]),
        "End": time_text(job["end_time"]),
        "ElapsedRaw": _whole(job["elapsed_seconds"]),
        "Suspended": "" if job["suspended_seconds"] is None else duration(job["suspended_seconds"]),
        "TimelimitRaw": limits.get(job["time_limit_kind"], "") if limit is None else _whole(limit / _MINUTE),
        "ExitCode": _code(job, "exit"),
        "DerivedExitCode": _code(job, "derived_exit"),
        "Restarts": text(job["restarts"], ""),
        "ReqCPUS": text(job["req_cpus"], ""),
        "AllocCPUS": text(job["alloc_cpus"], "0"),
        "ReqNodes": text(job["req_nodes"], ""),
        "NNodes": text(job["alloc_nodes"], "0"),
        "AllocNodes": text(job["alloc_nodes"], "0"),
        "ReqTRES": tres_of(job, "req"),
        "AllocTRES": tres_of(job, "alloc") if started else "",
        "ConsumedEnergyRaw": _whole(job["energy_joules"]),
        "NodeList": text(job["node_list"], "" if started else "None assigned"),
        "Partition": text(job["partition"], ""),
        "QOS": text(job["qos"], ""),
        "Reason": text(job["reason"], "None"),
        "Account": text(job["account"], ""),
        "User": text(job["user"], ""),
        "Group": text(job["group_name"], ""),
        "Reservation": text(job["reservation"], ""),
        "WorkDir": text(job["work_dir"], ""),
        "Comment": text(job["comment"], ""),
        "JobName": text(job["job_name"], ""),
        **(_used(job) if started and not job["steps"] else {}),
    }


def _step(job: Row, name: str) -> dict[str, str]:
    state = "OUT_OF_MEMORY" if job["oom_killed"] and name == "batch" else "COMPLETED"
    shared = ("Start", "End")
    allocation = {"Start": _time(job["start_time"]), "End": time_text(job["end_time"])}
    return {
        "JobID": f"{text(job['job_id'], job['job_id_raw'])}.{name}",
        "JobIDRaw": f"{job['job_id_raw']}.{name}",
        "State": state,
        **{column: allocation[column] for column in shared},
        "JobName": name,
    }


def _used(job: Row) -> dict[str, str]:
    """Return what a job used, as the cells of one record."""
    largest, tasks = job["memory_max_rss_bytes"], job["memory_max_rss_tasks_bytes"]
    incoming = {
        "mem": job["memory_seff_bytes"],
        "fs/disk": job["disk_read_bytes"],
        "gres/gpumem": job["gpu_memory_bytes"],
        "gres/gpuutil": None if job["gpu_util_percent"] is None else int(job["gpu_util_percent"]),
    }
    return {
        "NTasks": "" if not largest or not tasks else str(max(1, round(tasks / largest))),
        "UserCPU": _cpu(job["user_cpu_seconds"]),
        "SystemCPU": _cpu(job["system_cpu_seconds"]),
        "TotalCPU": _cpu(job["cpu_seconds"]),
        "MaxRSS": text(largest, ""),
        "TRESUsageInTot": ",".join(f"{name}={value}" for name, value in incoming.items() if value is not None),
        "TRESUsageOutTot": "" if job["disk_write_bytes"] is None else f"fs/disk={job['disk_write_bytes']}",
    }


def _cpu(seconds: float | None) -> str:
    """Return CPU time with its thousandths."""
    if seconds is None:
        return ""
    whole = int(seconds)
    thousandths = round((seconds - whole) * 1000)
    if thousandths == 1000:
        whole, thousandths = whole + 1, 0
    return f"{duration(whole)}.{thousandths:03d}"


def _time(told: str | None) -> str:
    return "Unknown" if told is None else time_text(told)


def _whole(value: Any) -> str:
    return "" if value is None else str(round(value))


def _code(job: Row, name: str) -> str:
    code, signal = job[f"{name}_code"], job[f"{name}_signal"]
    return "" if code is None and signal is None else f"{code or 0}:{signal or 0}"

"""How `squeue`, `sinfo`, `scontrol`, `sdiag` word the state of a replayed cluster: pure functions, standard library.

Names of jobs are told as they are: whoever asks marks the ends of fields with bytes that no name holds.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.playback.state import Row, State

HEAD = "replayhead"
VERSION = "24.05.3"
_MIB = 2**20
# Why a job waits of which its accounting does not tell: the first in a partition lacks resources.
_FIRST, _OTHERS = "Resources", "Priority"


def asked_fields(argument: str) -> list[tuple[str, str]]:
    """Return name and mark of each field of an argument of `-O`: `JobID:<mark>,State:<mark>`."""
    parts = (part.partition(":") for part in argument.split(","))
    return [(name, mark) for name, _, mark in parts]


def table(argument: str, titles: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> str:
    """Return the table that `-O` asks for; a field that is not known is left out, as Slurm does it.

    Args:
        argument: names of fields, each with the mark that ends it.
        titles: title by name of field.
        rows: texts by name of field.
    """
    fields = [(name, mark) for name, mark in asked_fields(argument) if name in titles]
    lines = [titles, *rows]
    return "".join("".join(f"{line[name]}{mark}" for name, mark in fields) + "\n" for line in lines)


SQUEUE_TITLES = {
    "JobID": "JOBID", "ArrayJobID": "ARRAY_JOB_ID", "ArrayTaskID": "ARRAY_TASK_ID", "HetJobID": "HET_JOB_ID",
    "HetJobOffset": "HET_JOB_OFFSET", "State": "STATE", "UserName": "USER", "Account": "ACCOUNT",
    "Partition": "PARTITION", "QOS": "QOS", "Reason": "REASON", "NumCPUs": "CPUS", "NumNodes": "NODES",
    "tres-alloc": "TRES_ALLOC", "NodeList": "NODELIST", "Dependency": "DEPENDENCY", "Reservation": "RESERVATION",
    "SubmitTime": "SUBMIT_TIME", "EligibleTime": "ELIGIBLE_TIME", "StartTime": "START_TIME", "EndTime": "END_TIME",
    "TimeLimit": "TIME_LIMIT", "Name": "NAME",
}  # fmt: skip


def squeue_rows(state: State) -> list[dict[str, str]]:
    """Return the jobs in the queue as texts by name of field."""
    first_in: set[str] = set()
    return [_queued(job, running=state.is_running(job), first_in=first_in) for job in state.queued()]


def _queued(job: Row, *, running: bool, first_in: set[str]) -> dict[str, str]:
    kind = "alloc" if running else "req"
    reason = "None" if running else _reason(job, first_in)
    return {
        "JobID": job["job_id_raw"],
        "ArrayJobID": job["array_job_id"] or job["job_id_raw"],
        "ArrayTaskID": text(job["array_task_id"], "N/A"),
        "HetJobID": text(job["het_job_id"], "N/A"),
        "HetJobOffset": text(job["het_job_offset"], "N/A"),
        "State": "RUNNING" if running else "PENDING",
        "UserName": text(job["user"]),
        "Account": text(job["account"]),
        "Partition": text(job["partition"]),
        "QOS": text(job["qos"]),
        "Reason": reason,
        "NumCPUs": text(job[f"{kind}_cpus"] or job["req_cpus"], "0"),
        "NumNodes": text(job[f"{kind}_nodes"] or job["req_nodes"], "1"),
        "tres-alloc": tres_of(job, kind),
        "NodeList": text(job["node_list"] if running else None, ""),
        "Dependency": "(null)",
        "Reservation": text(job["reservation"], "(null)"),
        "SubmitTime": time_text(job["submit_time"]),
        "EligibleTime": time_text(job["eligible_time"]),
        "StartTime": time_text(job["start_time"]) if running else "N/A",
        "EndTime": _limit_end(job) if running else "N/A",
        "TimeLimit": duration(job["time_limit_seconds"]),
        "Name": text(job["job_name"], ""),
    }


def _reason(job: Row, first_in: set[str]) -> str:
    """Return why a job waits: as the accounting last told it, else by its place in the queue."""
    if job["reason"] is not None and "dependency" in job["reason"].lower():
        return "Dependency"
    if job["partition"] in first_in:
        return _OTHERS
    first_in.add(job["partition"])
    return _FIRST


def _limit_end(job: Row) -> str:
    if job["time_limit_seconds"] is None:
        return "N/A"
    return time_text(job["start_time"], job["time_limit_seconds"])


def tres_of(job: Row, kind: str) -> str:
    """Return the trackable resources that a job asked for (``req``) or was given (``alloc``)."""
    if kind == "alloc" and job["alloc_tres"]:
        return str(job["alloc_tres"])
    cpus, memory, nodes, gpus = (job[f"{kind}_{name}"] for name in ("cpus", "memory_bytes", "nodes", "gpus"))
    parts = {
        "cpu": cpus,
        "mem": None if memory is None else f"{memory // _MIB}M",
        "node": nodes,
        "gres/gpu": gpus or None,
        "billing": cpus,
    }
    return ",".join(f"{name}={value}" for name, value in parts.items() if value is not None)


def text(value: Any, absent: str = "N/A") -> str:
    """Return a value as Slurm writes it."""
    return absent if value is None else str(value)


def time_text(told: str | None, later: float = 0.0) -> str:
    """Return a time as Slurm writes it under ``TZ=UTC``, so many seconds later."""
    if told is None:
        return "N/A"
    return clock.from_epoch(clock.from_text(told).timestamp() + later).strftime("%Y-%m-%dT%H:%M:%S")


def duration(seconds: float | None) -> str:
    """Return a length as `[D-]HH:MM:SS`; none is unlimited."""
    if seconds is None:
        return "UNLIMITED"
    days, rest = divmod(int(seconds), 86400)
    clock_part = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock_part}" if days else clock_part


SINFO_TITLES = {
    "Partition": "PARTITION", "Available": "AVAIL", "Time": "TIMELIMIT", "Nodes": "NODES", "StateLong": "STATE",
    "StateComplete": "STATECOMPLETE", "CPUsState": "CPUS(A/I/O/T)",
}  # fmt: skip


def sinfo_rows(state: State) -> list[dict[str, str]]:
    """Return a line for each node of each partition as texts by name of field."""
    partitions = {row["partition"]: row for row in state.partitions()}
    lines = []
    for node in state.nodes():
        for name in filter(None, (node["partitions"] or "").split(",")):
            partition = partitions.get(name, {})
            lines.append(
                {
                    "Partition": f"{name}*" if partition.get("is_default") else name,
                    "Available": partition.get("state", "up"),
                    "Time": duration(partition.get("time_limit_seconds")),
                    "Nodes": "1",
                    "StateLong": (node["state"] or "unknown").lower(),
                    "StateComplete": node["state_raw"].lower(),
                    "CPUsState": _cpus(node),
                }
            )
    return lines


def _cpus(node: Row) -> str:
    total, allocated = node["cpus"] or 0, node["cpus_allocated"] or 0
    idle = total - allocated if node["usable"] else 0
    return f"{allocated}/{idle}/{total - allocated - idle}/{total}"


def node_line(node: Row) -> str:
    """Return a node as `scontrol -o show node` does."""
    words: dict[str, Any] = {
        "NodeName": node["node"],
        "CPUAlloc": node["cpus_allocated"],
        "CPUTot": node["cpus"],
        "CPULoad": node["cpu_load"],
        "Gres": node["gres"],
        "NodeHostName": node["node_host"],
        "Version": node["version"],
        "RealMemory": _mebibytes(node["memory_bytes"]),
        "AllocMem": _mebibytes(node["memory_allocated_bytes"]),
        "FreeMem": _mebibytes(node["memory_free_bytes"]),
        "State": node["state_raw"],
        "ActiveFeatures": node["features"],
        "Partitions": node["partitions"],
        "BootTime": time_text(node["boot_time"]),
        "SlurmdStartTime": time_text(node["slurmd_start_time"]),
        "LastBusyTime": time_text(node["last_busy_time"]),
        "CfgTRES": _node_tres(node, "gpus", "cpus"),
        "AllocTRES": _node_tres(node, "gpus_allocated", "cpus_allocated"),
    }
    line = " ".join(f"{name}={text(value)}" for name, value in words.items())
    return line if node["reason"] is None else f"{line} Reason={node['reason']} {_stamp(node)}"


def _stamp(node: Row) -> str:
    return f"[{text(node['reason_user'], 'root')}@{time_text(node['reason_time'])}]"


def _mebibytes(size: int | None) -> int | None:
    return None if size is None else size // _MIB


def _node_tres(node: Row, gpus: str, cpus: str) -> str:
    count = node[gpus]
    gpu = f",gres/gpu={count}" if count is not None and (count or gpus == "gpus") else ""
    return f"cpu={text(node[cpus], '0')}{gpu}"


def ping() -> str:
    """Return the answer of `scontrol ping`."""
    return f"Slurmctld(primary) at {HEAD} is UP\n"


def sdiag(state: State) -> str:
    """Return what `sdiag` would: the counts of the queue, and that of the jobs since midnight UTC."""
    midnight = state.moment // 86400 * 86400
    queued = state.queued()
    running = sum(map(state.is_running, queued))
    ended = state.ended(midnight, state.moment)
    of: Callable[..., int] = lambda *states: sum(job["state"] in states for job in ended)  # noqa: E731
    waiting = len(queued) - running
    return f"""\
*******************************************************
sdiag output at ({state.moment:.0f})
Data since      ({midnight:.0f})
*******************************************************
Server thread count:  3
Agent queue size:     0
DBD Agent queue size: 0

Jobs completed: {of("COMPLETED")}
Jobs canceled:  {of("CANCELLED")}
Jobs failed:    {len(ended) - of("COMPLETED", "CANCELLED")}
Jobs pending:   {waiting}
Jobs running:   {running}

Main schedule statistics (microseconds):
\tLast queue length: {waiting}
"""

"""What sacct's columns are called, how their cells are read, and which of them are asked for.

Names are compared without regard to case, as sacct does. Cells that a user can write stand last in what we ask for.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Optional, Tuple

from nomade_pipeline.collectors.slurm_values import (
    is_absent,
    parse_duration,
    parse_exit_code,
    parse_size,
    parse_time,
    parse_time_limit,
    parse_tres,
)

# `123`, `123_4`, `123_[5-9%2]` (cut at 64 bytes), `123+1`; behind a point the step: `batch`, `extern`, `0`, `0+1`.
JOB_ID = re.compile(r"(\d+)(?:_(\d+|\[[^\]|]*\]?)|\+(\d+))?(?:\.([\w+-]+))?", re.ASCII)
_STATE = re.compile(r"[A-Z_]+( by \d+)?\+?", re.ASCII)
# What a site calls its users, partitions and so on holds no delimiter and no control character.
_NAME = re.compile(r"[^|^\x00-\x1f\x7f]*")
_MEMORY_REQUEST = re.compile(r"([^nc]*)([nc]?)")

# A number so large is a request per CPU: Slurm's flag for it was printed as a part of the number (before 18.08).
_PER_CPU_FLAG_MIB = 2**31


def parse_job_id(text: Optional[str]) -> Optional[str]:
    """Check a job's or step's number and return it as it is.

    Raises:
        ValueError: it is none.
    """
    if text is None or JOB_ID.fullmatch(text) is None:
        raise ValueError(f"{text!r:.40} is no job number")
    return text


def parse_state(text: Optional[str]) -> Optional[str]:
    """Check that a text has the form of a state, known or not, and return it.

    Raises:
        ValueError: it has not.
    """
    if text and _STATE.fullmatch(text) is None:
        raise ValueError(f"{text!r:.40} is no state")
    return text


def parse_name(text: str) -> str:
    """Check that a text can be a name that a site gives, not a user of it, and return it.

    Raises:
        ValueError: it cannot.
    """
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"{text!r:.40} is no name")
    return text


def parse_folder(text: str) -> str:
    """Check that a text is an absolute path, or nothing, and return it.

    Raises:
        ValueError: it is not.
    """
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r:.40} is no absolute path")
    return text


def parse_count(text: Optional[str]) -> Optional[int]:
    """Read a number of CPUs, nodes or tasks; sacct shortens large ones by powers of 1024 (`1.50K`).

    Raises:
        ValueError: it is no number.
    """
    return parse_size(text)


def parse_memory_request(text: Optional[str]) -> Tuple[Optional[int], str]:
    """Read `ReqMem` as bytes and what they are for: `n` a node, `c` a CPU (until 21.08), empty the whole job.

    A request of 0 means all of a node's memory and is None. A number alone is MiB.

    Raises:
        ValueError: it is no size.
    """
    if is_absent(text):
        return None, ""
    match = _MEMORY_REQUEST.fullmatch((text or "").strip())
    if match is None:
        raise ValueError(f"{text!r:.40} is no size")
    size, per = parse_size(match.group(1), bare_unit=2**20), match.group(2)
    if size is not None and per == "n" and size >= _PER_CPU_FLAG_MIB * 2**20:
        size, per = size - _PER_CPU_FLAG_MIB * 2**20, "c"
    return size or None, per


# How a cell is read, by column. What is missing here may hold any text.
PARSERS: Dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("jobid", "jobidraw"), parse_job_id),
    **dict.fromkeys(("submit", "eligible", "start", "end"), parse_time),
    **dict.fromkeys(("elapsed", "suspended", "usercpu", "systemcpu", "totalcpu", "cputime", "avecpu"), parse_duration),
    **dict.fromkeys(("timelimit", "timelimitraw"), parse_time_limit),
    **dict.fromkeys(
        ("alloccpus", "ncpus", "reqcpus", "allocnodes", "nnodes", "reqnodes", "ntasks", "restarts"), parse_count
    ),
    **dict.fromkeys(("elapsedraw", "cputimeraw", "consumedenergyraw"), parse_count),
    **dict.fromkeys(("maxrss", "averss", "maxvmsize", "avevmsize", "maxdiskread", "maxdiskwrite"), parse_size),
    **dict.fromkeys(("avediskread", "avediskwrite"), parse_size),
    **dict.fromkeys(("reqtres", "alloctres", "tresusageintot", "tresusageouttot", "tresusageinave"), parse_tres),
    **dict.fromkeys(("exitcode", "derivedexitcode"), parse_exit_code),
    **dict.fromkeys(
        ("cluster", "partition", "qos", "account", "user", "group", "uid", "gid", "nodelist", "reason"), parse_name
    ),
    "workdir": parse_folder,
    "state": parse_state,
    "reqmem": parse_memory_request,
}

# What is asked for, as far as this Slurm offers it; behind `Reason` whatever users write.
WANTED = (
    "JobID", "JobIDRaw", "SLUID", "State", "Submit", "Eligible", "Start", "End", "ElapsedRaw", "Suspended",
    "TimelimitRaw", "ExitCode", "DerivedExitCode", "Restarts", "ReqCPUS", "AllocCPUS", "ReqNodes", "NNodes",
    "AllocNodes", "ReqMem", "ReqTRES", "AllocTRES", "NTasks", "UserCPU", "SystemCPU", "TotalCPU", "MaxRSS", "AveRSS",
    "AveDiskRead", "AveDiskWrite", "TRESUsageInTot", "TRESUsageOutTot", "ConsumedEnergyRaw", "ReqGRES", "AllocGRES",
    "NodeList", "Partition", "QOS", "Reason", "Account", "User", "Group", "Reservation", "WorkDir", "Comment",
    "JobName",
)  # fmt: skip

# Asked for where the newer column is not offered.
OLDER = {"ElapsedRaw": "Elapsed", "TimelimitRaw": "Timelimit"}

# Open XDMoD's helper writes its dumps without a header, always in this order.
XDMOD_COLUMNS = (
    "jobid", "jobidraw", "cluster", "partition", "qos", "account", "group", "gid", "user", "uid", "submit", "eligible",
    "start", "end", "elapsed", "exitcode", "state", "nnodes", "ncpus", "reqcpus", "reqmem", "reqtres", "alloctres",
    "timelimit", "nodelist", "jobname",
)  # fmt: skip


def offered_columns(helpformat: str) -> Tuple[str, ...]:
    """Return the columns to ask for, of those that `sacct --helpformat` lists."""
    offered = {name.lower() for name in helpformat.split()}
    wanted = (name if name.lower() in offered else OLDER.get(name, name) for name in WANTED)
    return tuple(name for name in wanted if name.lower() in offered)

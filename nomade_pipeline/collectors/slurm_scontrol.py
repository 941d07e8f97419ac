"""`scontrol`: whether controllers answer, reservations, and the jobs of a recorded `scontrol show job`.

What `scontrol show` prints are words `Name=value`. The first word of a name counts: names and comments that users
write may hold words of the same form, and they stand behind, or are cut out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple

from nomade_pipeline.collectors.base import Rejected, Row
from nomade_pipeline.collectors.slurm_records import Record, count, rows_of, told
from nomade_pipeline.collectors.slurm_values import parse_time, parse_tres
from nomade_pipeline.tables.slurm_queue import SLURM_RESERVATION

PING = ("scontrol", "ping")
# -a: also what is hidden; -o: one line each.
RESERVATIONS = ("scontrol", "-a", "-o", "show", "reservation")
NO_RESERVATION = "No reservations in the system"

_CONTROLLER = re.compile(r"Slurmctld\((\w+)\) at (\S+) is (UP|DOWN)")
_WORD = re.compile(r"(?<!\S)([A-Z][\w/:-]*)=(\S*)")
_PROMPT = re.compile(r"\s*[^=]{0,80}?[$#%:>]\s+\w")
_JOB_NAME = re.compile(r"(?<!\S)JobName=(.*?)(?=\s+UserId=\S+\(\d+\))", re.DOTALL)
_USER = re.compile(r"\(\d+\)$")

# scontrol's names for squeue's titles.
_JOB_TITLES = {
    "JOBID": ("JobId",),
    "ARRAY_JOB_ID": ("ArrayJobId",),
    "ARRAY_TASK_ID": ("ArrayTaskId",),
    "HET_JOB_ID": ("HetJobId", "PackJobId"),
    "HET_JOB_OFFSET": ("HetJobOffset", "PackJobOffset"),
    "STATE": ("JobState",),
    "ACCOUNT": ("Account",),
    "PARTITION": ("Partition",),
    "QOS": ("QOS",),
    "REASON": ("Reason",),
    "PRIORITY": ("Priority",),
    "CPUS": ("NumCPUs",),
    "NODES": ("NumNodes", "ReqNodes"),
    "TASKS": ("NumTasks",),
    "TRES_ALLOC": ("AllocTRES", "TRES", "ReqTRES"),
    "TRES_PER_JOB": ("TresPerJob",),
    "TRES_PER_NODE": ("TresPerNode",),
    "TRES_PER_SOCKET": ("TresPerSocket",),
    "TRES_PER_TASK": ("TresPerTask",),
    "NODELIST": ("NodeList",),
    "DEPENDENCY": ("Dependency",),
    "RESERVATION": ("Reservation",),
    "SUBMIT_TIME": ("SubmitTime",),
    "ELIGIBLE_TIME": ("EligibleTime",),
    "START_TIME": ("StartTime",),
    "END_TIME": ("EndTime",),
    "TIME_LIMIT": ("TimeLimit",),
}


@dataclass(frozen=True)
class Controllers:
    """What `scontrol ping` says.

    Attributes:
        up: hosts of the controllers that answer, the primary one first.
        backups_down: number of the backup controllers that do not.
    """

    up: Tuple[str, ...]
    backups_down: int


def controllers_of(text: str) -> Controllers:
    """Return which controllers answer.

    Raises:
        ValueError: the text names no controller.
    """
    found = _CONTROLLER.findall(text)
    if not found:
        raise ValueError(f"{text.strip()[:80]!r} names no controller")
    up = tuple(host for _, host, state in found if state == "UP")
    return Controllers(up, sum(state == "DOWN" and role != "primary" for role, _, state in found))


def words_of(text: str) -> Dict[str, str]:
    """Return the words `Name=value` of a text; the first one of a name counts."""
    words: Dict[str, str] = {}
    for name, value in _WORD.findall(text):
        words.setdefault(name, value)
    return words


def chunks(text: str, first: str) -> Iterator[str]:
    """Split what `scontrol show` printed into records, each of which begins a line with the word ``first``.

    Lines of a terminal's record that show a command, and lines before the first record, belong to none. One record is
    made at a time, since there may be ten thousand.
    """
    begin: Optional[int] = None
    place = 0
    while place < len(text):
        end = text.find("\n", place) + 1 or len(text)
        line = text[place:end]
        is_first = line.lstrip().startswith(f"{first}=")
        if is_first or _PROMPT.match(line):
            if begin is not None:
                yield text[begin:place]
            begin = place if is_first else None
        place = end
    if begin is not None:
        yield text[begin:]


def reservations_of(text: str) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of `slurm_reservation`, and what could not be read."""
    return rows_of(map(words_of, chunks(text, "ReservationName")), reservation_row, SLURM_RESERVATION)


def reservation_row(words: Record) -> Row:
    """Return the row of one reservation.

    Raises:
        ValueError: a value cannot be read.
        KeyError: it has no name.
    """
    cpus = parse_tres(told(words, "TRES")).get("cpu")
    return {
        "reservation": words["ReservationName"],
        "state": told(words, "State"),
        "start_time": parse_time(words.get("StartTime")),
        "end_time": parse_time(words.get("EndTime")),
        "node_list": told(words, "Nodes"),
        "nodes": count(told(words, "NodeCnt")),
        "cpus": count(cpus),
        "partition": told(words, "PartitionName"),
        "users": told(words, "Users"),
        "accounts": told(words, "Accounts"),
        "flags": told(words, "Flags"),
    }


def job_records(text: str) -> List[Record]:
    """Return the jobs of `scontrol show job` as records by squeue's titles."""
    return [_job_record(chunk) for chunk in chunks(text, "JobId")]


def _job_record(chunk: str) -> Record:
    name = _JOB_NAME.search(chunk)
    words = words_of(_JOB_NAME.sub("", chunk, count=1))
    record = {
        title: next(words[key] for key in names if key in words)
        for title, names in _JOB_TITLES.items()
        if any(key in words for key in names)
    }
    if "UserId" in words:
        record["USER"] = _USER.sub("", words["UserId"])
    if name is not None or "Name" in words:
        record["NAME"] = name.group(1) if name is not None else words["Name"]
    return record

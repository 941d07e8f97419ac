"""What `sdiag` says of the scheduler, as columns of `slurm_scheduler`: its microseconds become seconds."""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional

from nomade_pipeline.collectors.base import Row
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.slurm_values import parse_time
from nomade_pipeline.tables.slurm_queue import SLURM_SCHEDULER

_LINE = re.compile(r"\s*([^:]+):\s*(\d+)\s*")
_SINCE = re.compile(r"Data since\s.*\((\d+)\)\s*")

MAIN, BACKFILL = "Main schedule statistics", "Backfilling stats"

# Section, empty for the head, and name of the line of each column.
_COUNTS = {
    "server_threads": ("", "Server thread count"),
    "agent_queue": ("", "Agent queue size"),
    "dbd_agent_queue": ("", "DBD Agent queue size"),
    "jobs_submitted": ("", "Jobs submitted"),
    "jobs_started": ("", "Jobs started"),
    "jobs_completed": ("", "Jobs completed"),
    "jobs_canceled": ("", "Jobs canceled"),
    "jobs_failed": ("", "Jobs failed"),
    "queue_length": (MAIN, "Last queue length"),
    "backfill_depth": (BACKFILL, "Last depth cycle"),
    "backfilled_jobs": (BACKFILL, "Total backfilled jobs (since last stats cycle start)"),
}
_TIMES = {
    "cycle_last_seconds": (MAIN, "Last cycle"),
    "cycle_mean_seconds": (MAIN, "Mean cycle"),
    "cycle_max_seconds": (MAIN, "Max cycle"),
    "backfill_last_seconds": (BACKFILL, "Last cycle"),
    "backfill_mean_seconds": (BACKFILL, "Mean cycle"),
}
_CYCLES = "Total cycles"
_MICROSECONDS = 1e6


def scheduler_columns(text: str) -> Row:
    """Return the columns of `slurm_scheduler` that `sdiag` tells.

    Raises:
        ValueError: the text is none of sdiag's, or a number is impossible.
    """
    sections = _sections(text)
    head = sections[""]
    if "Server thread count" not in head or MAIN not in sections:
        raise ValueError("neither a thread count nor the main scheduler's statistics are in it")
    since = _SINCE.search(text)
    row: Row = {"counters_since": parse_time(since.group(1)) if since else None}
    for column, (section, name) in _COUNTS.items():
        row[column] = sections.get(section, {}).get(name)
    for column, (section, name) in _TIMES.items():
        row[column] = seconds_of(sections.get(section, {}).get(name), sections.get(section, {}).get(_CYCLES))
    return refuse_impossible(SLURM_SCHEDULER, row)


def jobs_known(text: str) -> Optional[int]:
    """Return how many jobs the scheduler says that it has, waiting or running; None where sdiag does not tell."""
    head = _sections(text)[""]
    if "Jobs pending" not in head or "Jobs running" not in head:
        return None
    return head["Jobs pending"] + head["Jobs running"]


def seconds_of(microseconds: Optional[int], cycles: Optional[int]) -> Optional[float]:
    """Return the length of a cycle in seconds; None when there was no cycle yet."""
    return None if microseconds is None or cycles == 0 else microseconds / _MICROSECONDS


def _sections(text: str) -> Mapping[str, Dict[str, int]]:
    """Return the numbers of the output by section and name; the head has an empty name."""
    sections: Dict[str, Dict[str, int]] = {"": {}}
    name = ""
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if match is not None:
            sections[name].setdefault(match.group(1).strip(), int(match.group(2)))
        elif line.startswith((MAIN, BACKFILL)):
            name = MAIN if line.startswith(MAIN) else BACKFILL
            sections[name] = {}
    return sections

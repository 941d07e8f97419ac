"""From records of sacct to jobs: which steps belong to which allocation.

A job number may stand in an output several times (requeued, or numbers that began again): each allocation is a job of
its own, told apart by its time of submission.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Dict, List, Optional, Sequence, Tuple

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.collectors.sacct_split import Record
from nomade_pipeline.collectors.slurm_values import parse_time


@dataclass(frozen=True)
class Job:
    """An allocation and its steps, as told."""

    allocation: Record
    steps: Tuple[Record, ...] = ()


def number_of(record: Record) -> Tuple[str, str]:
    """Return a record's plain job number, else the number as people write it, and its step; empty for none."""
    base, _, step = (record.get("jobidraw") or record.get("jobid", "")).partition(".")
    return base, step


def merge_steps(records: Sequence[Record]) -> Tuple[List[Job], List[Rejected]]:
    """Return the jobs in their order, and the steps whose allocation is not there."""
    allocations: List[Record] = []
    steps: List[List[Record]] = []
    places: Dict[Tuple[str, str], List[int]] = {}
    waiting: List[Tuple[int, Tuple[str, str], Record]] = []
    for record in records:
        base, step = number_of(record)
        key = (record.get("cluster", ""), base)
        if step:
            waiting.append((len(allocations), key, record))
        else:
            places.setdefault(key, []).append(len(allocations))
            allocations.append(record)
            steps.append([])
    lost: Dict[Tuple[str, str], List[str]] = {}
    for before, key, record in waiting:
        found = places.get(key, [])
        if found:
            place = found[0] if len(found) == 1 else _place_of(record, found, before, allocations)
            steps[place].append(record)
        else:
            lost.setdefault(key, []).append(number_of(record)[1])
    jobs = [Job(allocation, tuple(own)) for allocation, own in zip(allocations, steps)]
    return jobs, [
        Rejected(f"{base}.{', .'.join(sorted(set(names)))}", "steps whose allocation is not in the output")
        for (_, base), names in lost.items()
    ]


def _place_of(step: Record, found: Sequence[int], before: int, allocations: Sequence[Record]) -> int:
    """Return which of several allocations of one number a step belongs to.

    The one that ran when the step began; if that tells nothing, the one that it follows, as sacct writes them.
    """
    began = _time(step, "start")
    running = [place for place in found if began is not None and _ran_at(allocations[place], began)]
    if len(running) == 1:
        return running[0]
    return max((place for place in found if place < before), default=found[0])


def _ran_at(allocation: Record, moment: datetime) -> bool:
    start, end = _time(allocation, "start"), _time(allocation, "end")
    return start is not None and start <= moment and (end is None or moment <= end)


def _time(record: Record, name: str) -> Optional[datetime]:
    try:
        return parse_time(record.get(name))
    except ValueError:
        return None

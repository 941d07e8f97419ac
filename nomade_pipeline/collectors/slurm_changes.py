"""Which jobs of the queue are told anew: all of them in a full picture, else the changed ones and those that left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from nomade_pipeline.collectors.base import Row
from nomade_pipeline.collectors.slurm_squeue import Job, state_of

# These change all the time while a job waits; see the contract of slurm_job.
_RESTLESS = ("priority",)
_RESTLESS_WHILE_PENDING = (*_RESTLESS, "start_time", "end_time")


@dataclass(frozen=True)
class Seen:
    """What is kept of a job: a hash of its row, and what is needed to tell that it left."""

    fingerprint: int
    job_id: str
    state_raw: str


def fingerprint(job: Job) -> int:
    """Return a number that is another one when the job has changed; it holds within this process only."""
    restless = _RESTLESS_WHILE_PENDING if job.group == "pending" else _RESTLESS
    return hash(tuple(value for name, value in job.row.items() if name not in restless))


def changes(jobs: Sequence[Job], before: Dict[str, Seen], *, full: bool) -> Tuple[List[Row], Dict[str, Seen]]:
    """Return the rows of `slurm_job`, and what is to be kept for the next time.

    Args:
        jobs: the jobs in the queue.
        before: what was kept the last time.
        full: tell all jobs, not only the changed ones.
    """
    rows: List[Row] = []
    seen: Dict[str, Seen] = {}
    for job in jobs:
        raw = job.row["job_id_raw"]
        present = Seen(fingerprint(job), job.row["job_id"], job.row["state_raw"])
        seen[raw] = present
        if full or before.get(raw) != present:
            rows.append({**job.row, "kind": "full" if full else "changed"})
    for raw, past in before.items():
        if raw not in seen:
            rows.append(
                {
                    "job_id_raw": raw,
                    "kind": "gone",
                    "job_id": past.job_id,
                    "state_raw": past.state_raw,
                    "state": state_of(past.state_raw),
                }
            )
    return rows, seen

"""Jobs without processes and processes without a job, confirmed with slurmctld before they are told.

A candidate is what the node alone shows: processes of a job that no slurmstepd serves (zombies: left behind by a job
that has ended), or a slurmstepd without any process. It must last `SETTLE_SECONDS`, since jobs begin and end; then one
`squeue` for all candidates confirms or refutes it, at most every `ASK_SECONDS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Dict, List, Optional, Sequence, Set, Tuple

from nomade_pipeline.collectors.base import CollectorError, Row
from nomade_pipeline.collectors.job_processes import FoundJob
from nomade_pipeline.collectors.slurm_commands import run_slurm
from nomade_pipeline.probes import Probe

NO_PROCESSES, NO_JOB = "job_without_processes", "processes_without_job"
SETTLE_SECONDS = 120.0
ASK_SECONDS = 600.0
_SQUEUE_SECONDS = 10.0

# Finding, job, node.
Key = Tuple[str, str, str]


@dataclass
class _Candidate:
    since: datetime
    began: float
    confirmed: bool = False


@dataclass
class FindingWatch:
    """The candidates of one host and what Slurm said of them."""

    candidates: Dict[Key, _Candidate] = field(default_factory=dict)
    asked_at: Optional[float] = None

    def look(self, probe: Probe, jobs: Sequence[FoundJob], users: Dict[str, str]) -> Tuple[List[Row], Optional[str]]:
        """Return the confirmed findings, and why nothing could be confirmed.

        Args:
            probe: the host.
            jobs: those found now.
            users: names of users by job number.

        Raises:
            Interrupted: the agent is stopping.
        """
        present = {key: job for job in jobs for key in [_candidate_of(job)] if key is not None}
        now, problem = probe.monotonic(), None
        self.candidates = {key: self.candidates.get(key) or _Candidate(probe.now(), now) for key in present}
        settled = {key for key, each in self.candidates.items() if now - each.began >= SETTLE_SECONDS}
        if settled and (self.asked_at is None or now - self.asked_at >= ASK_SECONDS):
            self.asked_at = now
            problem = self._confirm(probe, settled)
        rows = [
            _row(key, present[key], each.since, users.get(key[1]))
            for key, each in sorted(self.candidates.items(), key=lambda item: item[0])
            if each.confirmed
        ]
        return rows, problem

    def _confirm(self, probe: Probe, keys: Set[Key]) -> Optional[str]:
        nodes = ",".join(sorted({node for _, _, node in keys}))
        argv = ("squeue", "-h", "-w", nodes, "-t", "R,CG,S,CF", "-o", "%A %T")
        try:
            text = run_slurm(probe, argv, _SQUEUE_SECONDS).stdout
        except CollectorError as error:
            return f"findings cannot be confirmed: {error}"
        states = dict(line.split(maxsplit=1) for line in text.splitlines() if len(line.split()) == 2)
        for key in keys:
            finding, job, _ = key
            self.candidates[key].confirmed = (
                job not in states if finding == NO_JOB else states.get(job, "").strip() == "RUNNING"
            )
        return None


def _candidate_of(job: FoundJob) -> Optional[Key]:
    if job.processes and not job.has_daemon:
        return NO_JOB, job.job, job.node
    if job.has_daemon and not job.processes:
        return NO_PROCESSES, job.job, job.node
    return None


def _row(key: Key, job: FoundJob, since: datetime, user: Optional[str]) -> Row:
    finding, number, node = key
    if finding == NO_JOB:
        oldest = min(job.processes, key=lambda each: each.start_ticks)
        message = (
            f"{len(job.processes)} processes of job {number} live on {node}, where it does not run; "
            f"the oldest is {oldest.pid} ({oldest.command})"
        )
    else:
        message = f"job {number} runs on {node} and has no process there"
    return {
        "finding": finding,
        "node": node,
        "job_id_raw": number,
        "user": user,
        "since_time": since,
        "message": message,
    }

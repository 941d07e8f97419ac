"""Runs a workload: submits its jobs as their users, does to them what the plan says, and writes down what was meant."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from nomade_pipeline import clock
from nomade_pipeline.lab import commands
from nomade_pipeline.lab.errors import LabError
from nomade_pipeline.lab.layout import Layout
from nomade_pipeline.lab.workload import Job, plan

ACT_SECONDS = 120.0
WAIT_SECONDS = 300.0


@dataclass
class Submitted:
    """A job that Slurm has taken: the leader of a heterogeneous job, the array as a whole."""

    job: Job
    job_id: int
    done: bool


class Driver:
    """Submits and handles the jobs of one run in one lab."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.submitted: list[Submitted] = []
        self._environment = commands.tool_environment(layout)

    def run(self, jobs: list[Job]) -> None:
        """Submit all jobs and do to them what the plan says.

        Raises:
            LabError: Slurm refuses a job, or one that is to be handled does not come to run in time.
        """
        waiting = list(jobs)
        deadline = clock.monotonic() + ACT_SECONDS
        while True:
            states = self.states()
            waiting = self._submit_what_is_due(waiting, states)
            for entry in self.submitted:
                if not entry.done and self._is_due(entry, states):
                    ACTIONS[entry.job.action or ""](self, entry)
                    entry.done = True
            open_ends = [job.scenario for job in waiting]
            open_ends += [entry.job.scenario for entry in self.submitted if not entry.done]
            if not open_ends:
                return
            if clock.monotonic() > deadline:
                raise LabError(f"these jobs have not begun after {ACT_SECONDS:g} s: {', '.join(open_ends)}; see squeue")
            time.sleep(0.3)

    def wait(self) -> None:
        """Wait until every job that is meant to end has ended.

        Raises:
            LabError: some have not in time.
        """
        deadline = clock.monotonic() + WAIT_SECONDS
        meant = {entry.job_id: entry.job.scenario for entry in self.submitted if entry.job.ends}
        while left := meant.keys() & self.states().keys():
            if clock.monotonic() > deadline:
                names = ", ".join(f"{job_id} ({meant[job_id]})" for job_id in sorted(left))
                raise LabError(f"these jobs have not ended after {WAIT_SECONDS:g} s: {names}; see squeue")
            time.sleep(0.5)

    def states(self) -> dict[int, str]:
        """Return the state of the jobs that have not ended: of an array RUNNING as soon as one task runs."""
        states: dict[int, str] = {}
        for line in self.slurm("squeue", "--noheader", "--format=%F %T").splitlines():
            job_id, state = line.split()
            if states.get(int(job_id)) != "RUNNING":
                states[int(job_id)] = state
        return states

    def slurm(self, *argv: str | bytes, user: str | None = None) -> str:
        """Run one of Slurm's commands and return its output."""
        return commands.run(list(argv), self._environment, user=user)

    def attempt(self, *argv: str) -> bool:
        """Run one of Slurm's commands that may be refused; return whether it succeeded."""
        return commands.attempt(list(argv), self._environment).returncode == 0

    def clear(self) -> None:
        """Cancel what earlier runs have left for good: jobs that were meant to wait, and what they wait for."""
        left = [
            str(job["job_id"])
            for path in self.layout.manifests.glob("*.json")
            for job in json.loads(path.read_text("utf-8"))["jobs"]
            if not job["ends"]
        ]
        if left:
            # Ids that Slurm no longer knows are no fault.
            self.attempt("scancel", "--quiet", *left)

    def latest(self, scenario: str) -> Submitted:
        """Return the job of a scenario that was submitted last."""
        return next(entry for entry in reversed(self.submitted) if entry.job.scenario == scenario)

    def _submit_what_is_due(self, jobs: list[Job], states: dict[int, str]) -> list[Job]:
        """Submit jobs in their order; return those whose time has not come."""
        later: list[Job] = []
        for position, job in enumerate(jobs):
            if self._last_is_alone_and_pending(states):
                return [*later, *jobs[position:]]
            if job.when_runs is not None and states.get(self.latest(job.when_runs).job_id) != "RUNNING":
                later.append(job)
            else:
                self.submitted.append(Submitted(job, self._submit(job), done=job.action is None))
        return later

    def _last_is_alone_and_pending(self, states: dict[int, str]) -> bool:
        last = self.submitted[-1] if self.submitted else None
        return last is not None and last.job.alone and states.get(last.job_id, "PENDING") == "PENDING"

    def _submit(self, job: Job) -> int:
        """Submit a job as its user; return the id that Slurm gave it."""
        options: list[str] = list(job.options)
        if job.after_end_of is not None:
            options = [option.replace("{job}", str(self.latest(job.after_end_of).job_id)) for option in options]
        own = self.layout.scratch / job.user
        script, *arguments = job.script
        argv: list[str | bytes] = ["sbatch", "--parsable", f"--chdir={own}", "--output=%j.out"]
        argv += [b"--job-name=" + job.name, *([b"--comment=" + job.comment] if job.comment else []), *options]
        argv += [str(self.layout.job_scripts / script), *arguments]
        paths = {"NOMADE_SCRATCH": str(self.layout.scratch), "NOMADE_NETWORK": str(self.layout.network)}
        answer = commands.run(argv, {**self._environment, **paths}, user=job.user)
        return int(answer.split(";")[0])

    def _is_due(self, entry: Submitted, states: dict[int, str]) -> bool:
        wanted = "PENDING" if entry.job.action == "cancel_pending" else "RUNNING"
        return states.get(entry.job_id) == wanted


def _hasten(driver: Driver, entry: Submitted) -> None:
    """Bring the end of the time limit nearer; Slurm looks for it every 30 s."""
    driver.slurm("scontrol", "update", f"JobId={entry.job_id}", "EndTime=now+20")


def _cancel_as_user(driver: Driver, entry: Submitted) -> None:
    driver.slurm("scancel", str(entry.job_id), user=entry.job.user)


def _cancel_as_root(driver: Driver, entry: Submitted) -> None:
    driver.slurm("scancel", str(entry.job_id))


def _fail_node(driver: Driver, entry: Submitted) -> None:
    """Set the node of a job down, and bring it up again."""
    node = driver.slurm("squeue", "--noheader", "--format=%N", f"--jobs={entry.job_id}").strip()
    driver.slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=nomade lab: power lost")
    deadline = clock.monotonic() + ACT_SECONDS
    # A node that registers comes up by itself (ReturnToService), and while a job completes on it RESUME is refused.
    while "down" in driver.slurm("sinfo", "--noheader", "--format=%T", f"--nodes={node}"):
        if clock.monotonic() > deadline:
            raise LabError(f"{node} does not come up again; see `scontrol show node {node}`")
        driver.attempt("scontrol", "update", f"NodeName={node}", "State=RESUME")
        time.sleep(0.3)


def _requeue(driver: Driver, entry: Submitted) -> None:
    driver.slurm("scontrol", "requeue", str(entry.job_id))


ACTIONS: dict[str, Callable[[Driver, Submitted], None]] = {
    "hasten": _hasten,
    "cancel_as_user": _cancel_as_user,
    "cancel_as_root": _cancel_as_root,
    "cancel_pending": _cancel_as_user,
    "fail_node": _fail_node,
    "requeue": _requeue,
}


def run(layout: Layout, profile: str, seed: int, *, wait: bool) -> Path:
    """Run a profile and return its manifest.

    Raises:
        LabError: Slurm refuses a job, or jobs do not run or end in time; the manifest is written all the same.
    """
    driver = Driver(layout)
    started = clock.now()
    path = layout.manifests / f"{started:%Y%m%dT%H%M%S}-{profile}-{seed}.json"
    try:
        driver.clear()
        driver.run(plan(profile, layout, seed))
        if wait:
            driver.wait()
    finally:
        head = {"profile": profile, "seed": seed, "cluster": layout.cluster, "started": clock.to_text(started)}
        jobs = [describe(entry) for entry in driver.submitted]
        path.write_text(json.dumps({**head, "jobs": jobs}, indent=2) + "\n", "utf-8")
    return path


def describe(entry: Submitted) -> dict[str, Any]:
    """Return the manifest's line about a job; names are bytes, so they stand in base64 and, for people, escaped."""
    job = entry.job
    return {
        "job_id": entry.job_id,
        "scenario": job.scenario,
        "user": job.user,
        "name_base64": base64.b64encode(job.name).decode("ascii"),
        "name": job.name.decode("utf-8", "backslashreplace"),
        "comment_base64": base64.b64encode(job.comment).decode("ascii"),
        "options": list(job.options),
        "script": list(job.script),
        "state": job.state,
        "exit_code": job.exit_code,
        "reason": job.reason,
        "earlier": list(job.earlier),
        "tasks": {str(task): state for task, state in job.tasks.items()},
        "ends": job.ends,
    }

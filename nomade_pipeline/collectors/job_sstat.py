"""`sstat`: what Slurm itself measures of running jobs, for a monitor that may not read their processes.

It is asked about all such jobs at once and seldom, since it goes through slurmctld. Only a job that is on this node
alone can be told, as the figures cover all of a job's nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Set

from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.collectors.commands import first_line, run_any
from nomade_pipeline.collectors.slurm_values import expand_hostlist, parse_duration, parse_size, parse_tres
from nomade_pipeline.probes import Probe

TOOL = "sstat"
_SECONDS = 20.0
_FIELDS = ("JobID", "Nodelist", "TRESUsageInTot", "TRESUsageOutTot")


@dataclass
class StepSums:
    """Sums over the steps of a job; None for what no step tells. Memory is the steps' largest."""

    cpu_seconds: Optional[float] = None
    memory_bytes: Optional[int] = None
    read_bytes: Optional[int] = None
    write_bytes: Optional[int] = None


@dataclass(frozen=True)
class Answer:
    """What sstat told by job number, and why it told nothing."""

    jobs: Dict[str, StepSums]
    problem: Optional[str] = None


def ask(probe: Probe, jobs: Mapping[str, str]) -> Answer:
    """Ask about jobs, each on the node of this host that it stands for.

    Raises:
        Interrupted: the agent is stopping.
    """
    if probe.which(TOOL) is None:
        return Answer({}, "sstat is not installed")
    argv = (TOOL, "-a", "-n", "-P", "--noconvert", "-j", ",".join(jobs), "-o", ",".join(_FIELDS))
    try:
        completed = run_any(probe, argv, _SECONDS)
    except CollectorError as error:
        return Answer({}, str(error))
    told = parse(completed.stdout, jobs)
    return Answer(told, None if told else f"sstat: {first_line(completed.stderr) or 'it told nothing'}")


def parse(text: str, nodes: Mapping[str, str]) -> Dict[str, StepSums]:
    """Read the jobs all of whose steps run on their node alone; lines of another shape are left out."""
    jobs: Dict[str, StepSums] = {}
    elsewhere: Set[str] = set()
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) != len(_FIELDS):
            continue
        job = cells[0].partition(".")[0]
        try:
            if expand_hostlist(cells[1]) != [nodes.get(job)]:
                elsewhere.add(job)
                continue
            _add(jobs.setdefault(job, StepSums()), parse_tres(cells[2]), parse_tres(cells[3]))
        except ValueError:
            continue
    return {job: sums for job, sums in jobs.items() if job not in elsewhere}


def _add(sums: StepSums, used_in: Dict[str, str], used_out: Dict[str, str]) -> None:
    cpu = parse_duration(used_in.get("cpu"))
    memory = parse_size(used_in.get("mem"))
    read, write = parse_size(used_in.get("fs/disk")), parse_size(used_out.get("fs/disk"))
    if cpu is not None:
        sums.cpu_seconds = (sums.cpu_seconds or 0.0) + cpu
    if memory is not None:
        sums.memory_bytes = max(sums.memory_bytes or 0, memory)
    if read is not None:
        sums.read_bytes = (sums.read_bytes or 0) + read
    if write is not None:
        sums.write_bytes = (sums.write_bytes or 0) + write

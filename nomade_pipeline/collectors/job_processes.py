"""Which processes belong to which of Slurm's jobs, without asking slurmctld.

In this order: the cgroup that a process is in; `scontrol listpids`, which asks the slurmstepd of this host, where
there are no cgroups; and `SLURM_JOB_ID` with `SLURMD_NODENAME` in a process's environment, which only processes
that a slurmd started have (a shell of `salloc` on a login node has the first alone). The first cannot be forged by a
user, the last can: a process found by its environment joins a job that is known otherwise only as the same user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.collectors.commands import run_tool
from nomade_pipeline.collectors.job_cgroup import JobCgroup, find_job_cgroups, pids_of
from nomade_pipeline.collectors.mounts import Mount
from nomade_pipeline.collectors.process_table import Identity, Process, read_processes, step_of
from nomade_pipeline.probes import Probe

CGROUP, LISTPIDS, ENVIRON, DAEMON = "cgroup", "listpids", "environ", "slurmstepd"
_NODE_DAEMON = "slurmd"
# The command of the process that holds the extern step open.
_HOLDER = "sleep"
_LISTPIDS_SECONDS = 10.0
_JOB_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# A young process may still become one of a job: slurmstepd changes the environment when it starts the program.
_YOUNG_TICKS = 6000


@dataclass
class FoundJob:
    """A job that is on this host, as found at one moment.

    Attributes:
        job, node: its number, and Slurm's name of the node.
        found_by: the surest way in which one of its processes was found.
        processes: without Slurm's own.
        cgroup: its groups, None when it has none.
        has_daemon: a slurmstepd serves it: Slurm has it running here.
        own_pids: processes of Slurm itself in its groups.
    """

    job: str
    node: str
    found_by: str
    processes: List[Process] = field(default_factory=list)
    cgroup: Optional[JobCgroup] = None
    has_daemon: bool = False
    own_pids: Set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Sighting:
    """Everything found at one moment.

    Attributes:
        jobs: by number and node.
        slurm_is_here: slurmd or a slurmstepd runs on this host.
        groups: node and name of every job's cgroup, leftovers included.
        problem: why `scontrol listpids` gave nothing, None when it was not needed or did.
    """

    jobs: Dict[Tuple[str, str], FoundJob]
    slurm_is_here: bool
    groups: Set[Tuple[str, str]] = field(default_factory=set)
    problem: Optional[str] = None


class Finder:
    """Finds the jobs of this host; remembers which processes are none of any job, and whose others are."""

    def __init__(self) -> None:
        self._environments: Dict[Identity, Optional[Tuple[str, str]]] = {}

    def find(self, probe: Probe, mounts: Sequence[Mount]) -> Sighting:
        """Look at all processes.

        Raises:
            OSError: /proc cannot be listed.
            Interrupted: the agent is stopping.
        """
        table = read_processes(probe)
        steps = _steps(probe, table)
        # A sight of this moment only: what is no process any more is forgotten.
        alive = {process.identity for process in table.values()}
        self._environments = {key: known for key, known in self._environments.items() if key in alive}
        sight = _Sight(probe, table, steps, self._environments)
        groups = find_job_cgroups(probe, mounts)
        for group in groups:
            sight.add_cgroup(group)
        slurm_is_here = bool(steps) or any(each.command == _NODE_DAEMON for each in table.values())
        problem = sight.add_listed() if slurm_is_here and not groups else None
        sight.add_by_environment()
        sight.add_daemons()
        return Sighting(sight.jobs, slurm_is_here, {(each.node, each.name) for each in groups}, problem)


def _steps(probe: Probe, table: Dict[int, Process]) -> Dict[int, Tuple[str, str]]:
    """Return job and step of every slurmstepd that serves one, by process id."""
    found = {pid: step_of(probe, each) for pid, each in table.items() if each.command == DAEMON}
    return {pid: step for pid, step in found.items() if step is not None}


@dataclass
class _Sight:
    """The jobs of one moment while they are being found."""

    probe: Probe
    table: Dict[int, Process]
    steps: Dict[int, Tuple[str, str]]
    environments: Dict[Identity, Optional[Tuple[str, str]]]
    jobs: Dict[Tuple[str, str], FoundJob] = field(default_factory=dict)
    claimed: Set[int] = field(default_factory=set)
    users: Dict[Identity, Optional[int]] = field(default_factory=dict)

    @cached_property
    def newest(self) -> int:
        """When the youngest process began, ticks since boot."""
        return max((each.start_ticks for each in self.table.values()), default=0)

    def add_cgroup(self, group: JobCgroup) -> None:
        """Add the job of a group, unless nothing is in it: a leftover."""
        pids = pids_of(self.probe, group) & set(self.table)
        if not pids:
            return
        job = group.job or self._number_within(pids)
        if job is None:
            return
        node = group.node or self._node_of(pids)
        found = self.jobs.setdefault((job, node), FoundJob(job, node, CGROUP))
        found.cgroup = group
        self._take(found, pids)

    def _number_within(self, pids: Set[int]) -> Optional[str]:
        """Return the number of the job that processes belong to, where the folder's SLUID does not tell."""
        for pid in sorted(pids):
            if pid in self.steps:
                return self.steps[pid][0]
        told = (self._environment(self.table[pid]) for pid in sorted(pids))
        return next((each[0] for each in told if each is not None), None)

    def _node_of(self, pids: Set[int]) -> str:
        told = (self._environment(self.table[pid]) for pid in sorted(pids) if pid not in self.steps)
        return next((each[1] for each in told if each is not None), "") or self._own_node()

    def _own_node(self) -> str:
        """Return the node's name where neither path nor environment tells: slurmd's `-N`, else the host's name."""
        named = {_option_n(self.probe, each) for each in self.table.values() if each.command == _NODE_DAEMON}
        if len(named) == 1 and "" not in named:
            return named.pop()
        return self.probe.read("/proc/sys/kernel/hostname").strip().split(".")[0].lower()

    def _take(self, found: FoundJob, pids: Set[int]) -> None:
        """Give processes to a job; Slurm's own make it known, but do not count."""
        for pid in sorted(pids - self.claimed):
            process = self.table[pid]
            self.claimed.add(pid)
            if process.command == DAEMON:
                found.has_daemon = True
                found.own_pids.add(pid)
            elif self._holds_the_extern_step(process):
                found.own_pids.add(pid)
            else:
                found.processes.append(process)

    def _holds_the_extern_step(self, process: Process) -> bool:
        step = self.steps.get(process.parent)
        return process.command == _HOLDER and step is not None and step[1] == "extern"

    def add_listed(self) -> Optional[str]:
        """Add what `scontrol listpids` tells; return why it tells nothing.

        Raises:
            Interrupted: the agent is stopping.
        """
        try:
            text = run_tool(self.probe, ("scontrol", "listpids"), _LISTPIDS_SECONDS).stdout
        except CollectorError as error:
            return None if "No job steps" in str(error) else str(error)
        pids: Dict[str, Set[int]] = {}
        for job, pid in parse_listpids(text):
            pids.setdefault(job, set()).add(pid)
        for job, listed in pids.items():
            present = listed & set(self.table)
            if not present:
                continue
            node = self._node_of(present)
            self._take(self.jobs.setdefault((job, node), FoundJob(job, node, LISTPIDS)), present)
        return None

    def add_by_environment(self) -> None:
        """Add the processes that nothing else has found."""
        for pid, process in sorted(self.table.items()):
            if pid in self.claimed or process.command == DAEMON or self._holds_the_extern_step(process):
                continue
            told = self._environment(process)
            if told is None:
                continue
            known = self.jobs.get(told)
            if known is None:
                known = self.jobs.setdefault(told, FoundJob(*told, found_by=ENVIRON))
            elif known.processes and self._user(known.processes[0]) != self._user(process):
                continue
            self._take(known, {pid})

    def add_daemons(self) -> None:
        """Note which jobs a slurmstepd serves; one that serves a job without any process makes it known."""
        for pid, (job, _) in sorted(self.steps.items()):
            known = [found for found in self.jobs.values() if found.job == job]
            for found in known:
                found.has_daemon = True
            if not known:
                node = self._node_of({pid})
                self.jobs[job, node] = FoundJob(job, node, DAEMON, has_daemon=True)

    def _user(self, process: Process) -> Optional[int]:
        if process.identity not in self.users:
            self.users[process.identity] = user_of(self.probe, process)
        return self.users[process.identity]

    def _environment(self, process: Process) -> Optional[Tuple[str, str]]:
        """Return job and node in a process's environment; None for neither, and for one that is not ours to read."""
        if process.identity in self.environments:
            return self.environments[process.identity]
        told = _job_and_node(environment_of(self.probe, process))
        if told is not None or not self._is_young(process):
            self.environments[process.identity] = told
        return told

    def _is_young(self, process: Process) -> bool:
        return self.newest - process.start_ticks < _YOUNG_TICKS


def parse_listpids(text: str) -> Iterator[Tuple[str, int]]:
    """Yield job number and process id from `scontrol listpids`; steps without processes (-1) are left out."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[0].isdigit() and _JOB_NUMBER.fullmatch(words[1]):
            yield words[1], int(words[0])


def environment_of(probe: Probe, process: Process) -> Dict[str, str]:
    """Return a process's environment; empty when it has ended or is not ours to read."""
    try:
        text = probe.read(f"/proc/{process.pid}/environ")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def _job_and_node(environment: Dict[str, str]) -> Optional[Tuple[str, str]]:
    job, node = environment.get("SLURM_JOB_ID", ""), environment.get("SLURMD_NODENAME", "")
    return (job, node) if _JOB_NUMBER.fullmatch(job) and _NODE_NAME.fullmatch(node) else None


def _option_n(probe: Probe, process: Process) -> str:
    """Return the name that a slurmd was started with (`-N name`); empty when it was not."""
    try:
        words = probe.read(f"/proc/{process.pid}/cmdline").split("\0")
    except OSError:
        return ""
    name = words[words.index("-N") + 1] if "-N" in words[:-1] else ""
    return name if _NODE_NAME.fullmatch(name) else ""


def user_of(probe: Probe, process: Process) -> Optional[int]:
    """Return the number of the user that a process runs as; None when it has ended."""
    try:
        lines = probe.read(f"/proc/{process.pid}/status").splitlines()
    except OSError:
        return None
    words = next((line.split() for line in lines if line.startswith("Uid:")), [])
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None

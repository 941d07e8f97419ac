"""Cgroups of Slurm's jobs, v1 and v2: where they are, their processes, and what they count.

Layouts (Slurm's cgroup guides; seen with 22.05):

- v1: ``<controller>/slurm/uid_U/job_J/step_S/task_T``, with several slurmd on one host ``slurm_<node>/…``;
- v2, since 22.05: ``system.slice/slurmstepd.scope/job_J/step_S/user/task_T``, with several slurmd
  ``system.slice/<node>_slurmstepd.scope/…``; 26.05 names a job by its SLUID unless `CgroupJobIdPaths=yes`
  (tool_traps 25).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from nomade_pipeline.collectors.mounts import Mount
from nomade_pipeline.probes import Probe

# The only controller of v2, in which one folder tells everything.
UNIFIED = "unified"
_JOB = re.compile(r"job_(\d{1,10})", re.ASCII)
_SLUID = re.compile(r"s[0-9A-Z]{13}", re.ASCII)
_SCOPE = re.compile(r"(?:(.+)_)?slurmstepd\.scope")
_V1_ROOT = re.compile(r"slurm(?:_(.+))?")
_UID = re.compile(r"uid_\d+", re.ASCII)
_V1_CONTROLLERS = ("memory", "cpuacct", "freezer", "cpuset", "devices", "pids")
# Files of the kernel's interface; every other name may be a group within.
_INTERFACE = re.compile(
    r"(cgroup|memory|cpu|cpuacct|cpuset|pids|io|irq|hugetlb|rdma|misc|dmem|freezer|devices|blkio|net_cls|net_prio|"
    r"perf_event)\..*|tasks|notify_on_release|release_agent"
)
# v1 writes "no limit" as the largest page-aligned number.
_UNLIMITED = 1 << 62
# A user may nest groups; Slurm's own are four deep.
_DEEPEST = 8


@dataclass
class JobCgroup:
    """The groups of one job on one node.

    Attributes:
        name: the job's number, or the SLUID that the folder is named by.
        node: Slurm's name of the node; empty when the path does not tell.
        folders: the job's folder by controller; v2 has one, `UNIFIED`.
    """

    name: str
    node: str
    folders: Dict[str, str] = field(default_factory=dict)

    @property
    def job(self) -> Optional[str]:
        """The job's number; None when the folder is named by SLUID."""
        return self.name if self.name.isdigit() else None


@dataclass(frozen=True)
class CgroupReading:
    """What the groups of one job count; None for what no group tells.

    Attributes:
        cpu_seconds: CPU time of everything that ever ran in them.
        memory_bytes, cache_bytes, peak_bytes, limit_bytes, swap_bytes: of the job; cache is the file cache in memory.
        oom_kills: kills by group, since v1 counts them where they happen and groups of ended steps go.
    """

    cpu_seconds: Optional[float] = None
    memory_bytes: Optional[int] = None
    cache_bytes: Optional[int] = None
    peak_bytes: Optional[int] = None
    limit_bytes: Optional[int] = None
    swap_bytes: Optional[int] = None
    oom_kills: Optional[Mapping[str, int]] = None


def find_job_cgroups(probe: Probe, mounts: Sequence[Mount]) -> List[JobCgroup]:
    """Return the groups of all of Slurm's jobs on this host, by node and name."""
    found: Dict[Tuple[str, str], JobCgroup] = {}
    for controller, root in _hierarchies(mounts):
        jobs = _v2_jobs(probe, root) if controller == UNIFIED else _v1_jobs(probe, root)
        for node, name, folder in jobs:
            group = found.setdefault((node, name), JobCgroup(name, node))
            group.folders.setdefault(controller, folder)
    return [found[key] for key in sorted(found)]


def _hierarchies(mounts: Sequence[Mount]) -> Iterator[Tuple[str, str]]:
    for mount in mounts:
        if mount.fstype == "cgroup2":
            yield UNIFIED, mount.point
        elif mount.fstype == "cgroup":
            yield from ((name, mount.point) for name in _V1_CONTROLLERS if name in mount.options)


def _v1_jobs(probe: Probe, root: str) -> Iterator[Tuple[str, str, str]]:
    for top, match in _matching(probe, root, _V1_ROOT):
        for user, _ in _matching(probe, f"{root}/{top}", _UID):
            for name, number in _matching(probe, f"{root}/{top}/{user}", _JOB):
                yield match.group(1) or "", number.group(1), f"{root}/{top}/{user}/{name}"


def _v2_jobs(probe: Probe, root: str) -> Iterator[Tuple[str, str, str]]:
    for part in _names(probe, root):
        if not part.endswith(".slice"):
            continue
        for scope, match in _matching(probe, f"{root}/{part}", _SCOPE):
            for name in _names(probe, f"{root}/{part}/{scope}"):
                number = _JOB.fullmatch(name)
                if number or _SLUID.fullmatch(name):
                    job = number.group(1) if number else name
                    yield match.group(1) or "", job, f"{root}/{part}/{scope}/{name}"


def _matching(probe: Probe, folder: str, form: re.Pattern[str]) -> Iterator[Tuple[str, re.Match[str]]]:
    for name in _names(probe, folder):
        match = form.fullmatch(name)
        if match is not None:
            yield name, match


def _names(probe: Probe, folder: str) -> List[str]:
    """Return the names in a folder; none when it has gone, is a file, or is not ours to read."""
    try:
        return probe.listdir(folder)
    except OSError:
        return []


def pids_of(probe: Probe, group: JobCgroup) -> Set[int]:
    """Return the process ids in all groups of a job; those of other pid namespaces (0) are left out."""
    pids: Set[int] = set()
    for top in group.folders.values():
        for folder in _below(probe, top):
            pids.update(int(word) for word in _text(probe, f"{folder}/cgroup.procs").split() if word.isdigit())
    return pids - {0}


def _below(probe: Probe, folder: str, depth: int = 0) -> Iterator[str]:
    """Yield a group and the groups within it."""
    names = _names(probe, folder)
    if names:
        yield folder
    if depth < _DEEPEST:
        for name in names:
            if not _INTERFACE.fullmatch(name):
                yield from _below(probe, f"{folder}/{name}", depth + 1)


def read_cgroup(probe: Probe, group: JobCgroup) -> CgroupReading:
    """Read what the groups of a job count."""
    if UNIFIED in group.folders:
        return _read_v2(probe, group.folders[UNIFIED])
    return _read_v1(probe, group.folders.get("memory"), group.folders.get("cpuacct"))


def _read_v1(probe: Probe, memory: Optional[str], cpuacct: Optional[str]) -> CgroupReading:
    nanoseconds = _number(_text(probe, f"{cpuacct}/cpuacct.usage")) if cpuacct else None
    cpu_seconds = None if nanoseconds is None else nanoseconds / 1e9
    if memory is None:
        return CgroupReading(cpu_seconds)
    counts = _pairs(_text(probe, f"{memory}/memory.stat"))
    kills = {
        folder: each["oom_kill"]
        for folder in _below(probe, memory)
        for each in [_pairs(_text(probe, f"{folder}/memory.oom_control"))]
        if "oom_kill" in each
    }
    return CgroupReading(
        cpu_seconds,
        _number(_text(probe, f"{memory}/memory.usage_in_bytes")),
        _sum(counts, "total_inactive_file", "total_active_file"),
        _number(_text(probe, f"{memory}/memory.max_usage_in_bytes")),
        _number(_text(probe, f"{memory}/memory.limit_in_bytes")),
        counts.get("total_swap"),
        kills or None,
    )


def _read_v2(probe: Probe, folder: str) -> CgroupReading:
    microseconds = _pairs(_text(probe, f"{folder}/cpu.stat")).get("usage_usec")
    kills = _pairs(_text(probe, f"{folder}/memory.events")).get("oom_kill")
    return CgroupReading(
        None if microseconds is None else microseconds / 1e6,
        _number(_text(probe, f"{folder}/memory.current")),
        _sum(_pairs(_text(probe, f"{folder}/memory.stat")), "inactive_file", "active_file"),
        _number(_text(probe, f"{folder}/memory.peak")),
        _number(_text(probe, f"{folder}/memory.max")),
        _number(_text(probe, f"{folder}/memory.swap.current")),
        # v2 counts kills in the groups below too.
        None if kills is None else {folder: kills},
    )


def _text(probe: Probe, path: str) -> str:
    """Return a file's text; empty when it is not there: a controller that is off, or a group that has just gone."""
    try:
        return probe.read(path)
    except OSError:
        return ""


def _number(text: str) -> Optional[int]:
    """Read a file of one number; None for none and for no limit (`max`, or v1's largest number)."""
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit()):
        return None
    value = int(stripped)
    return value if value < _UNLIMITED else None


def _pairs(text: str) -> Dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isascii() and pair[1].isdigit()}


def _sum(counts: Mapping[str, int], *names: str) -> Optional[int]:
    known = [counts[name] for name in names if name in counts]
    return sum(known) if known else None

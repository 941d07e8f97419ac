"""Running jobs on this host: what their processes compute, hold in memory, read and write.

Found and read on the host itself; slurmctld is asked only to confirm a finding (`job_findings`) and through `sstat`
(`job_sstat`), each at most every ten minutes. Definitions and limits: `docs/job-monitor.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from nomade_pipeline.collectors.base import (
    PROC,
    Collected,
    CollectorError,
    Parsed,
    Reading,
    Row,
    Skipped,
)
from nomade_pipeline.collectors.commands import run_any
from nomade_pipeline.collectors.job_cgroup import CgroupReading, find_job_cgroups, pids_of, read_cgroup
from nomade_pipeline.collectors.job_files import FileKinds
from nomade_pipeline.collectors.job_findings import FindingWatch
from nomade_pipeline.collectors.job_gpu import GpuPicture, gpus_of, read_gpus
from nomade_pipeline.collectors.job_processes import (
    DAEMON,
    Finder,
    FoundJob,
    Sighting,
    environment_of,
    parse_listpids,
    user_of,
)
from nomade_pipeline.collectors.job_sstat import Answer, StepSums
from nomade_pipeline.collectors.job_sstat import ask as ask_sstat
from nomade_pipeline.collectors.job_watch import JobWatch
from nomade_pipeline.collectors.mounts import parse_mountinfo
from nomade_pipeline.collectors.process_table import TICKS_PER_SECOND, Process, read_some
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables.nodes import JOB_FINDING, JOB_MONITOR

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import MonitorSettings

# Between two looks of an interval, jobs whose processes change are glanced at: so often, for at most this share of the
# time, and for so long after a process began.
GLANCE_SECONDS = 1.0
GLANCE_SHARE = 0.02
YOUNG_SECONDS = 5.0
# A job that has gone is remembered so long for its epilog.
KEPT_SECONDS = 900.0
SSTAT_SECONDS = 600.0
_GETENT_SECONDS = 5.0
_NOT_OURS = (
    "processes of other users could not be read; run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH "
    "(docs/job-monitor.md)"
)

JobKey = Tuple[str, str]


@dataclass
class JobMonitor:
    """What is remembered from one look at this host's jobs to the next."""

    watches: Dict[JobKey, JobWatch] = field(default_factory=dict)
    finder: Finder = field(default_factory=Finder)
    findings: FindingWatch = field(default_factory=FindingWatch)
    users: Dict[int, str] = field(default_factory=dict)
    sstat_asked_at: Optional[float] = None

    def collect(self, probe: Probe, settings: MonitorSettings, interval: int) -> Collected:
        """Watch all jobs for ``interval`` seconds and tell what they have done until then.

        Raises:
            Skipped: no jobs run here: neither a slurmd nor a job's process was found.
            CollectorError: there is no /proc.
            Interrupted: the agent is stopping.
        """
        end = probe.monotonic() + interval
        try:
            mounts = parse_mountinfo(probe.read("/proc/self/mountinfo"))
        except OSError as error:
            raise CollectorError("internal", f"job_monitor: /proc/self/mountinfo cannot be read: {error}") from error
        files = FileKinds(probe, mounts, settings.nfs_paths, settings.local_paths)
        sighting = self._look(probe, files)
        if not sighting.jobs and not sighting.slurm_is_here:
            raise Skipped("not_present", "no slurmd runs on this host and no process is of a Slurm job")
        rest = GLANCE_SECONDS
        while end - probe.monotonic() > rest:
            probe.wait(rest)
            began = probe.monotonic()
            sighting = self._glance(probe, files, sighting)
            rest = max(GLANCE_SECONDS, (probe.monotonic() - began) / GLANCE_SHARE)
        probe.wait(max(0.0, end - probe.monotonic()))
        return self._told(probe, self._look(probe, files), interval)

    def _look(self, probe: Probe, files: FileKinds) -> Sighting:
        """Find all jobs and look at all their processes."""
        sighting = self.finder.find(probe, files.mounts)
        uptime = _uptime(probe)
        for key, found in sighting.jobs.items():
            self._watch(probe, key, found, uptime).look(probe, found.processes, files)
        return sighting

    def _glance(self, probe: Probe, files: FileKinds, before: Sighting) -> Sighting:
        """Look at the jobs whose processes change, so that one that lives for a moment shows where it writes.

        Only where cgroups list a job's processes, which costs next to nothing.
        """
        if not before.groups:
            return before
        groups = find_job_cgroups(probe, files.mounts)
        if {(each.node, each.name) for each in groups} - before.groups:
            return self._look(probe, files)
        oldest = (_uptime(probe) - YOUNG_SECONDS) * TICKS_PER_SECOND
        for key, found in before.jobs.items():
            if found.cgroup is None:
                continue
            pids = pids_of(probe, found.cgroup) - found.own_pids
            known = self.watches[key].ledger.known
            if pids != {pid for pid, _ in known} or any(start > oldest for _, start in known):
                processes = [each for each in read_some(probe, pids) if each.command != DAEMON]
                self.watches[key].look(probe, processes, files)
        return before

    def _told(self, probe: Probe, sighting: Sighting, interval: int) -> Collected:
        """Return the readings of this moment."""
        jobs = sighting.jobs
        gpus = read_gpus(probe) if any(found.processes for found in jobs.values()) else GpuPicture()
        answer = self._ask_sstat(probe, jobs)
        rows = [self._row(probe, key, found, gpus, answer) for key, found in sorted(jobs.items())]
        users = {job: watch.user for (job, _), watch in self.watches.items() if watch.user is not None}
        findings, unconfirmed = self.findings.look(probe, list(jobs.values()), users)
        self._forget_ended(probe.now())
        notes = (sighting.problem, gpus.problem, answer.problem, unconfirmed, self._unread(jobs))
        return Collected(
            (
                Reading(JOB_MONITOR.name, rows, probe.now(), float(interval), PROC),
                Reading(JOB_FINDING.name, findings, probe.now(), float(interval), PROC),
            ),
            note="; ".join(filter(None, notes)) or None,
        )

    def forget(self) -> None:
        """See Memory: every row tells everything, so that nothing need be told again."""

    def _watch(self, probe: Probe, key: JobKey, found: FoundJob, uptime: float) -> JobWatch:
        """Return the watch of a job; a new one for a job that is new here, or was started again."""
        watch = self.watches.get(key)
        if watch is not None and (watch.knows_any_of(found.processes) or not found.processes):
            return watch
        restarts = _restarts(probe, found.processes)
        if watch is None or (restarts is not None and restarts != watch.restarts):
            watch = self.watches[key] = JobWatch(found.job, found.node, probe.now(), restarts=restarts)
        if watch.start_time is None and found.processes:
            oldest = min(found.processes, key=lambda each: each.start_ticks)
            age = uptime - oldest.start_ticks / TICKS_PER_SECOND
            watch.start_time = probe.now() - timedelta(seconds=age)
            watch.user = self._user_name(probe, oldest)
        return watch

    def _user_name(self, probe: Probe, process: Process) -> Optional[str]:
        number = user_of(probe, process)
        if number is None:
            return None
        if number not in self.users:
            self.users[number] = _user_name(probe, number)
        return self.users[number]

    def _row(self, probe: Probe, key: JobKey, found: FoundJob, gpus: GpuPicture, answer: Answer) -> Row:
        group = read_cgroup(probe, found.cgroup) if found.cgroup is not None else CgroupReading()
        used = gpus_of(gpus, {process.pid for process in found.processes})
        return self.watches[key].row_of(probe.monotonic(), found, group, used, answer.jobs.get(found.job, StepSums()))

    def _ask_sstat(self, probe: Probe, jobs: Mapping[JobKey, FoundJob]) -> Answer:
        """Ask sstat about the jobs whose I/O could not be read, if it has not been asked lately."""
        unread = {
            job: node for job, node in jobs if not self.watches[job, node].ledger.is_read and jobs[job, node].processes
        }
        now = probe.monotonic()
        if not unread or (self.sstat_asked_at is not None and now - self.sstat_asked_at < SSTAT_SECONDS):
            return Answer({})
        self.sstat_asked_at = now
        return ask_sstat(probe, unread)

    def _unread(self, jobs: Mapping[JobKey, FoundJob]) -> Optional[str]:
        unread = sum(self.watches[key].unread for key in jobs)
        return f"{unread} {_NOT_OURS}" if unread else None

    def _forget_ended(self, now: datetime) -> None:
        """Forget the jobs that have long been gone."""
        oldest = now - timedelta(seconds=KEPT_SECONDS)
        self.watches = {key: watch for key, watch in self.watches.items() if watch.seen_time >= oldest}

    def to_state(self, boot_id: str) -> Dict[str, Any]:
        """See LastingMemory."""
        return {"boot_id": boot_id, "jobs": [watch.to_dict() for watch in self.watches.values()]}

    def recall(self, state: Mapping[str, Any], boot_id: str) -> None:
        """See LastingMemory."""
        if state["boot_id"] == boot_id:
            watches = [JobWatch.from_dict(each) for each in state["jobs"]]
            self.watches = {(watch.job, watch.node): watch for watch in watches}


def _uptime(probe: Probe) -> float:
    """Return the seconds since boot, in which the kernel tells when a process began."""
    return float(probe.read("/proc/uptime").split()[0])


def _restarts(probe: Probe, processes: List[Process]) -> Optional[int]:
    """Return how often Slurm has started a job again, from a process's environment; None when it cannot be read."""
    for process in processes[:1]:
        environment = environment_of(probe, process)
        if "SLURM_JOB_ID" in environment:
            told = environment.get("SLURM_RESTART_COUNT", "0")
            return int(told) if told.isdigit() and len(told) < 10 else 0
    return None


def _user_name(probe: Probe, number: int) -> str:
    """Return a user's name, or the number of one without a name."""
    try:
        text = run_any(probe, ("getent", "passwd", str(number)), _GETENT_SECONDS).stdout
    except CollectorError:
        # A directory server that does not answer is no reason to lose the job.
        text = ""
    return text.split(":")[0].strip() or str(number)


def parse(text: str) -> Parsed:
    """Read a recorded `scontrol listpids`: the jobs and how many processes each has.

    Raises:
        CollectorError: it is none.
    """
    if text.split()[:2] != ["PID", "JOBID"]:
        raise CollectorError("parse", "job_monitor: the first line is not the header of `scontrol listpids`")
    pids: Dict[str, set[int]] = {}
    for job, pid in parse_listpids(text):
        pids.setdefault(job, set()).add(pid)
    rows: List[Row] = [
        {
            "job_id_raw": job,
            "node": "",
            "found_by": "listpids",
            "is_final": False,
            "processes": len(found),
            "unread": 0,
        }
        for job, found in sorted(pids.items())
    ]
    return Parsed({JOB_MONITOR.name: rows})

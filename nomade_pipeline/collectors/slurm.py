"""The queue, its partitions and the scheduler: one `squeue` and one `sinfo` a cycle for all who need them.

Every cycle: `scontrol ping`, a question to slurmdbd, `sdiag`, `squeue`, `sinfo`. Every ten minutes: `sshare`, `sprio`,
`scontrol show reservation`. Once an hour: one bounded `sacct` for runaway jobs. See docs/slurm.md.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Set, Tuple

from nomade_pipeline.collectors import slurm_parse, slurm_scontrol, slurm_sdiag, slurm_shares, slurm_sinfo, slurm_squeue
from nomade_pipeline.collectors.base import Collected, CollectorError, Reading, Rejected, Row
from nomade_pipeline.collectors.slurm_changes import Seen, changes
from nomade_pipeline.collectors.slurm_commands import require_slurm, run_slurm
from nomade_pipeline.collectors.slurm_queue_rows import count_queue
from nomade_pipeline.collectors.slurm_services import Database, ask_controllers, runaways
from nomade_pipeline.collectors.slurm_squeue import Job
from nomade_pipeline.collectors.slurm_tables import long_format, new_mark
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables import slurm_queue as tables
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import SlurmSettings

TIMEOUT = 60.0
SDIAG = ("sdiag",)
TEN_MINUTES, HOUR = 600.0, 3600.0


class Cycle:
    """One run: what it has found so far."""

    def __init__(self, probe: Probe, settings: SlurmSettings, interval: int) -> None:
        self.probe = probe
        self.settings = settings
        self.interval = float(interval)
        self.readings: List[Reading] = []
        self.rejected: List[Rejected] = []
        self.scheduler: Row = {"controller_up": False}

    def add(self, table: Table, rows: Sequence[Row], moment: datetime, seconds: Optional[float] = None) -> None:
        """Add rows of a table; ``seconds`` is how often they are read, the interval unless given."""
        if rows:
            self.readings.append(Reading(table.name, rows, moment, seconds or self.interval))

    def wanted(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows of the partitions that are to be measured."""
        names = self.settings.partitions
        return [row for row in rows if not names or row["partition"] in names]

    def failure(self, error: CollectorError) -> CollectorError:
        """Return an error that carries what is known of the scheduler."""
        reading = Reading(tables.SLURM_SCHEDULER.name, (self.scheduler,), self.probe.now(), self.interval)
        return CollectorError(error.category, str(error), (reading,))

    def optional(self, argv: Sequence[str], read: Callable[[str], Tuple[List[Row], List[Rejected]]]) -> List[Row]:
        """Run a command without which the run is still a success; what goes wrong is rejected with the reason.

        Raises:
            Interrupted: the agent is stopping.
        """
        try:
            rows, rejected = read(run_slurm(self.probe, argv, TIMEOUT).stdout)
        except (CollectorError, ValueError) as error:
            rows, rejected = [], [Rejected(" ".join(argv[:3]), str(error))]
        self.rejected.extend(rejected)
        return rows


class QueueMemory:
    """What the collector remembers: the jobs that it told of, and when it asked what is not asked every time."""

    def __init__(self) -> None:
        self._database = Database()
        self._asked: Dict[str, float] = {}
        self._jobs: Dict[str, Seen] = {}
        self._told_of: Tuple[str, ...] = ()
        self._known: Optional[Set[str]] = None
        self._since: Optional[datetime] = None
        # Two counters in place of a flag: forget is called by another thread, perhaps in the middle of a run.
        self._forgotten = 0
        self._remembered = 0

    def forget(self) -> None:
        """Tell of all jobs the next time: what was told may have been lost."""
        self._forgotten += 1

    def collect(self, probe: Probe, settings: SlurmSettings, interval: int) -> Collected:
        """Read the queue and the scheduler.

        Raises:
            Skipped: there is no Slurm here, or another host asks it.
            CollectorError: Slurm does not answer, or its answer cannot be read; it has what is known of the scheduler.
            Interrupted: the agent is stopping.
        """
        require_slurm(probe, "squeue", settings.hosts)
        cycle = Cycle(probe, settings, interval)
        self._ask_services(cycle)
        try:
            jobs, moment = self._queue(cycle)
            partitions = _partitions(cycle)
        except CollectorError as error:
            raise cycle.failure(error) from error
        cycle.add(tables.SLURM_SCHEDULER, (cycle.scheduler,), moment)
        queue, pending = count_queue(
            jobs, [row["partition"] for row in partitions], settings.partitions, moment, self._since
        )
        cycle.add(tables.SLURM_QUEUE, queue, moment)
        cycle.add(tables.SLURM_PENDING, pending, moment)
        cycle.add(tables.SLURM_PARTITION, cycle.wanted(partitions), moment)
        known = {job.row["job_id_raw"] for job in jobs}
        self._ask_rarely(cycle, known, moment)
        self._tell_of_jobs(cycle, jobs, moment)
        self._known, self._since = known, moment
        return Collected(tuple(cycle.readings), tuple(cycle.rejected))

    def _ask_services(self, cycle: Cycle) -> None:
        """Ask whether the daemons answer.

        Raises:
            CollectorError: no controller does.
        """
        controllers, seconds, said = ask_controllers(cycle.probe)
        dbd_up, dbd_seconds = self._database.ask(cycle.probe)
        cycle.scheduler.update(dbd_up=dbd_up, dbd_ping_seconds=dbd_seconds)
        if controllers is not None:
            cycle.scheduler.update(slurm_parse.ping_columns(controllers))
        if not cycle.scheduler["controller_up"]:
            raise cycle.failure(CollectorError("service_down", f"no slurmctld answers: {said or 'it said nothing'}"))
        cycle.scheduler["ping_seconds"] = seconds

    def _queue(self, cycle: Cycle) -> Tuple[List[Job], datetime]:
        """Return the jobs in the queue and when they were read.

        Raises:
            CollectorError: squeue failed, or it shows nothing although the scheduler has jobs.
        """
        known = _statistics(cycle)
        argv = ("squeue", "-a", "-O", long_format(slurm_squeue.FIELDS, new_mark()))
        completed = run_slurm(cycle.probe, argv, TIMEOUT)
        moment = cycle.probe.now()
        cycle.scheduler["squeue_seconds"] = completed.seconds
        jobs, rejected = slurm_squeue.jobs_of(slurm_parse.table_of(completed.stdout, "squeue").rows)
        cycle.rejected.extend(rejected)
        if not jobs and not rejected and known and not self._known and not _shows_ended_jobs(cycle):
            raise CollectorError(
                "permission",
                f"squeue shows no job and sdiag counts {known}: PrivateData hides them from this user; run the "
                "agent as SlurmUser or as an operator of the accounting",
            )
        return jobs, moment

    def _ask_rarely(self, cycle: Cycle, known: Set[str], moment: datetime) -> None:
        """Ask for what changes slowly, or costs much."""
        if self._due(cycle, "shares", TEN_MINUTES):
            rows = cycle.optional(slurm_shares.SSHARE, _shares)
            cycle.add(tables.SLURM_SHARE, rows, moment, TEN_MINUTES)
            rows = cycle.optional(slurm_shares.sprio_command(new_mark()), _priorities)
            cycle.add(tables.SLURM_PRIORITY, cycle.wanted(rows), moment, TEN_MINUTES)
            rows = cycle.optional(slurm_scontrol.RESERVATIONS, slurm_scontrol.reservations_of)
            cycle.add(tables.SLURM_RESERVATION, rows, moment, TEN_MINUTES)
        # While messages to slurmdbd wait, what the accounting knows is old.
        up_to_date = cycle.scheduler["dbd_up"] and not cycle.scheduler.get("dbd_agent_queue")
        before = self._known
        if before is not None and up_to_date and cycle.probe.which("sacct") and self._due(cycle, "runaways", HOUR):
            try:
                rows, rejected = runaways(cycle.probe, known, before, moment)
            except CollectorError as error:
                rows, rejected = [], [Rejected("sacct", str(error))]
            cycle.rejected.extend(rejected)
            cycle.add(tables.SLURM_RUNAWAY, cycle.wanted(rows), moment, HOUR)

    def _tell_of_jobs(self, cycle: Cycle, jobs: Sequence[Job], moment: datetime) -> None:
        """Add the rows of `slurm_job`."""
        names = cycle.settings.partitions
        forgotten = self._forgotten
        full = self._due(cycle, "jobs", HOUR) or forgotten != self._remembered or names != self._told_of
        wanted = [job for job in jobs if not names or set(names).intersection(job.partitions)]
        rows, self._jobs = changes(wanted, self._jobs, full=full)
        cycle.add(tables.SLURM_JOB, rows, moment)
        self._remembered, self._told_of = forgotten, names

    def _due(self, cycle: Cycle, what: str, seconds: float) -> bool:
        """Whether something is to be asked again, at the run that is nearest to its time; takes note of it."""
        now = cycle.probe.monotonic()
        last = self._asked.get(what)
        if last is not None and now - last < seconds - cycle.interval / 2:
            return False
        self._asked[what] = now
        return True


def _statistics(cycle: Cycle) -> Optional[int]:
    """Add what sdiag says of the scheduler; return how many jobs it counts."""
    found: List[Optional[int]] = []

    def read(text: str) -> Tuple[List[Row], List[Rejected]]:
        found.append(slurm_sdiag.jobs_known(text))
        return [slurm_sdiag.scheduler_columns(text)], []

    for columns in cycle.optional(SDIAG, read):
        cycle.scheduler.update(columns)
    return found[0] if found else None


def _shows_ended_jobs(cycle: Cycle) -> bool:
    """Whether squeue shows jobs that have ended, which the scheduler remembers for some minutes.

    The scheduler counts its jobs twice a minute: of a queue that has just emptied it still counts those that left.

    Raises:
        CollectorError: squeue failed.
    """
    return bool(run_slurm(cycle.probe, ("squeue", "-a", "-h", "-t", "all", "-o", "%A"), TIMEOUT).stdout)


def _partitions(cycle: Cycle) -> List[Row]:
    """Return the rows of `slurm_partition`.

    Raises:
        CollectorError: sinfo failed.
    """
    completed = run_slurm(cycle.probe, ("sinfo", "-a", "-O", long_format(slurm_sinfo.FIELDS, new_mark())), TIMEOUT)
    rows, rejected = slurm_sinfo.partitions_of(slurm_parse.table_of(completed.stdout, "sinfo").rows)
    cycle.rejected.extend(rejected)
    return rows


def _shares(text: str) -> Tuple[List[Row], List[Rejected]]:
    table = slurm_parse.table_of(text, "sshare")
    rows, rejected = slurm_shares.shares_of(table)
    return rows, [*table.rejected, *rejected]


def _priorities(text: str) -> Tuple[List[Row], List[Rejected]]:
    return slurm_shares.priorities_of(slurm_parse.table_of(text, "sprio"))


def collect(probe: Probe, settings: SlurmSettings, interval: int) -> Collected:
    """Read the queue and the scheduler once, without a memory; see `QueueMemory.collect`."""
    return QueueMemory().collect(probe, settings, interval)

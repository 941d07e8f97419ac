"""Whether Slurm's daemons answer, and jobs that only the accounting still knows."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Collection, List, Optional, Sequence, Tuple

from nomade_pipeline.collectors.base import CollectorError, Rejected, Row
from nomade_pipeline.collectors.commands import first_line, run_any
from nomade_pipeline.collectors.slurm_commands import FIELD, require_cluster, run_slurm
from nomade_pipeline.collectors.slurm_records import Record, rows_of, told
from nomade_pipeline.collectors.slurm_scontrol import PING, Controllers, controllers_of
from nomade_pipeline.collectors.slurm_values import parse_time
from nomade_pipeline.probes import Completed, Probe
from nomade_pipeline.tables.slurm_queue import SLURM_RUNAWAY

# A controller that is overloaded answers late; a dead host is noticed by the command itself after 10 s or more.
PING_TIMEOUT = 20.0
# A whole run may keep the services busy for a few seconds only, so a slurmdbd that is slower than this counts as down.
DBD_TIMEOUT = 5.0
SACCT_TIMEOUT = 60.0

DBD_PING = ("sacctmgr", "ping")
# Where sacctmgr has no `ping` (22.05 for one): the smallest question to slurmdbd.
DBD_QUESTION = ("sacctmgr", "-n", "-P", "show", "cluster", "format=cluster")
_NO_PING = re.compile(r"invalid (keyword|entity)|unknown|no command", re.IGNORECASE)
_NO_DBD = re.compile(r"supported accounting_storage plugin|accounting storage is disabled", re.IGNORECASE)
_DBD = re.compile(r"slurmdbd\(\w+\) at \S+ is (UP|DOWN)")

# A job that started so shortly before the queue was read may not be in it yet.
YOUNGEST_RUNAWAY = timedelta(minutes=10)
_TITLES = ("JobIDRaw", "User", "Partition", "Start", "State")


def ask_controllers(probe: Probe) -> Tuple[Optional[Controllers], float, str]:
    """Return which controllers answer, how long that took, and what was said where that is not to be told.

    Raises:
        Skipped: no cluster is configured here.
        CollectorError: scontrol cannot be run.
        Interrupted: the agent is stopping.
    """
    try:
        completed = run_any(probe, PING, PING_TIMEOUT)
    except CollectorError as error:
        if error.category != "timeout":
            raise
        return None, PING_TIMEOUT, str(error)
    require_cluster(completed)
    try:
        return controllers_of(completed.stdout), completed.seconds, first_line(completed.stdout)
    except ValueError:
        return None, completed.seconds, first_line(completed.stderr) or first_line(completed.stdout)


class Database:
    """Asks whether slurmdbd answers, in the way that this release offers."""

    def __init__(self) -> None:
        self._command: Sequence[str] = DBD_PING

    def ask(self, probe: Probe) -> Tuple[Optional[bool], Optional[float]]:
        """Return whether slurmdbd answers and how many seconds that took.

        Whether it does is None where the accounting does not go through it, or sacctmgr is not installed.

        Raises:
            Interrupted: the agent is stopping.
        """
        if probe.which(DBD_PING[0]) is None:
            return None, None
        try:
            completed = run_any(probe, self._command, DBD_TIMEOUT)
            if self._command == DBD_PING and completed.returncode != 0 and _NO_PING.search(_said(completed)):
                self._command = DBD_QUESTION
                completed = run_any(probe, self._command, DBD_TIMEOUT)
        except CollectorError:
            return False, None
        return _judged(completed)


def _said(completed: Completed) -> str:
    return completed.stdout + completed.stderr


def _judged(completed: Completed) -> Tuple[Optional[bool], Optional[float]]:
    if _NO_DBD.search(_said(completed)):
        return None, None
    states = _DBD.findall(completed.stdout)
    is_up = "UP" in states if states else completed.returncode == 0
    return is_up, completed.seconds if is_up else None


def runaways(
    probe: Probe, known: Collection[str], before: Collection[str], now: datetime
) -> Tuple[List[Row], List[Rejected]]:
    """Return jobs that run for the accounting and are in neither of two successive pictures of the queue.

    One picture is not enough: slurmdbd hears of an end a little later than the queue shows it. The accounting is asked
    once, for what runs in the last minute.

    Args:
        probe: the host.
        known: plain numbers of the jobs in the queue now.
        before: those of the run before.
        now: when the queue was read.

    Raises:
        CollectorError: sacct failed.
        Interrupted: the agent is stopping.
    """
    begin = (now - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S")
    end = now.strftime("%Y-%m-%dT%H:%M:%S")
    argv = (
        "sacct",
        "-a",
        "-X",
        "-P",
        f"--delimiter={FIELD}",
        "-s",
        "R",
        "-S",
        begin,
        "-E",
        end,
        "-o",
        ",".join(_TITLES),
    )
    lines = run_slurm(probe, argv, SACCT_TIMEOUT).stdout.split("\n")[:-1]
    titles = lines[0].split(FIELD) if lines else []
    cells = [line.split(FIELD) for line in lines[1:]]
    rejected = [
        Rejected(" ".join(row), "not as many fields as the header of sacct") for row in cells if len(row) != len(titles)
    ]
    records = [dict(zip(titles, row)) for row in cells if len(row) == len(titles)]
    lost = [
        record
        for record in records
        if record.get("State") == "RUNNING"
        and record.get("JobIDRaw") not in known
        and record.get("JobIDRaw") not in before
    ]
    rows, refused = rows_of(lost, _runaway, SLURM_RUNAWAY)
    old = [row for row in rows if row["since_time"] is not None and row["since_time"] < now - YOUNGEST_RUNAWAY]
    return old, [*rejected, *refused]


def _runaway(record: Record) -> Row:
    job = record["JobIDRaw"]
    return {
        "job_id_raw": job,
        "user": told(record, "User"),
        "partition": told(record, "Partition"),
        "since_time": parse_time(record["Start"]),
        "message": f"job {job} runs for the accounting and is unknown to slurmctld; see `sacctmgr show runawayjobs`",
    }

"""Asking `sacct` for the jobs that ended in a window of time.

One call a window, never one a job: the manual warns that loops of sacct can stop slurmdbd. States are asked by name:
then sacct selects by the time of the end, and finds jobs that were never eligible, which it leaves out otherwise.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import List, Tuple

from nomade_pipeline.collectors.base import CollectorError, Skipped
from nomade_pipeline.collectors.sacct_columns import offered_columns
from nomade_pipeline.collectors.sacct_split import Split, split
from nomade_pipeline.collectors.slurm_commands import FIELD, run_slurm
from nomade_pipeline.probes import Completed, Probe

# The states that accounting stores of a job that is over. Others than these and the three of a job that goes on
# would switch off sacct's time window.
ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REQUEUED",
    "REVOKED", "TIMEOUT",
)  # fmt: skip

_UNKNOWN_STATE = re.compile(r"unrecognized job state value '?([A-Z_]+)", re.IGNORECASE)
_SWITCHED_OFF = "accounting storage is disabled"
_MARKS = "!#$&*+-./:;<=>?@"


def fresh_delimiter() -> str:
    """Return a delimiter that no job can have in its name, since nobody knew it when the job was submitted."""
    return FIELD + "".join(_MARKS[byte % len(_MARKS)] for byte in os.urandom(6))


@dataclass
class Sacct:
    """What is known of this cluster's sacct, so that it is asked once.

    Attributes:
        columns: what it offers of the columns that we want; empty until it was asked.
        states: the ended states that it knows.
    """

    columns: Tuple[str, ...] = ()
    states: List[str] = field(default_factory=lambda: list(ENDED))

    def prepare(self, probe: Probe, timeout: float) -> None:
        """Find out which columns there are, if that is not known.

        Raises:
            CollectorError: slurmdbd does not answer, or the answer is not that of sacct.
            Skipped: Slurm keeps no accounts.
            Interrupted: the agent is stopping.
        """
        if self.columns:
            return
        offered = offered_columns(_run(probe, ("sacct", "--helpformat"), timeout).stdout)
        if "JobID" not in offered or "End" not in offered:
            raise CollectorError("parse", "sacct --helpformat offers no JobID and no End")
        self.columns = offered

    def ended_between(self, probe: Probe, start: datetime, end: datetime, timeout: float) -> Split:
        """Return the records, steps included, of the jobs that ended from ``start`` to ``end``, both included.

        Raises:
            CollectorError, Skipped, Interrupted: see `prepare`.
        """
        self.prepare(probe, timeout)
        completed = self._ask(probe, start, end, timeout)
        found = split(completed.stdout)
        if found.layout is None:
            raise CollectorError("parse", f"sacct: the columns are not named: {completed.stdout[:60]!r}")
        return found

    def _ask(self, probe: Probe, start: datetime, end: datetime, timeout: float) -> Completed:
        """Run sacct; a state that this release does not know is left out from then on."""
        while True:
            argv = (
                "sacct", "--allusers", "--duplicates", "--local", "--noconvert",
                "--parsable", f"--delimiter={fresh_delimiter()}",
                f"--state={','.join(self.states)}", f"--starttime={_text(start)}", f"--endtime={_text(end)}",
                f"--format={','.join(self.columns)}",
            )  # fmt: skip
            try:
                return _run(probe, argv, timeout)
            except CollectorError as error:
                unknown = _UNKNOWN_STATE.search(str(error))
                if unknown is None or unknown.group(1).upper() not in self.states:
                    raise
                self.states.remove(unknown.group(1).upper())


def _run(probe: Probe, argv: Tuple[str, ...], timeout: float) -> Completed:
    try:
        return run_slurm(probe, argv, timeout)
    except CollectorError as error:
        if _SWITCHED_OFF in str(error).lower():
            raise Skipped(
                "not_present", "Slurm keeps no accounts here (AccountingStorageType): there is no history of jobs"
            ) from error
        raise


def _text(moment: datetime) -> str:
    """Write a time as sacct reads it under ``TZ=UTC``, which the probe sets."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")

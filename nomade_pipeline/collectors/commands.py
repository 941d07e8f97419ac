"""Running a tool for a collector: every failure becomes a `CollectorError` that says what and where."""

from __future__ import annotations

from typing import Sequence

from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.probes import Completed, Interrupted, Probe, ProbeError

# A tool that measures an interval gets this many seconds more to start and to print.
GRACE_SECONDS = 15.0


def run_any(probe: Probe, argv: Sequence[str], timeout: float) -> Completed:
    """Run a command whatever its exit status.

    Raises:
        CollectorError: it could not run or did not end in time.
        Interrupted: the agent is stopping.
    """
    try:
        return probe.run(argv, timeout)
    except Interrupted:
        raise
    except ProbeError as error:
        raise CollectorError(error.category, str(error)) from error


def run_tool(probe: Probe, argv: Sequence[str], timeout: float) -> Completed:
    """Run a command that must succeed and end its output with a whole line.

    Raises:
        CollectorError: see `run_any`; ``command_failed`` for an exit status, ``parse`` for output cut off.
        Interrupted: the agent is stopping.
    """
    completed = run_any(probe, argv, timeout)
    if completed.returncode != 0:
        raise failure(completed)
    if completed.stdout and not completed.stdout.endswith("\n"):
        raise CollectorError("parse", f"{' '.join(argv)}: the output is cut off: …{completed.stdout[-60:]!r}")
    return completed


def failure(completed: Completed) -> CollectorError:
    """Build the error for a command that ended with a failure."""
    said = first_line(completed.stderr) or first_line(completed.stdout) or "it said nothing"
    command = " ".join(completed.argv)
    return CollectorError("command_failed", f"{command} ended with status {completed.returncode}: {said}")


def first_line(text: str) -> str:
    """Return the first line of a text that is not blank, or an empty text."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")

"""One run of one collector: a deadline, at most one retry, and a report whatever happens."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Dict, Optional, Sequence, Tuple

from nomade_pipeline import __version__
from nomade_pipeline.agent.pace import FAILED, SKIPPED, SUCCESS
from nomade_pipeline.collectors.base import Collector, CollectorError, Reading, Rejected, Skipped
from nomade_pipeline.probes import Completed, Interrupted, Probe, ProbeError, TimedOut
from nomade_pipeline.tables.operations import CATEGORIES, COLLECTION_LOG

# A tool that measures for a minute needs a little longer than a minute.
GRACE_SECONDS = 10.0
RETRY_PAUSE_SECONDS = 0.5
# Faults that may be gone half a second later; a missing tool or permission is not.
PASSING = frozenset({"parse", "command_failed", "service_down", "internal"})
_LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class RunReport:
    """How one run of a collector went.

    Attributes:
        outcome: one of ``tables.operations.OUTCOMES``.
        category: kind of the error, None after a success.
        message: what happened, or could not be done; None after a success without a remark.
        readings: what was measured, and what a failed run can tell all the same.
        rejected: parts of the tool's output that could not be read.
        seconds: how long it took, the measured interval included.
        trace: traceback of an error that nobody foresaw, for the log.
    """

    collector: str
    started_time: datetime
    ended_time: datetime
    outcome: str
    seconds: float
    attempts: int = 1
    category: Optional[str] = None
    message: Optional[str] = None
    readings: Tuple[Reading, ...] = ()
    rejected: Tuple[Rejected, ...] = ()
    trace: Optional[str] = None

    @property
    def rows(self) -> int:
        """Number of rows measured."""
        return sum(len(reading.rows) for reading in self.readings)

    def to_dict(self) -> Dict[str, Any]:
        """Return the figures of the run, for people and for JSON."""
        return {
            "collector": self.collector,
            "outcome": self.outcome,
            "category": self.category,
            "message": self.message,
            "rows": self.rows,
            "quarantined": len(self.rejected),
            "seconds": round(self.seconds, 3),
            "attempts": self.attempts,
        }


def log_reading(report: RunReport, writer: str, interval: float) -> Reading:
    """Return the row of the collection log that tells of a run.

    Args:
        report: the run.
        writer: who ran it.
        interval: seconds between its runs, however long this one took; the ledger counts by it.
    """
    row = {
        **report.to_dict(),
        "writer": writer,
        "started_time": report.started_time,
        "seconds": report.seconds,
        "agent_version": __version__,
    }
    return Reading(COLLECTION_LOG.name, (row,), report.ended_time, float(interval))


@dataclass(frozen=True)
class DeadlineProbe:
    """A probe on which nothing lasts beyond a moment of the monotonic clock."""

    inner: Probe
    deadline: float

    def _left(self) -> float:
        return self.deadline - self.inner.monotonic()

    def which(self, tool: str) -> Optional[str]:
        """See Probe."""
        return self.inner.which(tool)

    def run(self, argv: Sequence[str], timeout: float) -> Completed:
        """See Probe; a command that may not even start in time is not started."""
        left = self._left()
        if left <= 0:
            raise TimedOut(f"{argv[0]} was not started: the collector's time is used up")
        return self.inner.run(argv, min(timeout, left))

    def read(self, path: str) -> str:
        """See Probe."""
        return self.inner.read(path)

    def listdir(self, path: str) -> list[str]:
        """See Probe."""
        return self.inner.listdir(path)

    def readlink(self, path: str) -> str:
        """See Probe."""
        return self.inner.readlink(path)

    def now(self) -> datetime:
        """See Probe."""
        return self.inner.now()

    def monotonic(self) -> float:
        """See Probe."""
        return self.inner.monotonic()

    def wait(self, seconds: float) -> None:
        """See Probe; a wait beyond the deadline ends as a time-out."""
        left = self._left()
        self.inner.wait(max(0.0, min(seconds, left)))
        if seconds > left:
            raise TimedOut(f"waiting {seconds:g} s exceeds the collector's time")


def run_collector(collector: Collector, probe: Probe, settings: Any, seconds: int) -> RunReport:
    """Run a collector and report; never raises for anything the collector does.

    Args:
        collector: what to run.
        probe: the host.
        settings: the collector's section of the configuration.
        seconds: whole seconds to measure; for a reading of the moment the interval it stands for.

    Raises:
        Interrupted: the agent is stopping; the run counts neither as a success nor as a failure.
    """
    began = probe.monotonic()
    bounded = DeadlineProbe(probe, began + seconds + GRACE_SECONDS)
    report = _attempt(collector, bounded, settings, seconds)
    left = _seconds_for_retry(collector, report, seconds, probe.monotonic() - began)
    if left:
        probe.wait(RETRY_PAUSE_SECONDS)
        again = _attempt(collector, bounded, settings, left)
        report = replace(again, started_time=report.started_time, attempts=2)
    return replace(report, seconds=probe.monotonic() - began)


def _seconds_for_retry(collector: Collector, report: RunReport, seconds: int, spent: float) -> int:
    """Return the whole seconds that a second attempt may measure, 0 for none.

    A rate is measured again only when at least half of its interval remains, and up to the same
    boundary; a reading of the moment when it fits a second time into its interval.
    """
    if report.outcome != FAILED or report.category not in PASSING:
        return 0
    if collector.spans_interval:
        left = round(seconds - spent - RETRY_PAUSE_SECONDS)
        return left if left >= max(1.0, seconds / 2) else 0
    return seconds if 2 * spent + RETRY_PAUSE_SECONDS <= seconds + GRACE_SECONDS else 0


def _attempt(collector: Collector, probe: Probe, settings: Any, seconds: int) -> RunReport:
    """Call a collector once and turn whatever it does into a report."""
    started, began = probe.now(), probe.monotonic()
    outcome, category, message, trace = FAILED, None, None, None
    readings: Tuple[Reading, ...] = ()
    rejected: Tuple[Rejected, ...] = ()
    try:
        collected = collector.collect(probe, settings, seconds)
        readings, rejected, outcome = tuple(collected.readings), tuple(collected.rejected), SUCCESS
        message = collected.note
    except Interrupted:
        raise
    except Skipped as error:
        outcome, category, message = SKIPPED, error.category, str(error)
    except CollectorError as error:
        category, message, readings = error.category, str(error), error.readings
    except ProbeError as error:
        category, message = error.category, str(error)
    except PermissionError as error:
        category, message = "permission", str(error)
    except OSError as error:
        category, message = "internal", str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one faulty collector must not stop the others
        category, message, trace = "internal", f"{type(error).__name__}: {error}", traceback.format_exc()
    return RunReport(
        collector=collector.name,
        started_time=started,
        ended_time=probe.now(),
        outcome=outcome,
        seconds=probe.monotonic() - began,
        category=category if category is None or category in CATEGORIES else "internal",
        message=message if message is None else message[:_LONGEST_MESSAGE],
        readings=readings,
        rejected=rejected,
        trace=trace,
    )

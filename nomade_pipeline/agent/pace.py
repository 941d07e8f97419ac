"""When a collector runs next: a pure decision from the wall clock, so that samples stay aligned.

Samples end on the multiples of their interval since 1970, UTC. Each decision looks at the clock
anew, so a clock step costs one odd sample and no alignment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nomade_pipeline.tables.operations import OUTCOMES

SUCCESS, SKIPPED, FAILED = OUTCOMES

# A collector that had nothing to collect is asked again after this: mounts and devices come and go.
SKIPPED_SECONDS = 600.0

# A service that gives no answer is asked again after this at the latest, whatever its budget: people wait for the news
# that it answers, and for the alert that it does not.
REST_AFTER_FAILURE_SECONDS = 120.0

# A timer may end a little before its boundary; that boundary is then the present one, not the next.
_EARLY_SECONDS = 0.5


@dataclass(frozen=True)
class Step:
    """What to do next.

    Attributes:
        wait: seconds to let pass first.
        measure: whole seconds to measure after that; 0: decide anew.
    """

    wait: float
    measure: int


def until_boundary(now: float, interval: int) -> float:
    """Return the seconds from ``now`` (epoch) to the next multiple of the interval."""
    left = interval - now % interval
    early = min(_EARLY_SECONDS, interval / 10)
    return left if left > early else left + interval


def seconds_to_measure(now: float, interval: int) -> int:
    """Return the whole seconds from ``now`` (epoch) to a multiple of the interval, at least 1.

    The tools take whole seconds. What a run starts late is made up for as soon as it exceeds half
    a second, so the ends of the runs stay within a second of the boundaries.
    """
    left = round(interval - now % interval)
    return left if left >= 1 else left + interval


@dataclass
class Pace:
    """The rhythm of one collector.

    Attributes:
        spans_interval: runs follow each other without a gap (rates); False: one at each boundary.
    """

    spans_interval: bool
    _quiet_until: float = 0.0
    _holds: bool = False
    _failed: bool = False

    def step(self, now: float, monotonic: float, interval: int) -> Step:
        """Return what to do next.

        Args:
            now: wall clock, seconds since 1970.
            monotonic: clock that never steps, seconds.
            interval: seconds between samples.
        """
        if monotonic < self._quiet_until:
            return Step(self._quiet_until - monotonic, 0)
        if not self.spans_interval:
            return Step(until_boundary(now, interval), interval)
        if self._holds:
            self._holds = False
            return Step(until_boundary(now, interval), 0)
        return Step(0.0, seconds_to_measure(now, interval))

    def after(self, outcome: str, monotonic: float) -> None:
        """Take note of how a run ended; a failed one must not be repeated at once for ever."""
        self._holds = self._failed = outcome == FAILED
        self._quiet_until = monotonic + SKIPPED_SECONDS if outcome == SKIPPED else 0.0

    def rest(self, spent: float, load_budget: float, interval: int, monotonic: float) -> float:
        """Let a collector rest that kept the service it asks busier than its budget; return the seconds of rest.

        The rest is whole intervals, so that samples stay on their boundaries; after a failed run it is bounded.

        Args:
            spent: seconds that the run took.
            load_budget: largest share of the time; 0 for no bound.
            interval: seconds between samples.
            monotonic: clock that never steps, seconds.
        """
        if not load_budget or spent <= load_budget * interval:
            return 0.0
        intervals = math.ceil(spent / load_budget / interval) - 1
        if self._failed:
            intervals = min(intervals, math.ceil(REST_AFTER_FAILURE_SECONDS / interval))
        rest = intervals * interval
        self._quiet_until = max(self._quiet_until, monotonic + rest - spent)
        return float(rest)

    def forget(self) -> None:
        """Ask a skipped collector again at once: the configuration changed."""
        self._quiet_until = 0.0

"""What a rule says of one subject at one moment: the only thing the alert engine knows of the world."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Mapping

# A value between the clear threshold and the threshold: a firing alert stays, none begins.
FINE, BETWEEN = "fine", "between"


@dataclass(frozen=True)
class Verdict:
    """A rule's judgement of a subject.

    Attributes:
        rule, cluster, subject: the key of an alert. A subject is ``filesystem_id``, ``host:device``, a node, a job …;
            empty for the cluster itself.
        level: one of `policy.SEVERITIES`, or ``fine``, or ``between`` (hysteresis).
        time: end of the newest sample that it rests on, UTC.
        host: machine or node it concerns, for inhibition; empty when it is none in particular.
        value: the judged quantity in the unit of its column, None when there is none.
        summary: one line for a person: what, how much, since or until when.
        ok_word: what the opposite sign means ("clean-up in progress"); empty when nothing is to be said.
        details: JSON values for the message: threshold, unit, projection, reason, author; ``series`` may hold
            ``times`` (ISO 8601), ``values``, ``projection`` (times, values, low, high) and ``limit`` for a plot.
    """

    rule: str
    cluster: str
    subject: str
    level: str
    time: datetime
    host: str = ""
    value: float | None = None
    summary: str = ""
    ok_word: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells one alert from another."""
        return self.rule, self.cluster, self.subject


@dataclass(frozen=True)
class Judgement:
    """All verdicts of one rule at one moment.

    Attributes:
        verdicts: one a subject.
        complete: whether every subject that exists is among them, so that an alert without one is over (a job that has
            left the queue); otherwise no verdict says nothing, and the alert stays as it is.
        clusters: the clusters that the judgement covers; matters for complete ones only.
        problem: why the rule could not be judged, None when it could; its alerts then stay as they are.
    """

    rule: str
    verdicts: tuple[Verdict, ...] = ()
    complete: bool = False
    clusters: tuple[str, ...] = ()
    problem: str | None = None

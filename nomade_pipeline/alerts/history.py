"""What happened to an alert, read off its state before and after: the rows of `alert_events`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Iterator

from nomade_pipeline.alerts.machine import ACKNOWLEDGED, FIRING, RESOLVED, Alert
from nomade_pipeline.alerts.policy import is_worse


@dataclass(frozen=True)
class Event:
    """Something that happened to an alert.

    Attributes:
        kind: one of `tables.alerts.EVENT_KINDS`.
        rule, cluster, subject, episode: which alert and which of its episodes.
        time: when.
        severity: of the alert then.
        value: what was measured, None when there is no number.
        reason: why, or what was told; empty when the kind says it.
        author: who did it; empty for the engine.
    """

    kind: str
    rule: str
    cluster: str
    subject: str
    episode: int
    time: datetime
    severity: str
    value: float | None = None
    reason: str = ""
    author: str = ""


def event_of(alert: Alert, kind: str, now: datetime, reason: str = "", author: str = "") -> Event:
    """Return an event of an alert's present episode.

    Raises:
        ValueError: it has never fired.
    """
    if alert.episode is None:
        raise ValueError(f"alert {alert.key} has never fired: it has no history")
    return Event(kind, *alert.key, alert.episode, now, alert.severity, alert.value, reason, author)


def events_between(before: Alert | None, after: Alert, now: datetime, author: str = "") -> Iterator[Event]:
    """Yield what happened between two states of an alert, in its order.

    Args:
        before: None when it was not known.
        after: the state now.
        now: when.
        author: who did it; empty for the engine.
    """
    if after.episode is None:
        return
    for kind, reason in _changes(before, after):
        yield event_of(after, kind, now, reason, author)


def _changes(before: Alert | None, after: Alert) -> Iterator[tuple[str, str]]:
    if before is None or before.episode != after.episode:
        yield "fired", after.summary
    else:
        yield from _moves(before, after)
    if after.flapping_time is not None and (before is None or before.flapping_time is None):
        yield "flapping", f"{len(after.episode_times)} episodes within its window"
    if before is not None and before.flapping_time is not None and after.flapping_time is None:
        yield "steady", ""
    if after.is_open:
        yield from _holds(before, after)


def _moves(before: Alert, after: Alert) -> Iterator[tuple[str, str]]:
    """Yield what happened within an episode."""
    if before.is_open and after.state == RESOLVED:
        yield "resolved", after.reason or ""
    if before.state == FIRING and after.state == ACKNOWLEDGED:
        yield "acknowledged", ""
    if after.is_open and before.is_open and before.severity != after.severity:
        yield "worse" if is_worse(after.severity, before.severity) else "eased", f"{before.severity} before"
    if before.state == ACKNOWLEDGED and after.state == FIRING:
        yield "reopened", "it became worse"


def _holds(before: Alert | None, after: Alert) -> Iterator[tuple[str, str]]:
    """Yield what began or ceased to keep it from being told."""
    earlier = None if before is None else before.held
    if after.held is not None and after.held != earlier:
        yield after.held, after.held_by or ""
    if after.held is None and earlier is not None:
        yield "released", ""

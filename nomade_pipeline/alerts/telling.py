"""What is to be told of an alert now, seen from what has been told before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from nomade_pipeline.alerts.machine import CLEARED, FIRING, RESOLVED, Alert
from nomade_pipeline.alerts.notice import Notice
from nomade_pipeline.alerts.policy import Policy, is_worse


def begins(alert: Alert) -> str | None:
    """Return how the beginning of an episode is to be told, ``firing`` or ``flapping``; None when it is not.

    While an alert counts as flapping, its episodes are not told unless one is worse than what was told.
    """
    if not alert.is_open or alert.is_held or alert.told_time is not None or alert.clear_since_time is not None:
        return None
    if alert.flapping_time is None:
        return "firing"
    is_news = alert.told_severity is None or is_worse(alert.severity, alert.told_severity)
    return "flapping" if is_news else None


def goes_on(alert: Alert, policy: Policy, now: datetime) -> list[str]:
    """Return what is to be told of an episode that has been told before: worse, escalated, repeated."""
    if not alert.is_open or alert.is_held or alert.told_time is None or alert.clear_since_time is not None:
        return []
    if alert.told_severity is not None and is_worse(alert.severity, alert.told_severity):
        return ["worse"]
    if alert.state != FIRING:
        return []
    found = []
    waited_for = alert.unanswered_since_time or alert.told_time
    if alert.escalated_time is None and _is_due(waited_for, policy.escalate_seconds, now):
        found.append("escalated")
    if _is_due(alert.told_time, policy.repeat_seconds, now):
        found.append("repeated")
    return found


def _is_due(since: datetime, seconds: float, now: datetime) -> bool:
    return seconds > 0 and now - since >= timedelta(seconds=seconds)


def ends(alert: Alert) -> bool:
    """Whether the all-clear is owed to those who were told. A silence holds back what begins, not the all-clear."""
    return alert.state == RESOLVED and alert.told_time is not None


def told(alert: Alert, kind: str, now: datetime) -> Alert:
    """Return the alert after it was decided to tell this of it."""
    if kind == "resolved":
        return replace(alert, told_time=None)
    if kind == "escalated":
        # It goes to others: those who were told first are still to be told again in their time.
        return replace(alert, escalated_time=now)
    if kind == "repeated":
        return replace(alert, told_time=now)
    return replace(alert, told_time=now, told_severity=alert.severity, unanswered_since_time=now)


def notice_of(alert: Alert, kind: str, now: datetime) -> Notice:
    """Return the notice that tells it.

    Raises:
        ValueError: the alert has never fired.
    """
    if alert.episode is None:
        raise ValueError(f"alert {alert.key} has never fired: there is nothing to tell of it")
    is_over = kind == "resolved"
    reason = alert.reason or "" if is_over else ""
    return Notice(
        kind=kind,
        episode=alert.episode,
        rule=alert.rule,
        cluster=alert.cluster,
        subject=alert.subject,
        host=alert.host,
        severity=alert.worst_severity if is_over else alert.severity,
        since=alert.since_time,
        time=now,
        value=alert.value,
        summary=alert.summary,
        details=alert.details,
        reason=f"{reason}: {alert.ok_word}" if alert.ok_word and reason == CLEARED else reason,
    )

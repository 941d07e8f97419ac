"""One alert and how it moves: pending → firing → acknowledged → resolved.

Pure functions of an alert, a verdict and the time. `for` and `clear_for` are measured by the times of the samples,
everything that people wait for (cooldown, escalation, flapping) by the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Iterator, Mapping

from nomade_pipeline.alerts.policy import SEVERITIES, Policy, is_worse
from nomade_pipeline.alerts.verdict import FINE, Verdict
from nomade_pipeline.tables.alerts import HOLDS, STATES

PENDING, FIRING, ACKNOWLEDGED, RESOLVED = STATES
OPEN = (FIRING, ACKNOWLEDGED)

# What may keep a firing alert from being told; the first that applies counts. held_back: a mute, or no route is open.
SILENCED, INHIBITED, HELD_BACK = HOLDS

# Why an alert is over.
CLEARED, GONE, VANISHED = "cleared", "its subject is gone", "nothing was heard of its subject any more"
RULE_REMOVED, BY_HAND = "its rule was removed", "by hand"

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Alert:
    """What is known of one key: a row of the table `alerts`.

    Attributes:
        rule, cluster, subject, host: see `verdict.Verdict`.
        state: pending, firing, acknowledged or resolved.
        severity: of the newest verdict whose condition held; ``worst_severity``: the worst of the episode.
        since_time: when its condition began to hold, by sample time.
        last_time: of the newest verdict, by sample time; ``seen_time``: when that was heard of.
        episode: number of its newest episode, None when it has never fired.
        fired_time, resolved_time, reason: when that episode began and ended, and why.
        clear_since_time: since when it has been clear, by sample time; None while its condition holds.
        acknowledged_time, acknowledged_by: when and by whom the episode was acknowledged.
        told_time: when anybody was last told of this episode; None: nobody was, or the all-clear was given.
        told_severity: the worst severity that was told.
        unanswered_since_time: since when an acknowledgement has been waited for.
        escalated_time: when others were told.
        told_targets: who was told.
        held, held_by: what keeps it from being told (``silenced``, ``inhibited`` or ``held_back``), and which silence,
            rule or mute that is; None: nothing does.
        flapping_time: since when it counts as flapping; ``episode_times``: when its recent episodes began.
        value, summary, ok_word, details: see `verdict.Verdict`.
    """

    rule: str
    cluster: str
    subject: str
    state: str
    severity: str
    since_time: datetime
    last_time: datetime
    seen_time: datetime
    host: str = ""
    worst_severity: str = SEVERITIES[0]
    episode: int | None = None
    fired_time: datetime | None = None
    clear_since_time: datetime | None = None
    acknowledged_time: datetime | None = None
    acknowledged_by: str | None = None
    resolved_time: datetime | None = None
    reason: str | None = None
    told_time: datetime | None = None
    told_severity: str | None = None
    unanswered_since_time: datetime | None = None
    escalated_time: datetime | None = None
    told_targets: tuple[str, ...] = ()
    held: str | None = None
    held_by: str | None = None
    flapping_time: datetime | None = None
    episode_times: tuple[datetime, ...] = ()
    value: float | None = None
    summary: str = ""
    ok_word: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What tells one alert from another."""
        return self.rule, self.cluster, self.subject

    @property
    def is_open(self) -> bool:
        """Whether it fires, acknowledged or not."""
        return self.state in OPEN

    @property
    def is_held(self) -> bool:
        """Whether something keeps it from being told."""
        return self.held is not None


# Its moments, but those of the episodes.
TIMES = (
    "since_time",
    "last_time",
    "seen_time",
    "fired_time",
    "clear_since_time",
    "acknowledged_time",
    "resolved_time",
    "told_time",
    "unanswered_since_time",
    "escalated_time",
    "flapping_time",
)


def advance(
    alert: Alert | None, verdict: Verdict, policy: Policy, now: datetime, episodes: Iterator[int]
) -> Alert | None:
    """Return the alert after a verdict; None when there is still none, or when a pending one is over.

    Args:
        alert: as it was, None when the key is unknown.
        verdict: one that is older than the last one changes nothing; one of the future counts as one of now.
        policy: of its rule.
        now: the present time.
        episodes: gives the number of an episode that begins.
    """
    moment = min(verdict.time, now)
    if alert is not None and moment < alert.last_time:
        return alert
    holds = verdict.level in SEVERITIES
    if alert is None or alert.state == RESOLVED:
        if not holds:
            return alert
        alert = _begun(alert, verdict, moment, now)
    elif alert.state == PENDING and not holds:
        return over(alert, CLEARED, now)
    noted = _noted(alert, verdict, moment, now)
    if noted.state == PENDING:
        ripe = moment - noted.since_time >= timedelta(seconds=policy.for_seconds)
        return _fired(noted, policy, now, next(episodes)) if ripe else noted
    return _graver_or_milder(noted) if holds else _clearing(noted, verdict, policy, moment, now)


def _begun(alert: Alert | None, verdict: Verdict, moment: datetime, now: datetime) -> Alert:
    """Return a pending alert, with the memory of the former episodes."""
    if alert is not None:
        return replace(alert, state=PENDING, since_time=moment)
    return Alert(*verdict.key, PENDING, verdict.level, since_time=moment, last_time=moment, seen_time=now)


def _noted(alert: Alert, verdict: Verdict, moment: datetime, now: datetime) -> Alert:
    """Return the alert with what the verdict says of its subject."""
    return replace(
        alert,
        severity=verdict.level if verdict.level in SEVERITIES else alert.severity,
        host=verdict.host,
        last_time=moment,
        seen_time=now,
        value=verdict.value,
        summary=verdict.summary,
        ok_word=verdict.ok_word,
        details=verdict.details,
    )


def _fired(alert: Alert, policy: Policy, now: datetime, episode: int) -> Alert:
    """Begin an episode."""
    begins_after = now - timedelta(seconds=policy.flap_window_seconds)
    recent = (*(moment for moment in alert.episode_times if moment > begins_after), now)
    flaps = alert.flapping_time is not None
    if not flaps and 0 < policy.flap_limit <= len(recent):
        alert = replace(alert, flapping_time=now)
    return replace(
        alert,
        state=FIRING,
        worst_severity=alert.severity,
        episode=episode,
        fired_time=now,
        clear_since_time=None,
        acknowledged_time=None,
        acknowledged_by=None,
        resolved_time=None,
        reason=None,
        told_time=None,
        # That it flaps has been told, and how severe it was then: only a worse episode is news.
        told_severity=alert.told_severity if flaps else None,
        unanswered_since_time=None,
        escalated_time=None,
        told_targets=(),
        episode_times=recent[-max(policy.flap_limit, 1) :],
    )


def _graver_or_milder(alert: Alert) -> Alert:
    """Return a firing alert whose condition still holds; a worse severity than ever asks for a new acknowledgement."""
    alert = replace(alert, clear_since_time=None)
    if not is_worse(alert.severity, alert.worst_severity):
        return alert
    return replace(alert, state=FIRING, worst_severity=alert.severity, acknowledged_time=None, acknowledged_by=None)


def _clearing(alert: Alert, verdict: Verdict, policy: Policy, moment: datetime, now: datetime) -> Alert:
    """Return a firing alert whose condition does not hold: between the thresholds it stays, clear it ends in time."""
    if verdict.level != FINE:
        return replace(alert, clear_since_time=None)
    since = alert.clear_since_time or moment
    if moment - since >= timedelta(seconds=policy.clear_for_seconds):
        return resolved(alert, CLEARED, now)
    return replace(alert, clear_since_time=since)


def over(alert: Alert, reason: str, now: datetime) -> Alert | None:
    """End an alert; of a pending one only the memory of former episodes is left, None without one."""
    if alert.state == PENDING:
        return None if alert.episode is None else replace(alert, state=RESOLVED)
    return resolved(alert, reason, now) if alert.is_open else alert


def resolved(alert: Alert, reason: str, now: datetime) -> Alert:
    """End the episode of a firing alert."""
    return replace(
        alert, state=RESOLVED, resolved_time=now, reason=reason, clear_since_time=None, held=None, held_by=None
    )


def acknowledged(alert: Alert, by: str, now: datetime) -> Alert:
    """Note that somebody looks after a firing alert: it is neither repeated nor escalated, unless it becomes worse."""
    return replace(alert, state=ACKNOWLEDGED, acknowledged_time=now, acknowledged_by=by)


def not_in_the_future(alert: Alert, now: datetime) -> Alert:
    """Return the alert without moments after ``now``, as a clock that was wrong and is set back leaves them."""
    changes: dict[str, Any] = {
        name: now for name in TIMES if (moment := getattr(alert, name)) is not None and moment > now
    }
    if any(moment > now for moment in alert.episode_times):
        changes["episode_times"] = tuple(min(moment, now) for moment in alert.episode_times)
    return replace(alert, **changes) if changes else alert


def calmed(alert: Alert, policy: Policy, now: datetime) -> Alert:
    """Let an alert count as flapping no longer when no episode began for the whole window."""
    if alert.flapping_time is None or now - alert.episode_times[-1] < timedelta(seconds=policy.flap_window_seconds):
        return alert
    told = alert.told_severity if alert.told_time is not None else None
    return replace(alert, flapping_time=None, told_severity=told)

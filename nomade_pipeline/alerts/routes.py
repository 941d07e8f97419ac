"""Which notices go to which targets, and which are held back for now: pure decisions.

What the engine must know: `held_back` tells why an alert may not be told at this moment (muted, or no route is open).
Such an alert goes on firing untold. While it does, the engine asks again with each tick, and tells it with a ``firing``
notice as soon as nothing holds it back. An alert that was never told ends without a ``resolved`` notice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Collection, Iterable, Mapping, Protocol, Sequence

from nomade_pipeline.alerts.calendar import Stretch, Window
from nomade_pipeline.alerts.notice import Message, Notice
from nomade_pipeline.alerts.policy import SEVERITIES
from nomade_pipeline.tables.contract import is_simulated

# So many alerts of a message are told in full, with their series; of the others there are counts.
MOST_IN_FULL = 20

# Rule, cluster, subject and number of an episode.
EpisodeKey = tuple[str, str, str, int]
Told = Mapping[EpisodeKey, Collection[str]]


class Alert(Protocol):
    """What routes look at; a `Notice` and an engine's alert both have it."""

    @property
    def rule(self) -> str:
        """Name of the rule."""

    @property
    def cluster(self) -> str:
        """Name of the cluster."""

    @property
    def subject(self) -> str:
        """What it is about."""

    @property
    def severity(self) -> str:
        """One of `SEVERITIES`."""


@dataclass(frozen=True)
class Scope:
    """Some alerts, by shell patterns; an empty tuple stands for all.

    Attributes:
        rules: patterns of names.
        clusters: patterns of names.
        subjects: patterns of subjects.
    """

    rules: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    def holds(self, alert: Alert) -> bool:
        """Whether an alert is one of them."""
        pairs = ((self.rules, alert.rule), (self.clusters, alert.cluster), (self.subjects, alert.subject))
        return all(not patterns or _like(text, patterns) for patterns, text in pairs)


def _like(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Route:
    """Some alerts go to some targets at some times.

    Attributes:
        targets: names of the targets.
        severity: the least that is told.
        scope: which alerts.
        window: when.
        escalate_to: targets that are told in place of ``targets`` of what nobody has acknowledged; empty: the same.
        resolved: whether the end is told too.
        dry_run: messages are kept and shown, never sent.
    """

    targets: tuple[str, ...]
    severity: str = "warning"
    scope: Scope = field(default_factory=Scope)
    window: Window = field(default_factory=Window)
    escalate_to: tuple[str, ...] = ()
    resolved: bool = True
    dry_run: bool = False

    def concerns(self, alert: Alert) -> bool:
        """Whether the route is for an alert, at whatever time."""
        return SEVERITIES.index(alert.severity) >= SEVERITIES.index(self.severity) and self.scope.holds(alert)


@dataclass(frozen=True)
class Mute:
    """Some alerts are not told at some times.

    Attributes:
        name: what it is called where it is shown.
        scope: which alerts.
        stretch: the days or moments.
        window: hours of the week within them.
    """

    name: str
    scope: Scope = field(default_factory=Scope)
    stretch: Stretch = field(default_factory=Stretch)
    window: Window = field(default_factory=Window)

    def holds(self, alert: Alert, now: datetime) -> bool:
        """Whether an alert is muted."""
        return self.stretch.holds(now) and self.window.holds(now) and self.scope.holds(alert)


@dataclass(frozen=True)
class Routes:
    """All routes and mutes of an installation."""

    routes: tuple[Route, ...] = ()
    mutes: tuple[Mute, ...] = ()

    def held_back(self, alert: Alert, now: datetime) -> str | None:
        """Return why an alert is not to be told now, None when it is."""
        mute = next((mute for mute in self.mutes if mute.holds(alert, now)), None)
        if mute is not None:
            return f"muted by {mute.name}"
        mine = [route for route in self.routes if route.concerns(alert)]
        if not mine:
            return "no route is for it"
        return None if any(route.window.holds(now) for route in mine) else "no route is open now"

    def messages(self, notices: Sequence[Notice], now: datetime, told: Told) -> list[Message]:
        """Return what `route` makes of notices."""
        return route(notices, self, now, told)


def route(notices: Sequence[Notice], routes: Routes, now: datetime, told: Told) -> list[Message]:
    """Group notices into one message a target; the same notices always give the same messages.

    Args:
        notices: what is to be told; none of them is held back.
        routes: where to.
        now: time of the messages.
        told: targets that were told of an episode before: they and nobody else hear of its end.
    """
    found: dict[str, list[Notice]] = {}
    pretended: dict[str, list[Notice]] = {}
    for notice in sorted(notices, key=_urgency):
        real, dry = _targets(notice, routes, now, told)
        for name in real:
            found.setdefault(name, []).append(notice)
        for name in dry - real:
            pretended.setdefault(name, []).append(notice)
    return [
        *(_message(name, found[name], now, dry_run=False) for name in sorted(found)),
        *(_message(name, pretended[name], now, dry_run=True) for name in sorted(pretended)),
    ]


def episode_key(notice: Notice) -> EpisodeKey:
    """Return what tells one episode from another."""
    return notice.rule, notice.cluster, notice.subject, notice.episode


def _urgency(notice: Notice) -> tuple[object, ...]:
    """Order notices: what fires before what has ended, the most severe first, then by name."""
    ended = notice.kind == "resolved"
    return ended, -SEVERITIES.index(notice.severity), notice.rule, notice.cluster, notice.subject, notice.episode


def _targets(notice: Notice, routes: Routes, now: datetime, told: Told) -> tuple[set[str], set[str]]:
    """Return the targets of a notice, and those of its dry run."""
    real: set[str] = set()
    dry: set[str] = set()
    for each in routes.routes:
        if each.concerns(notice):
            # Nobody is to be woken by data that nobody measured.
            pretends = each.dry_run or is_simulated(notice.cluster)
            (dry if pretends else real).update(_names(notice, each, now, told))
    return real, dry


def _names(notice: Notice, way: Route, now: datetime, told: Told) -> Collection[str]:
    """Return the targets of a notice on one of its routes."""
    if notice.kind == "resolved":
        # At any hour: who was told of the alert would else take it for firing.
        return {*way.targets, *way.escalate_to} & set(told.get(episode_key(notice), ())) if way.resolved else ()
    if not way.window.holds(now):
        return ()
    return (way.escalate_to or way.targets) if notice.kind == "escalated" else way.targets


def _message(target: str, notices: Sequence[Notice], now: datetime, *, dry_run: bool) -> Message:
    slim = (*notices[:MOST_IN_FULL], *map(_without_series, notices[MOST_IN_FULL:]))
    return Message(message_id(target, notices, dry_run=dry_run), target, now, slim, dry_run=dry_run)


def _without_series(notice: Notice) -> Notice:
    return replace(notice, details={name: value for name, value in notice.details.items() if name != "series"})


def message_id(target: str, notices: Iterable[Notice], *, dry_run: bool = False) -> str:
    """Return the same identifier for the same notices to the same target: 32 hexadecimal digits."""
    parts = [target, str(dry_run)]
    for notice in notices:
        parts += [*map(str, episode_key(notice)), notice.kind, notice.time.isoformat()]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]

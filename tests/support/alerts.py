"""A small site for the alert engine: policies, verdicts, and ticks one after the other."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from support.rows import CLUSTER, at

from nomade_pipeline.alerts.engine import Controls, Decision, State, decide
from nomade_pipeline.alerts.history import Event
from nomade_pipeline.alerts.machine import Alert
from nomade_pipeline.alerts.notice import Notice
from nomade_pipeline.alerts.policy import Policy
from nomade_pipeline.alerts.routes import Route, Routes
from nomade_pipeline.alerts.verdict import Judgement, Verdict
from nomade_pipeline.store.database import migrate
from nomade_pipeline.store.home import Store

RULE, SUBJECT = "disk_full", "h:/data"


def policy(**values: Any) -> Policy:
    """Return a policy that repeats and flaps only where a test says so."""
    return Policy(**{"rule": RULE, "flap_limit": 0, **values})


def verdict(level: str, time: datetime, **values: Any) -> Verdict:
    """Return a verdict on the site's file system."""
    plain = {"rule": RULE, "cluster": CLUSTER, "subject": SUBJECT, "host": "h", "value": 91.5, "summary": "91.5 % full"}
    return Verdict(**{**plain, "level": level, "time": time, **values})


def judged(*verdicts: Verdict, rule: str = RULE) -> Judgement:
    """Return an incomplete judgement."""
    return Judgement(rule, verdicts)


class Site:
    """State, policies and controls between ticks; minutes count from `support.rows.T0`.

    Attributes:
        notices, events: all of all ticks.
    """

    def __init__(self, *policies: Policy) -> None:
        self.policies = {each.rule: each for each in policies or (policy(),)}
        self.controls = Controls()
        self.state = State()
        self.notices: list[Notice] = []
        self.events: list[Event] = []

    @property
    def alert(self) -> Alert:
        """The one alert of the site's file system."""
        return next(alert for alert in self.state.alerts.values() if alert.rule == RULE)

    def put(self, alert: Alert) -> None:
        """Store an alert that a person has changed."""
        self.state = State({**self.state.alerts, alert.key: alert}, self.state.next_episode)

    def tick(self, minute: float, *judgements: Judgement, ahead: timedelta = timedelta()) -> list[str]:
        """Decide at a minute; return the kinds of the notices."""
        decision = self.decide(minute, *judgements, ahead=ahead)
        self.state = decision.state
        self.notices += decision.notices
        self.events += decision.events
        return [notice.kind for notice in decision.notices]

    def decide(self, minute: float, *judgements: Judgement, ahead: timedelta = timedelta()) -> Decision:
        """Decide at a minute and keep nothing."""
        return decide(self.policies, self.state, judgements, self.controls, at(minute) + ahead)

    def see(self, minute: float, level: str) -> list[str]:
        """Decide on a sample of this minute."""
        return self.tick(minute, judged(verdict(level, at(minute))))


def plain(*targets: str) -> Routes:
    """Return routes that hold nothing back and tell everything to some targets, ``desk`` if none is named."""
    return Routes((Route(targets or ("desk",), severity="info"),))


def migrated(folder: Path) -> Path:
    """Return an empty database of the newest version below a folder."""
    path = Store.at(folder).paths.database
    migrate(path)
    return path

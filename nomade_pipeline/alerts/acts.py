"""What a person does with alerts: acknowledge, resolve, silence. Each is one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Callable

from nomade_pipeline import clock
from nomade_pipeline.alerts import machine
from nomade_pipeline.alerts.engine import Silence
from nomade_pipeline.alerts.history import events_between
from nomade_pipeline.alerts.machine import Alert, Key
from nomade_pipeline.alerts.records import alert_of, alert_row, event_rows
from nomade_pipeline.store.alerts import AlertStore


class ActError(Exception):
    """What was asked for cannot be done with this alert; the message says why."""


def acknowledge(store: AlertStore, key: Key, author: str, comment: str, now: datetime) -> Alert:
    """Note that somebody looks after a firing alert; return it.

    Raises:
        ActError: it does not fire.
    """

    def act(alert: Alert) -> Alert:
        if not alert.is_open:
            raise ActError(f"alert {words(key)} is {alert.state}, there is nothing to acknowledge")
        return machine.acknowledged(alert, author, now)

    return _act(store, key, act, author, comment, now)


def resolve(store: AlertStore, key: Key, author: str, comment: str, now: datetime) -> Alert:
    """End a firing alert by hand; the next tick tells those who were told, and fires it anew if it still holds.

    Raises:
        ActError: it does not fire.
    """

    def act(alert: Alert) -> Alert:
        if not alert.is_open:
            raise ActError(f"alert {words(key)} is {alert.state}, there is nothing to resolve")
        reason = f"{machine.BY_HAND}, {author}" + (f": {comment}" if comment else "")
        return machine.resolved(alert, reason, now)

    return _act(store, key, act, author, comment, now)


def silence(store: AlertStore, wanted: Silence, now: datetime) -> Silence:
    """Add a silence; return it with its number."""
    row = {
        "rule": wanted.rule,
        "cluster": wanted.cluster,
        "subject": wanted.subject,
        "created_time": clock.to_text(now),
        "ends_time": clock.to_text(wanted.ends_time),
        "author": wanted.author,
        "comment": wanted.comment,
    }
    return replace(wanted, silence_id=store.add_silence(row))


def _act(store: AlertStore, key: Key, act: Callable[[Alert], Alert], author: str, comment: str, now: datetime) -> Alert:
    with store.transaction() as work:
        row = work.alert(key)
        if row is None:
            raise ActError(f"there is no alert {words(key)}; `nomade alerts` lists them")
        before = alert_of(row)
        after = act(before)
        events = [
            replace(event, reason=comment or event.reason) for event in events_between(before, after, now, author)
        ]
        work.save([alert_row(after)])
        work.log(event_rows(events))
        return after


def words(key: Key) -> str:
    """Return a key as it is shown and typed: ``rule/cluster/subject``."""
    return "/".join(key)

"""Alerts, events, silences and messages as rows of the database, and back."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Iterable, Mapping

from nomade_pipeline import clock
from nomade_pipeline.alerts.engine import Silence
from nomade_pipeline.alerts.history import Event
from nomade_pipeline.alerts.machine import TIMES, Alert
from nomade_pipeline.alerts.notice import Message, Notice

Row = dict[str, Any]

_NAMES = tuple(field.name for field in fields(Alert))


def alert_row(alert: Alert) -> Row:
    """Return an alert as a row of `alerts`; the series for a plot is in the notices only."""
    row: Row = {name: getattr(alert, name) for name in _NAMES}
    for name in TIMES:
        row[name] = _text(row[name])
    row["told_targets"] = json.dumps(alert.told_targets)
    row["episode_times"] = json.dumps([clock.to_text(moment) for moment in alert.episode_times])
    row["details"] = json.dumps({name: value for name, value in alert.details.items() if name != "series"})
    return row


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else clock.to_text(moment)


def alert_of(row: Mapping[str, Any]) -> Alert:
    """Undo `alert_row`."""
    values = {name: row[name] for name in _NAMES}
    for name in TIMES:
        values[name] = None if values[name] is None else clock.from_text(values[name])
    values["told_targets"] = tuple(json.loads(row["told_targets"]))
    values["episode_times"] = tuple(clock.from_text(text) for text in json.loads(row["episode_times"]))
    values["details"] = json.loads(row["details"])
    return Alert(**values)


def event_rows(events: Iterable[Event]) -> list[Row]:
    """Return events as rows of `alert_events`, still without their numbers."""
    return [{**asdict(event), "time": clock.to_text(event.time)} for event in events]


def silence_of(row: Mapping[str, Any]) -> Silence:
    """Return a row of `alert_silences` as the engine sees it."""
    values = {field.name: row[field.name] for field in fields(Silence)}
    return Silence(**{**values, "ends_time": clock.from_text(row["ends_time"])})


def message_row(message: Message) -> Row:
    """Return a message as a row of `alert_outbox` that is due at once."""
    created = clock.to_text(message.created_time)
    return {
        "message_id": message.message_id,
        "target": message.target,
        "created_time": created,
        "severity": message.severity,
        "notices": message.notices_text(),
        "attempts": message.attempts,
        "next_attempt_time": created,
        "delivered_time": None,
        "given_up_time": None,
        "error": None,
        "dry_run": int(message.dry_run),
    }


def message_of(row: Mapping[str, Any]) -> Message:
    """Undo `message_row`."""
    return Message(
        message_id=row["message_id"],
        target=row["target"],
        created_time=clock.from_text(row["created_time"]),
        notices=tuple(Notice.from_json(values) for values in json.loads(row["notices"])),
        attempts=row["attempts"],
        dry_run=bool(row["dry_run"]),
    )

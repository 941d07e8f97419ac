"""Targets, routes and mutes of an installation, from nomade.toml and alerts.toml, checked together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Mapping, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nomade_pipeline.alerts.calendar import DAY_MINUTES, DAYS, Stretch, Window
from nomade_pipeline.alerts.delivery.sender import Sender
from nomade_pipeline.alerts.delivery.targets import configured, target_of
from nomade_pipeline.alerts.fields import Fields, nearest
from nomade_pipeline.alerts.policy import SEVERITIES
from nomade_pipeline.alerts.routes import Mute, Route, Routes, Scope
from nomade_pipeline.config.entries import Entry, alerts_file, read_entries
from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.config.settings import Config

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24:00))")


@dataclass(frozen=True)
class Outlets:
    """Where alerts go.

    Attributes:
        targets: senders by name.
        routes: which alerts go to which of them, and when.
    """

    targets: Mapping[str, Sender]
    routes: Routes


def load_outlets(config: Config) -> Outlets:
    """Return where the alerts of an installation go; see `outlets`.

    Raises:
        ConfigError: alerts.toml cannot be used.
    """
    path = alerts_file(config)
    return outlets(config, () if path is None else read_entries(path), path or Path())


def outlets(config: Config, entries: Sequence[Entry], path: Path) -> Outlets:
    """Return what nomade.toml and alerts.toml say of delivery.

    Without a `[[route]]` every alert from ``warning`` on goes to every target.

    Args:
        config: nomade.toml.
        entries: those of alerts.toml, of whatever kind.
        path: that file, for errors.

    Raises:
        ConfigError: entries are faulty; all faults are named with file and line.
    """
    problems: list[str] = []
    targets = {target.name: target for target in configured(config)}
    for fields in _of_kind("target", entries, path, problems):
        target = target_of(fields, config.general.proxy)
        if target.name in targets:
            fields.fault("name", f"there is a target {target.name!r:.60} already")
        targets[target.name] = target
    routes = tuple(_route(fields, list(targets)) for fields in _of_kind("route", entries, path, problems))
    mutes = tuple(_mute(fields) for fields in _of_kind("mute", entries, path, problems))
    if problems:
        raise ConfigError(tuple(problems))
    return Outlets(targets, Routes(routes or (Route(tuple(targets)),), mutes))


def _of_kind(kind: str, entries: Sequence[Entry], path: Path, problems: list[str]) -> list[Fields]:
    return [Fields(entry, path, problems) for entry in entries if entry.kind == kind]


def _route(fields: Fields, targets: Sequence[str]) -> Route:
    found = Route(
        targets=_targets(fields, "targets", targets, required=True),
        severity=fields.text("severity", "warning", choices=SEVERITIES),
        scope=_scope(fields),
        window=_window(fields, _zone(fields)),
        escalate_to=_targets(fields, "escalate_to", targets),
        resolved=fields.flag("resolved", True),
        dry_run=fields.flag("dry_run", False),
    )
    fields.finish()
    return found


def _targets(fields: Fields, key: str, targets: Sequence[str], *, required: bool = False) -> tuple[str, ...]:
    names = fields.texts(key, required=required)
    for name in names:
        if name not in targets:
            there_are = nearest(name, targets) or f"; there are {', '.join(targets)}"
            fields.fault(key, f"there is no target {name!r:.60}{there_are}")
    return names


def _mute(fields: Fields) -> Mute:
    zone = _zone(fields)
    name = fields.name()
    stretch = Stretch(_moment(fields, "from", zone), _moment(fields, "until", zone, last=True))
    if stretch.begin is not None and stretch.end is not None and stretch.begin >= stretch.end:
        fields.fault("until", "is not after from")
    mute = Mute(name, _scope(fields), stretch, _window(fields, zone))
    if not {"from", "until", "days", "hours"} & set(fields.entry.values):
        fields.fault("", "says no time; give from and until, or days and hours, or `nomade alerts silence`")
    fields.finish()
    return mute


def _scope(fields: Fields) -> Scope:
    return Scope(fields.texts("rules"), fields.texts("clusters"), fields.texts("subjects"))


def _zone(fields: Fields) -> ZoneInfo:
    name = fields.text("time_zone", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fields.fault("time_zone", f"{name!r:.60} is no time zone; write one such as Europe/Berlin or UTC")
        return ZoneInfo("UTC")


def _window(fields: Fields, zone: ZoneInfo) -> Window:
    names = fields.texts("days")
    for name in names:
        if name not in DAYS:
            fields.fault("days", f"{name!r:.60} is none of {', '.join(DAYS)}{nearest(name[:3], DAYS)}")
    days = frozenset(DAYS.index(name) for name in names if name in DAYS) or frozenset(range(len(DAYS)))
    hours = fields.text("hours", "00:00-24:00")
    match = _HOURS.fullmatch(hours)
    if match is None:
        fields.fault("hours", f"{hours!r:.60} are no hours; write 08:00-18:00, or 22:00-06:00 over midnight")
        return Window(days, zone=zone)
    begin = int(match[1]) * 60 + int(match[2])
    return Window(days, begin, DAY_MINUTES if match[5] else int(match[3]) * 60 + int(match[4]), zone)


def _moment(fields: Fields, key: str, zone: ZoneInfo, *, last: bool = False) -> datetime | None:
    """Return a date or time of the calendar, None when it is absent; a last date counts whole."""
    value: Any = fields.entry.values.get(key)
    if isinstance(value, datetime):
        fields.take(key, datetime, value, "")
        return value if value.tzinfo is not None else value.replace(tzinfo=zone)
    value = fields.take(key, date, None, "a date such as 2026-12-24 or a time such as 2026-12-24T08:00:00")
    if value is None:
        return None
    return datetime.combine(value + timedelta(days=last), time(), zone)

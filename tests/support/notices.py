"""Notices and messages to start from; a test names only what it is about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from support.rows import CLUSTER, HOST, T0

from nomade_pipeline import clock
from nomade_pipeline.alerts.notice import Message, Notice


def notice_of(kind: str = "firing", **values: Any) -> Notice:
    """Return a notice of a disk that fills."""
    plain: dict[str, Any] = {
        "episode": 1,
        "rule": "disk_full",
        "cluster": CLUSTER,
        "subject": f"{HOST}:/home",
        "host": HOST,
        "severity": "warning",
        "since": T0,
        "time": T0,
        "value": 91.5,
        "summary": "/home is 91.5 % full",
    }
    return Notice(kind=kind, **{**plain, **values})


def message_of(*notices: Notice, target: str = "email", message_id: str = "0123abcd", **values: Any) -> Message:
    """Return a message of notices, of one when none is given."""
    return Message(message_id, target, values.pop("created_time", T0), notices or (notice_of(),), **values)


def series(points: int = 50, limit: float | None = 95.0) -> dict[str, Any]:
    """Return a series with its projection, as rules give it."""
    times = [clock.to_text(T0 + timedelta(minutes=minute)) for minute in range(points)]
    ahead = [clock.to_text(T0 + timedelta(minutes=points + 60 * hour)) for hour in range(5)]
    expected = [90.0 + hour for hour in range(5)]
    return {
        "times": times,
        "values": [80.0 + minute / 5 for minute in range(points)],
        "projection": {
            "times": ahead,
            "values": expected,
            "low": [value - 1 for value in expected],
            "high": [value + 1 for value in expected],
        },
        "limit": limit,
    }

"""The one source of time: UTC, aware, and settable by tests.

Nothing else in the project asks the operating system for the time. Wall time stamps rows and
chooses partitions; monotonic time measures lengths and survives clock steps.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from typing import Callable, Iterator

_wall: Callable[[], float] = time.time
_monotonic: Callable[[], float] = time.monotonic


def now() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return datetime.fromtimestamp(_wall(), tz=timezone.utc)


def today() -> date:
    """Return the present UTC date."""
    return now().date()


def monotonic() -> float:
    """Return seconds on a clock that never steps; only differences mean anything."""
    return _monotonic()


@contextmanager
def set_to(moment: datetime | Callable[[], float]) -> Iterator[None]:
    """Set the wall clock to a fixed UTC moment, or to a function of epoch seconds, for a block."""
    global _wall  # noqa: PLW0603 - the one seam through which tests set the time
    before = _wall
    _wall = moment if callable(moment) else moment.timestamp
    try:
        yield
    finally:
        _wall = before


@contextmanager
def sped_up(factor: float, start: datetime, origin: float) -> Iterator[None]:
    """Let both clocks run faster for a block, in every process that is given the same arguments.

    Args:
        factor: simulated seconds a real second.
        start: simulated moment at the origin.
        origin: reading of the real monotonic clock at that moment.
    """
    global _wall, _monotonic  # noqa: PLW0603 - see set_to
    before = _wall, _monotonic
    epoch = start.timestamp()
    _wall = lambda: epoch + (time.monotonic() - origin) * factor  # noqa: E731
    _monotonic = lambda: time.monotonic() * factor  # noqa: E731
    try:
        yield
    finally:
        _wall, _monotonic = before


def to_text(moment: datetime) -> str:
    """Format an aware datetime as ISO 8601 UTC with milliseconds and a trailing ``Z``."""
    utc = moment.astimezone(timezone.utc)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def from_text(text: str) -> datetime:
    """Parse ISO 8601 with an offset (``Z`` or ``+01:00``) to UTC.

    Raises:
        ValueError: the text is no timestamp, or it has no offset and is thus ambiguous.
    """
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    if moment.tzinfo is None:
        raise ValueError(f"timestamp without an offset is ambiguous: {text!r}")
    return moment.astimezone(timezone.utc)


def from_epoch(seconds: float) -> datetime:
    """Return the UTC moment so many seconds after the beginning of 1970."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of the UTC hour that holds ``moment``."""
    return moment.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)


def start_of(day: date) -> datetime:
    """Return 00:00 UTC of ``day``."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def hours_of(day: date) -> list[datetime]:
    """Return the 24 hours of a UTC day, in order."""
    return [start_of(day) + timedelta(hours=hour) for hour in range(24)]

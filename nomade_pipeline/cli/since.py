"""How far back a command looks, `--since 24h`, `--since 7d`, `--since 2026-11-01`, and lengths of time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Callable, TypeVar

import click

from nomade_pipeline import clock

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def length_of(text: str) -> timedelta | None:
    """Return a length of time such as ``30m``, ``24h``, ``7d`` or ``2w``, None for any other text.

    Raises:
        OverflowError: it is too long.
    """
    match = _AGO.fullmatch(text.strip().lower())
    return timedelta(**{_UNITS[match.group(2)]: float(match.group(1))}) if match else None


class Length(click.ParamType[timedelta]):
    """A length of time above zero."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """See click."""
        if isinstance(value, timedelta):
            return value
        try:
            length = length_of(value)
            ends = clock.now() + length if length is not None else None
        except OverflowError:
            ends = None
        if not length or ends is None:
            self.fail(f"{value!r} is no length of time; write 30m, 2h, 7d or 2w", param, ctx)
        return length


class Since(click.ParamType[datetime]):
    """A moment: so long ago, or a UTC date or time."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """See click."""
        if isinstance(value, datetime):
            return value
        try:
            length = length_of(value)
            if length is not None:
                return clock.now() - length
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return clock.from_text(moment.isoformat() if moment.tzinfo else f"{moment.isoformat()}+00:00")
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a length (30m, 24h, 7d, 2w) nor a UTC date (2026-11-01)", param, ctx)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def since_option(default: str) -> Callable[[_Function], _Function]:
    """Return the option ``--since`` with a default."""
    told = "30m, 24h, 7d, 2w, or a UTC date."
    return click.option("--since", type=Since(), default=default, show_default=True, metavar="WHEN", help=told)

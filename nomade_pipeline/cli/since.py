"""How far back a command looks: `--since 24h`, `--since 7d`, `--since 2026-11-01`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Callable, TypeVar

import click

from nomade_pipeline import clock

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Since(click.ParamType[datetime]):
    """A moment: so long ago, or a UTC date or time."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """See click."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value.strip().lower())
        try:
            if ago:
                return clock.now() - timedelta(**{_UNITS[ago.group(2)]: float(ago.group(1))})
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return clock.from_text(moment.isoformat() if moment.tzinfo else f"{moment.isoformat()}+00:00")
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a length (30m, 24h, 7d, 2w) nor a UTC date (2026-11-01)", param, ctx)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def since_option(default: str) -> Callable[[_Function], _Function]:
    """Return the option ``--since`` with a default."""
    told = "30m, 24h, 7d, 2w, or a UTC date."
    return click.option("--since", type=Since(), default=default, show_default=True, metavar="WHEN", help=told)

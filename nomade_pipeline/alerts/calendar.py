"""Times that return every week, and stretches of the calendar, as people on the spot count them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Window:
    """Hours of some days of the week, in one time zone; a window over midnight belongs to the day it begins on.

    Attributes:
        days: 0 for Monday to 6 for Sunday.
        begin: minutes after midnight.
        end: the same, exclusive; not after ``begin``: of the next day.
        zone: whose clock counts.
    """

    days: frozenset[int] = frozenset(range(7))
    begin: int = 0
    end: int = DAY_MINUTES
    zone: ZoneInfo = ZoneInfo("UTC")  # noqa: RUF009 - immutable, and cached by the library

    def holds(self, moment: datetime) -> bool:
        """Whether a moment is inside."""
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday() in self.days, (local.weekday() - 1) % 7 in self.days
        if self.begin < self.end:
            return today and self.begin <= minute < self.end
        return (today and minute >= self.begin) or (yesterday and minute < self.end)


@dataclass(frozen=True)
class Stretch:
    """From one moment to another.

    Attributes:
        begin: inclusive; None: since ever.
        end: exclusive; None: for ever.
    """

    begin: datetime | None = None
    end: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether a moment is inside."""
        return (self.begin is None or self.begin <= moment) and (self.end is None or moment < self.end)

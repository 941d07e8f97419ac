"""How a trend is told on the terminal: rate, acceleration, projections and dates, with how uncertain they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from nomade_pipeline import clock
from nomade_pipeline.cli.output import NULL, faint, good, warn
from nomade_pipeline.tables.derived import HORIZON_DAYS, SIGNIFICANT_P

DAY_SECONDS = 86400.0
LATER = "more than a year"
Trend = Mapping[str, Any]


@dataclass(frozen=True)
class Unit:
    """How values of a quantity are written: divided by a factor, with a name and so many digits."""

    factor: float = 1.0
    name: str = ""
    form: str = ",.2f"

    def text(self, value: float, *, sign: bool = False) -> str:
        """Return a value without its unit."""
        return f"{value / self.factor:{'+' if sign else ''}{self.form}}"


GIGABYTES = Unit(1e9, "GB")
COUNT = Unit(1.0, "", ",.0f")


def trend_lines(trend: Trend | None, unit: Unit, reached: str) -> list[str]:
    """Return the lines about a trend.

    Args:
        trend: a row of a derived table with times as text; None without readings.
        unit: of its values.
        reached: word for the limit: "Full".
    """
    if trend is None or trend["rate_per_day"] is None:
        return [faint(f"  {'Trend':<12} {NULL} too few readings since the fit began anew")]
    lines = [f"  {'Trend':<12} {trend_word(trend)}: {rate_text(trend, unit)}"]
    if trend["acceleration_p"] is not None and trend["acceleration_p"] < SIGNIFICANT_P:
        lines.append(f"  {'Acceleration':<12} {_with_error(trend, 'acceleration', '_per_day2', unit)} {unit.name}/day²")
    for days in HORIZON_DAYS:
        value, low, high = (unit.text(trend[f"projected_{days}d{end}"]) for end in ("", "_low", "_high"))
        lines.append(f"  {f'In {days} day' + 's' * (days > 1):<12} {value} {unit.name} ({low} to {high})")
    if trend["limit"] is not None:
        lines.append(f"  {reached:<12} {limit_text(trend)}")
    if trend["jump_time"] is not None:
        size = unit.text(trend["jump"], sign=True)
        lines.append(f"  {'Jump':<12} {size} {unit.name} at {_local(trend['jump_time'])}")
    if trend["restart_time"] is not None:
        lines.append(faint(f"  {'Fitted since':<12} {_local(trend['restart_time'])}: it moved otherwise before"))
    return lines


def trend_word(trend: Trend) -> str:
    """Return the trend's word, coloured, with what it means that it declines."""
    if trend["ok_word"]:
        return good(f"{trend['trend']} ({trend['ok_word']})")
    return warn(trend["trend"]) if trend["trend"] == "accelerating" else str(trend["trend"])


def rate_text(trend: Trend, unit: Unit) -> str:
    """Return the rate with its standard error."""
    return f"{_with_error(trend, 'rate', '_per_day', unit)} {unit.name}/day".replace(" /", " a ")


def _with_error(trend: Trend, name: str, suffix: str, unit: Unit) -> str:
    return f"{unit.text(trend[name + suffix], sign=True)} ± {unit.text(trend[f'{name}_error'])}"


def limit_text(trend: Trend) -> str:
    """Return when the limit is reached: both dates where the series accelerates, the interval, and the reserve."""
    rate, first, last = (_ahead(trend, name) for name in ("rate_limit_time", "limit_first_time", "limit_last_time"))
    if trend["limit_time"] is None:
        return limit_word(trend) + (f"; in {rate} at the present rate" if rate else "")
    text = f"{limit_word(trend)} ({first or NULL} to {last or LATER}), {_local(trend['limit_time'])}"
    if trend["acceleration_limit_time"] is not None:
        text = f"{text} at this acceleration; in {rate or LATER} at the present rate"
    return text + (", if the rate holds" if trend["limit_if_rate_holds"] else "")


def limit_word(trend: Trend) -> str:
    """Return when the limit is reached, in short."""
    ahead = _ahead(trend, "limit_time")
    return f"in {ahead}" if ahead else "not within a year"


def _ahead(trend: Trend, name: str) -> str | None:
    if trend[name] is None:
        return None
    ahead = clock.from_text(trend[name]) - clock.from_text(trend["sample_time"])
    days = ahead.total_seconds() / DAY_SECONDS
    return f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"


def _local(text: str) -> str:
    return clock.from_text(text).astimezone().strftime("%Y-%m-%d %H:%M")

"""The series behind an alert as a picture: what was measured, where it goes, and the limit."""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.alerts.delivery import wording
from nomade_pipeline.alerts.notice import Notice
from nomade_pipeline.alerts.words import BASE_UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES, _DOTS_PER_INCH = (6.4, 2.6), 100
_BLUE, _RED = "#1f5fa8", "#b3261e"
# More points are not seen at this width.
_MOST_POINTS = 2000


def draw(notice: Notice) -> bytes | None:
    """Return a PNG of ``details.series``, None when there is none or it cannot be drawn.

    A picture that fails must not hold up the alert, and the words tell everything that is in it.
    """
    series = notice.details.get("series")
    if not isinstance(series, Mapping):
        return None
    try:
        times, values = _points(series)
        return _draw(times, values, series, wording.unit_of(notice)) if times else None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _points(series: Mapping[str, Any], name: str = "values") -> tuple[list[datetime], list[float]]:
    """Return times and values; a null is a gap.

    Raises:
        ValueError: there are more of the one than of the other, or a time is none.
    """
    step = max(1, len(series["times"]) // _MOST_POINTS)
    pairs = list(zip(series["times"], series[name], strict=True))[::step]
    return [clock.from_text(time) for time, _ in pairs], [_number(value) for _, value in pairs]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _draw(times: Sequence[datetime], values: Sequence[float], series: Mapping[str, Any], unit: str) -> bytes:
    # A second of CPU time, paid by the first mail with a picture. The figure alone, without pyplot: no global state.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.plot(times, values, color=_BLUE, linewidth=1.5, label="measured")  # type: ignore[arg-type]
    if series.get("projection"):
        _draw_projection(axes, series["projection"])
    if series.get("limit") is not None:
        axes.axhline(float(series["limit"]), color=_RED, linewidth=1, label="limit")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, frameon=False)
    if unit in BASE_UNITS:
        axes.yaxis.set_major_formatter(EngFormatter(BASE_UNITS[unit]))
    else:
        axes.set_ylabel(unit, fontsize=8, parse_math=False)
    axes.set_xlabel("UTC", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, alpha=0.3)
    axes.margins(y=0.1)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _draw_projection(axes: Axes, projection: Mapping[str, Any]) -> None:
    """Draw where it goes, with its interval where there is one."""
    ahead, expected = _points(projection)
    axes.plot(ahead, expected, color=_BLUE, linewidth=1.5, linestyle="--", label="projection")  # type: ignore[arg-type]
    if projection.get("low") and projection.get("high"):
        low, high = _points(projection, "low")[1], _points(projection, "high")[1]
        axes.fill_between(ahead, low, high, color=_BLUE, alpha=0.15, linewidth=0)  # type: ignore[arg-type]

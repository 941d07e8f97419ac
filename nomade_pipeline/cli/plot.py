"""A series and its projection, drawn on the terminal."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from nomade_pipeline import clock

HEIGHT = 14
TICKS = 5
# A limit so far above everything else would press the series flat.
WITHIN = 1.5


def plot(points: Sequence[tuple[str, float]], trend: Mapping[str, Any], factor: float, columns: int) -> str:
    """Return a drawing of a series, of where it leads with its 90 % interval, and of its limit where that is near.

    Args:
        points: time (ISO 8601) and value.
        trend: of `status.trends.trend_of`.
        factor: by which values are divided for the axis.
        columns: width of the drawing.
    """
    import plotext

    projection = trend["projection"]
    times = [clock.from_text(time).timestamp() for time, _ in points]
    ahead = [clock.from_text(time).timestamp() for time in projection["times"]]
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)
    plotext.plotsize(columns, HEIGHT)
    plotext.plot(times, [value / factor for _, value in points], marker="braille", color="cyan")
    shown = [value for _, value in points]
    for name, marker, color in (("low", "·", "gray"), ("high", "·", "gray"), ("values", "braille", "yellow")):
        if None not in projection[name]:
            plotext.plot(ahead, [value / factor for value in projection[name]], marker=marker, color=color)
            shown += projection[name]
    limit = trend["limit"]
    if limit is not None and limit <= WITHIN * max(shown):
        plotext.hline(limit / factor, color="red")
    places = [times[0] + (ahead[-1] - times[0]) * place / (TICKS - 1) for place in range(TICKS)]
    plotext.xticks(places, [clock.from_epoch(place).astimezone().strftime("%m-%d %H:%M") for place in places])
    return str(plotext.build()).rstrip("\n")

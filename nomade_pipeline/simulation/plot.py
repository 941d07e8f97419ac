"""Pictures of the simulation tables of a day: cloud, validation, coverage, anomalies and drift.

PNG, drawn with matplotlib's figure alone: without pyplot there is no global state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.drawing import new_figure, png_of
from nomade_pipeline.features.vectors import Scaler
from nomade_pipeline.tables.simulation import ALL, C2ST, DRIFT_LEVELS, KS

if TYPE_CHECKING:
    import polars
    from matplotlib.axes import Axes

_DOTS_PER_INCH = 80
_BLUE, _ORANGE, _RED, _GREY = "#1f5fa8", "#d9822b", "#b3261e", "#b8b8b8"
_MOST_POINTS = 2_000
_LEVEL_COLOURS = dict(zip(DRIFT_LEVELS, ("#e4e9f0", "#f2c14e", _RED), strict=True))


def cloud_picture(real: Floats, cloud: Floats, scaler: Scaler, odd: Floats | None = None) -> bytes:
    """Return real and simulated jobs on the plane of the two principal components of the real ones.

    Args:
        real: n × d, real jobs in their units; NaN is null.
        cloud: m × d, simulated jobs.
        scaler: of the window.
        odd: k × d, real jobs that lie outside of the cloud; None: none are marked.
    """
    vectors = scaler.apply(real)[0]
    centre = vectors.mean(axis=0)
    _, strengths, axes = np.linalg.svd(vectors - centre, full_matrices=False)
    shares = strengths**2 / max(float((strengths**2).sum()), 1e-12)
    figure = new_figure(9.0, 4.2, _DOTS_PER_INCH)
    first, second = figure.subplots(1, 2, sharex=True, sharey=True)
    for place, rows, colour, title in ((first, real, _BLUE, "real jobs"), (second, cloud, _ORANGE, "simulated jobs")):
        shown = (scaler.apply(rows[:_MOST_POINTS])[0] - centre) @ axes[:2].T
        place.scatter(*shown.T, s=4, alpha=0.4, color=colour, linewidths=0)
        place.set_title(f"{title} ({len(shown):,} of {len(rows):,})", loc="left", fontsize=10)
        place.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
    if odd is not None and len(odd):
        first.scatter(*((scaler.apply(odd)[0] - centre) @ axes[:2].T).T, s=28, facecolors="none", edgecolors=_RED)
        first.set_title(f"real jobs; circled: {len(odd)} odd ones of the day", loc="left", fontsize=10)
    first.set_ylabel(f"second component ({shares[1]:.0%})")
    return png_of(figure)


def validation_picture(rows: polars.DataFrame) -> bytes:
    """Return the AUC of the classifier and the differences of the quantities, each beside its floor."""
    (score,) = rows.filter(measure=C2ST).to_dicts()
    quantities = rows.filter(measure=KS).sort("value").to_dicts()
    figure = new_figure(9.0, 4.4, _DOTS_PER_INCH)
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    _draw_score(left, score)
    places = np.arange(len(quantities))
    colours = [_RED if row["significant"] else _ORANGE for row in quantities]
    right.barh(places, [row["value"] for row in quantities], color=colours, height=0.6)
    right.scatter([row["floor"] for row in quantities], places, color="black", marker="|", s=60, zorder=3)
    right.set_yticks(places, [row["quantity"] for row in quantities], fontsize=8)
    right.set_title("largest difference of distributions\n(red: significant; line: real against real)", fontsize=10)
    right.set_xlim(left=0)
    return png_of(figure)


def _draw_score(axes: Axes, score: dict[str, Any]) -> None:
    interval = [[score["value"] - score["low"]], [score["high"] - score["value"]]]
    axes.bar([0, 1], [score["value"], score["floor"]], color=[_ORANGE, _GREY], width=0.6)
    axes.errorbar([0], [score["value"]], yerr=interval, color="black", capsize=4)
    for place, value in enumerate((score["value"], score["floor"])):
        axes.annotate(f"{value:.3f}", (place, 0.455), ha="center", fontsize=10)
    axes.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
    axes.set_xticks([0, 1], ["cloud\nagainst real", "real\nagainst real"])
    axes.set_ylim(0.45, max(0.7, score["high"] + 0.02))
    axes.set_title("told apart by a classifier (AUC)\n0.5: not at all", fontsize=10)


def coverage_picture(rows: polars.DataFrame) -> bytes:
    """Return both shares of the coverage with their intervals, beside their floors."""
    from matplotlib.ticker import MultipleLocator

    figure = new_figure(6.0, 2.4, _DOTS_PER_INCH)
    axes = figure.subplots()
    for place, row in enumerate(rows.to_dicts()):
        interval = [[row["value"] - row["low"]], [row["high"] - row["value"]]]
        axes.errorbar([row["value"]], [place], xerr=interval, fmt="o", color=_ORANGE, capsize=4)
        axes.scatter([row["floor"]], [place], color="black", marker="|", s=160)
        axes.annotate(f"{row['value']:.1%}", (row["value"], place + 0.16), ha="center", fontsize=9)
    words = {"real_inside": "real jobs inside\nthe cloud", "cloud_plausible": "simulated jobs that\nare plausible"}
    axes.set_yticks(range(rows.height), [words[name] for name in rows["measure"]])
    axes.set_ylim(-0.5, rows.height - 0.3)
    axes.set_xlim(min(0.8, float(rows["low"].min() or 0.0) - 0.05), 1.0)  # type: ignore[arg-type]
    axes.xaxis.set_major_locator(MultipleLocator(0.05))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_title("line: real jobs against real jobs", loc="left", fontsize=9)
    return png_of(figure)


def drift_picture(rows: polars.DataFrame) -> bytes:
    """Return the level of each quantity on each day, and in figures the share of the jobs that have changed."""
    from matplotlib.colors import ListedColormap

    days = sorted(rows["sample_time"].unique())
    names = [ALL, *sorted(set(rows["quantity"]) - {ALL}, reverse=True)]
    levels, shares = np.full((len(names), len(days)), np.nan), {}
    for row in rows.iter_rows(named=True):
        place = names.index(row["quantity"]), days.index(row["sample_time"])
        levels[place] = DRIFT_LEVELS.index(row["level"])
        shares[place] = row["distance"] if row["level"] != DRIFT_LEVELS[0] else None
    figure = new_figure(max(5.0, 2.6 + 0.55 * len(days)), 5.0, _DOTS_PER_INCH)
    axes = figure.subplots()
    colours = ListedColormap([_LEVEL_COLOURS[level] for level in DRIFT_LEVELS])
    axes.pcolormesh(np.arange(len(days) + 1), np.arange(len(names) + 1), levels, cmap=colours, vmin=0, vmax=2,
                    edgecolors="white", linewidth=1.0)  # fmt: skip
    for (name, day), share in shares.items():
        if share is not None:
            white = levels[name, day] == DRIFT_LEVELS.index("drift")
            colour = "white" if white else "black"
            axes.annotate(f"{share:.0%}", (day + 0.5, name + 0.5), ha="center", va="center", fontsize=8, color=colour)
    axes.set_yticks(np.arange(len(names)) + 0.5, ["all together", *names[1:]], fontsize=8)
    axes.set_xticks(np.arange(len(days)) + 0.5, [f"{day:%m-%d}" for day in days], fontsize=8, rotation=45)
    axes.set_title("yellow: watch, red: drift; share of the jobs that changed", loc="left", fontsize=10)
    return png_of(figure)

"""Pictures of the jobs of a window: how the quantities are spread, of good and of failed jobs, and go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.drawing import new_figure, png_of
from nomade_pipeline.features.correlation import NAMES, correlations
from nomade_pipeline.features.vectors import raw_matrix, transformed
from nomade_pipeline.tables.features import QUANTITY
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, SUCCESS

if TYPE_CHECKING:
    import polars
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_DOTS_PER_INCH = 72
_BLUE, _RED, _GREY = "#1f5fa8", "#b3261e", "#777777"
_COLUMNS, _BINS = 5, 30
# One absurd value must not press all others into one bar.
_SHOWN = (0.005, 0.995)


def spread_picture(jobs: polars.DataFrame) -> bytes:
    """Return a PNG: a histogram of each quantity, of jobs that succeeded and of those that failed."""
    figure = new_figure(12.0, 8.0, _DOTS_PER_INCH)
    _draw_spread(figure, jobs)
    return png_of(figure)


def correlation_picture(jobs: polars.DataFrame) -> bytes:
    """Return a PNG: the correlation of each pair of quantities that were measured."""
    figure = new_figure(7.5, 6.5, _DOTS_PER_INCH)
    _draw_correlation(figure, jobs)
    return png_of(figure)


def report_picture(jobs: polars.DataFrame) -> bytes:
    """Return a PNG with both."""
    figure = new_figure(19.0, 8.0, _DOTS_PER_INCH)
    halves = figure.add_gridspec(1, 2, width_ratios=(3, 2))
    _draw_spread(figure.add_subfigure(halves[0, 0]), jobs)
    _draw_correlation(figure.add_subfigure(halves[0, 1]), jobs)
    return png_of(figure)


def _draw_spread(figure: Figure | SubFigure, jobs: polars.DataFrame) -> None:
    """Draw the quantities that were measured, and name the number of the others."""
    values = transformed(raw_matrix(jobs, NAMES), NAMES)
    measured = np.flatnonzero((~np.isnan(values)).any(axis=0)).tolist()
    figure.suptitle(
        f"{jobs.height:,} jobs, {len(measured)} of {len(NAMES)} quantities measured: share of the jobs of each outcome",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    if not measured:
        return
    good = (jobs["failure_class"] == SUCCESS).fill_null(value=False).to_numpy()
    failed = jobs["failure_class"].is_in(FAILED_CLASSES).fill_null(value=False).to_numpy()
    columns = min(len(measured), _COLUMNS)
    grid = figure.subplots(-(-len(measured) // columns), columns, squeeze=False).ravel()
    for place, axes in zip(measured, grid, strict=False):
        _draw_one(axes, NAMES[place], values[:, place], {"succeeded": good, "failed": failed})
    for axes in grid[len(measured) :]:
        axes.set_axis_off()
    handles, labels = grid[int(np.argmax([len(axes.patches) for axes in grid]))].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False)


def _draw_one(axes: Axes, name: str, values: Floats, groups: dict[str, Flags]) -> None:
    """Draw one quantity; what lies beyond all but a hundredth of its values stands in the outermost bars."""
    known = ~np.isnan(values)
    unit = QUANTITY[name].unit
    low, high = np.quantile(values[known], _SHOWN)
    edges = np.histogram_bin_edges([low, high], bins=_BINS).tolist()
    for (label, group), color in zip(groups.items(), (_BLUE, _RED), strict=True):
        shown = np.clip(values[known & group], low, high)
        if len(shown):
            axes.hist(shown, edges, weights=np.full(len(shown), 1 / len(shown)), alpha=0.55, color=color, label=label)
    axes.set_title(f"{name}: {known.mean():.0%} measured", fontsize=9, parse_math=False)
    axes.set_xlabel(f"log(1 + {unit})" if QUANTITY[name].heavy_tailed else unit, fontsize=7, parse_math=False)
    axes.tick_params(labelsize=7)


def _draw_correlation(figure: Figure | SubFigure, jobs: polars.DataFrame) -> None:
    raw = raw_matrix(jobs, NAMES)
    measured = np.flatnonzero((~np.isnan(raw)).any(axis=0)).tolist()
    names = [NAMES[place] for place in measured]
    axes = figure.subplots()
    if not names:
        axes.text(0.5, 0.5, "nothing was measured", ha="center", va="center", color=_GREY)
        axes.set_axis_off()
        return
    found, _ = correlations(transformed(raw[:, measured], names))
    image = axes.imshow(found, vmin=-1, vmax=1, cmap="RdBu_r")
    axes.set_facecolor("#dddddd")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for row, column in zip(*np.nonzero(np.nan_to_num(np.abs(found)) >= 0.5), strict=True):
        if row != column:
            color = "white" if abs(found[row, column]) > 0.7 else "black"
            axes.text(column, row, f"{found[row, column]:.2f}", ha="center", va="center", fontsize=6, color=color)
    figure.colorbar(image, ax=axes, shrink=0.8)
    axes.set_title("Pearson's correlation; grey: not known", fontsize=10)

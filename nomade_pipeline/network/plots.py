"""Pictures of what the network says: communities, statistics, layout, hotspots. Each takes the rows of a window."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.drawing import new_figure, png_of
from nomade_pipeline.network.kernel import Floats32, Ints
from nomade_pipeline.network.words import NULL_WORDS, hotspot_words
from nomade_pipeline.tables.network import CANNOT_SAY
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, OUTCOME_CLASSES, OUTCOME_COLOURS, SUCCESS

if TYPE_CHECKING:
    import polars
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

DOTS_PER_INCH = 90
GREY, LIGHT, RED, BLUE = "#555555", "#DDDDDD", "#D55E00", "#0072B2"
# More communities than these share one colour; more points than these are a sample.
COMMUNITY_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#B8A800")
MOST_POINTS, MOST_BARS, LINE_LETTERS = 4000, 16, 46
_ZONE_COLOURS = {"safe": "#009E73", "danger": RED}
_NAMES = {"mntd": "SES.MNTD", "mpd": "SES.MPD", "assortativity": "assortativity", "purity": "purity"}


def similarity_picture(cosines: Floats32, degrees: Ints) -> bytes:
    """Return a PNG: how the cosines of the edges are spread, and how many jobs are similar to a job."""
    figure = new_figure(10.0, 3.6, DOTS_PER_INCH)
    edges, jobs = figure.subplots(1, 2)
    _histogram(edges, cosines, np.linspace(float(cosines.min(initial=1.0)), 1.0, 41), "cosine of an edge", "edges")
    bins = np.unique(np.geomspace(1, max(2, int(degrees.max()) + 1), 31).astype(int))
    _histogram(jobs, np.maximum(degrees, 1), bins, "jobs at or above the threshold (0 shown as 1)", "jobs")
    jobs.set_xscale("log")
    return _png(figure)


def request_picture(similarities: Floats32, hours: Floats) -> bytes:
    """Return a PNG: how similar linked requests are, and how many hours before the submission the earlier ended."""
    figure = new_figure(10.0, 3.6, DOTS_PER_INCH)
    alike, ago = figure.subplots(1, 2)
    _histogram(alike, similarities, np.linspace(0, 1, 41), "similarity of a link (Gower)", "links")
    hours = np.maximum(hours, 0.01)
    bins = np.geomspace(0.01, max(1.0, float(hours.max())) * 1.01, 41)
    _histogram(ago, hours, bins, "hours between its end and the submission", "links")
    ago.set_xscale("log")
    return _png(figure)


def _histogram(axes: Axes, values: np.ndarray[Any, Any], bins: np.ndarray[Any, Any], of: str, count: str) -> None:
    axes.hist(values, bins=bins.tolist(), color=BLUE)
    axes.set_xlabel(of)
    axes.set_ylabel(count)
    axes.spines[["top", "right"]].set_visible(False)


def community_picture(communities: Sequence[Row], base_rate: float | None) -> bytes:
    """Return a PNG: size and failure rate of each community, with its interval.

    Args:
        communities: rows of `communities`.
        base_rate: failure rate of all jobs; None when none was judged.
    """
    shown = sorted(communities, key=lambda row: -row["jobs"])[:MOST_BARS][::-1]
    figure = new_figure(11.0, 1.3 + 0.42 * max(3, len(shown)), DOTS_PER_INCH)
    sizes, rates = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
    places = np.arange(len(shown))
    sizes.barh(places, [row["jobs"] for row in shown], color=BLUE)
    names = [fill(f"{row['community']}: {row['description'].split(';')[0]}", LINE_LETTERS) for row in shown]
    sizes.set_yticks(places, names, fontsize=8)
    sizes.set_xlabel("jobs")
    for place, row in zip(places, shown, strict=True):
        if row["failure_rate"] is not None:
            _interval(rates, float(place), row)
    if base_rate is not None:
        rates.axvline(100 * base_rate, color=GREY, linestyle="--", linewidth=1)
        rates.set_title(f"dashed: {100 * base_rate:.1f} %, all jobs", fontsize=9, loc="right")
    rates.set_xlabel("failed, % (95 % interval)")
    rates.set_xlim(left=0)
    left_out = len(communities) - len(shown)
    title = f"Communities: {len(communities)}" + (f", the {left_out} smallest left out" if left_out else "")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return _png(figure)


def _interval(axes: Axes, place: float, row: Row, colour: str = RED) -> None:
    """Draw a failure rate and its interval."""
    low, rate, high = (100 * row[name] for name in ("failure_rate_low", "failure_rate", "failure_rate_high"))
    axes.plot([low, high], [place, place], color=colour, linewidth=2)
    axes.plot([rate], [place], "o", color=colour, markersize=6)


def statistics_picture(statistics: Sequence[Row]) -> bytes:
    """Return a PNG: each statistic in deviations of its null models, beside the middle 95 % of these.

    Args:
        statistics: rows of `graph_statistics`.
    """
    known = [row for row in statistics if row["effect"] is not None]
    names = [name for name in _NAMES if any(row["statistic"] == name for row in known)]
    figure = new_figure(9.5, 1.6 + 0.75 * max(2, len(known) / 3), DOTS_PER_INCH)
    axes = figure.subplots()
    rows = [row for name in names for row in known if row["statistic"] == name][::-1]
    for place, row in enumerate(rows):
        ends = ((row[end] - row["expected"]) / row["deviation"] for end in ("null_low", "null_high"))
        axes.plot(list(ends), [place, place], color=LIGHT, linewidth=9, solid_capstyle="butt")
        axes.plot([row["effect"]], [place], "D" if row["declared"] else "o", color=RED if row["declared"] else BLUE)
        axes.annotate(
            f"p = {row['p']:.3g}", (row["effect"], place), (0, 7), textcoords="offset points", fontsize=7, ha="center"
        )
    axes.set_yticks(
        range(len(rows)), [f"{_NAMES[row['statistic']]}, {NULL_WORDS[row['null_model']]}" for row in rows], fontsize=8
    )
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_ylim(-0.6, len(rows) - 0.2)
    axes.margins(x=0.08)
    # Assortativity and purity may lie a hundred deviations away, where the others are a few.
    axes.set_xscale("symlog", linthresh=5)
    axes.set_xticks([-100, -30, -10, -4, -2, 0, 2, 4, 10, 30, 100], minor=False)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(*_beyond([row["effect"] for row in rows]))
    axes.set_xlabel("standard deviations from the mean of permuted labels (grey: their middle 95 %)")
    figure.suptitle(f"Failed jobs: {_verdict(statistics)}", x=0.01, ha="left", fontsize=11)
    return _png(figure)


def _beyond(values: Sequence[float]) -> tuple[float, float]:
    """Return limits of an axis around 0 that leave room around the values."""
    return min(-4.0, 1.5 * min(values, default=0)), max(4.0, 1.5 * max(values, default=0))


def _verdict(statistics: Sequence[Row]) -> str:
    found = next((row["verdict"] for row in statistics if row["declared"]), CANNOT_SAY)
    return f"{found} (declared: SES.MNTD within user × partition, the red diamond)"


def layout_picture(layout: polars.DataFrame, jobs: polars.DataFrame, zones: Sequence[Row]) -> bytes:
    """Return a PNG: the layout by community and by outcome, and the raw space with its zones.

    Args:
        layout: rows of `graph_layout`.
        jobs: node, community and failure_class of each job.
        zones: rows of `graph_zones`.
    """
    import polars as pl

    each = (
        jobs.drop_nulls("node").sort("failure_class").group_by("node").agg(pl.col("community", "failure_class").last())
    )
    rows = layout.join(each, on="node", how="left").sort("node")
    rows = rows.sample(MOST_POINTS, seed=0) if rows.height > MOST_POINTS else rows
    figure = new_figure(11.5, 9.5, DOTS_PER_INCH)
    axes = figure.subplot_mosaic([["community", "outcome"], ["raw", "raw"]], height_ratios=(5, 4))
    _draw_communities(axes["community"], rows)
    _draw_outcomes(axes["outcome"], rows)
    _draw_raw(axes["raw"], rows, zones)
    figure.suptitle(f"{layout.height:,} nodes, {rows.height:,} drawn", x=0.01, ha="left", fontsize=11)
    return _png(figure)


def _draw_communities(axes: Axes, rows: polars.DataFrame) -> None:
    """Draw the nodes from the front, each community in a colour, the largest ones named."""
    numbers = rows["community"].drop_nulls().value_counts(sort=True)["community"].to_list()
    named = sorted(numbers[: len(COMMUNITY_COLOURS)])
    community = rows["community"].to_numpy()
    groups = [(f"{number}", community == number, COMMUNITY_COLOURS[i]) for i, number in enumerate(named)]
    others = ~np.isin(community, named)
    _scatter(axes, rows, [("others, none", others, LIGHT), *groups])
    axes.set_title("by community", fontsize=10, loc="left")


def _draw_outcomes(axes: Axes, rows: polars.DataFrame) -> None:
    """Draw the nodes from the front by outcome; failed ones on top."""
    classes = rows["failure_class"].fill_null(-1).to_numpy()
    order = [SUCCESS, *(code for code in range(len(OUTCOME_CLASSES)) if code not in (SUCCESS, *FAILED_CLASSES))]
    groups = [(OUTCOME_CLASSES[code], classes == code, OUTCOME_COLOURS[code]) for code in (*order, *FAILED_CLASSES)]
    _scatter(axes, rows, [("unknown", classes < 0, LIGHT), *groups])
    axes.set_title("by outcome (of equal jobs: the highest class)", fontsize=10, loc="left")


def _scatter(axes: Axes, rows: polars.DataFrame, groups: Sequence[tuple[str, Any, str]]) -> None:
    """Draw groups of nodes, those further away first; depth is shown by size."""
    at, depth = rows.select("x", "y").to_numpy(), rows["z"].to_numpy()
    near = (depth - depth.min(initial=0)) / max(1e-9, np.ptp(depth)) if len(depth) else depth
    for label, members, colour in groups:
        if members.any():
            size = 4 + 10 * near[members]
            axes.scatter(at[members, 0], at[members, 1], s=size, c=colour, linewidths=0, alpha=0.8, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    if rows.height:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=4, fontsize=7, markerscale=2, frameon=False)


def _draw_raw(axes: Axes, rows: polars.DataFrame, zones: Sequence[Row]) -> None:
    """Draw NFS writes against I/O wait; a zone is a frame, and its third axis stands in words."""
    known = rows.drop_nulls(["nfs_write_gb", "local_write_gb", "avg_iowait"])
    if not known.height:
        axes.text(0.5, 0.5, "NFS writes and I/O wait\nwere not measured together", ha="center", va="center", color=GREY)
        axes.set_axis_off()
        return
    classes = known["failure_class"].fill_null(-1).to_numpy()
    failed = np.isin(classes, FAILED_CLASSES)
    x, y = (np.maximum(known[name].to_numpy(), least) for name, least in (("nfs_write_gb", 1e-4), ("avg_iowait", 1e-2)))
    for members, colour, label in ((~failed, BLUE, "not failed"), (failed, RED, "failed")):
        axes.scatter(x[members], y[members], s=5, c=colour, linewidths=0, alpha=0.6, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _draw_zones(axes, zones)
    axes.set_xlabel("written to NFS, GB")
    axes.set_ylabel("I/O wait of the hosts, %")
    axes.set_title("raw axes and zones", fontsize=10, loc="left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=7, markerscale=2, frameon=False)


def _draw_zones(axes: Axes, zones: Sequence[Row]) -> None:
    from matplotlib.patches import Rectangle

    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for zone in zones:
        x, y = zone["nfs_write_gb_low"] or left, zone["avg_iowait_low"] or bottom
        width, height = (zone["nfs_write_gb_high"] or right) - x, (zone["avg_iowait_high"] or top) - y
        colour = _ZONE_COLOURS[zone["zone"]]
        axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, alpha=0.1, edgecolor=colour, linewidth=1.5))
        local = zone["local_write_gb_low"], zone["local_write_gb_high"]
        bound = f"local > {local[0]:.3g} GB" if local[1] is None else f"local ≤ {local[1]:.3g} GB"
        rate = "–" if zone["failure_rate"] is None else f"{100 * zone['failure_rate']:.0f} % failed"
        low = zone["zone"] == "safe"
        axes.annotate(
            f"{zone['zone']}: {rate}\n{zone['jobs']:,} jobs, {bound}",
            (0.02, 0.02) if low else (0.98, 0.98),
            xycoords="axes fraction",
            ha="left" if low else "right",
            va="bottom" if low else "top",
            fontsize=8,
            color=colour,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 2},
        )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def hotspot_picture(hotspots: Sequence[Row]) -> bytes:
    """Return a PNG: the failure rate of each hotspot with its interval, beside that of all jobs.

    Args:
        hotspots: rows of `graph_hotspots`, at least one.
    """
    shown = sorted(hotspots, key=lambda row: row["rank"])[:MOST_BARS][::-1]
    figure = new_figure(11.0, 1.4 + 0.45 * max(3, len(shown)), DOTS_PER_INCH)
    axes = figure.subplots()
    for place, row in enumerate(shown):
        _interval(axes, float(place), row)
        users = f", {row['users']} users" if row["users"] else ""
        axes.annotate(
            f"{row['failed']:,} of {row['jobs']:,} jobs{users}",
            (100 * row["failure_rate_high"], place),
            (6, -3),
            textcoords="offset points",
            fontsize=8,
            color=GREY,
        )
    axes.set_yticks(range(len(shown)), [f"{row['rank']}. {hotspot_words(row)}" for row in shown], fontsize=8)
    axes.axvline(100 * shown[0]["base_rate"], color=GREY, linestyle="--", linewidth=1)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(0, 118)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel(f"failed, % (95 % interval); dashed: {100 * shown[0]['base_rate']:.1f} %, all jobs")
    figure.suptitle(
        f"Hotspots: {len(hotspots)}, of {shown[0]['tested']:,} bins looked at (false discoveries ≤ 5 %)",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    return _png(figure)


def _png(figure: Figure) -> bytes:
    for axes in figure.axes:
        if axes.get_xlabel():
            axes.grid(visible=True, axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return png_of(figure)

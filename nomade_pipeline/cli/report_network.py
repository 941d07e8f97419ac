"""The screen of `nomade report network`, and its pictures."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from nomade_pipeline.cli.output import NULL, faint, heading, note, number, printable, table, warn
from nomade_pipeline.network.resources import FILE_SYSTEM
from nomade_pipeline.network.words import NULL_WORDS, hotspot_words
from nomade_pipeline.store.lake import Lake

MOST_HOTSPOTS, MOST_RESOURCES = 10, 5


def draw_networks(lake: Lake, last: date, reports: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the pictures of each cluster into a folder, which is made; what has no data has no picture."""
    from nomade_pipeline.network.pictures import PICTURES

    folder.mkdir(parents=True, exist_ok=True)
    for cluster in (report["cluster"] for report in reports):
        for name, draw in PICTURES.items():
            png = draw(lake, cluster, last)
            if png is None:
                note(faint(f"no picture of {name} of {cluster}: nothing to show"))
                continue
            path = folder / f"{cluster}-{name}.png"
            path.write_bytes(png)
            note(faint(f"wrote {path}"))


def network_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about the network of one cluster."""
    title = f"{printable(found['cluster'])}: {found['communities']} communities of jobs that behave alike"
    yield heading(title) + faint(f"  {found['placed_jobs']:,} of {found['jobs']:,} jobs, up to {found['last_day']}")
    if found["note"]:
        yield warn(f"  {found['note']}")
    if found["circular"]:
        yield warn("  a dimension contains the outcome: what is said of outcomes is true by construction")
    if found["found"]:
        yield from _communities(found)
    yield from _resources(found)
    yield from _verdict(found)
    yield from _zones(found["zones"])
    yield from _hotspots(found["hotspots"])


def _communities(found: Mapping[str, Any]) -> Iterator[str]:
    headers = ("no.", "failed", "95 % interval", "what it is like")
    rows = [(row["community"], *_rate(row), row["description"]) for row in found["found"]]
    yield table(headers, rows, right=headers[:3])
    yield f"  {found['apart_jobs']:,} jobs stand apart, {found['transition_jobs']:,} are in transition between two"


def _resources(found: Mapping[str, Any]) -> Iterator[str]:
    agreement = number(found["agreement"], ".2f")
    yield (
        f"  by nodes, file systems and partitions: {found['real_communities']} communities; agreement {agreement} "
        "(0 by chance, 1 the same)"
    )
    mixed = [_resource(row) for row in found["mixed_resources"]]
    if mixed:
        more = f" and {len(mixed) - MOST_RESOURCES} more" if len(mixed) > MOST_RESOURCES else ""
        yield f"  used by several communities: {', '.join(mixed[:MOST_RESOURCES])}{more}"


def _resource(row: Mapping[str, Any]) -> str:
    kind = "" if row["kind"] == FILE_SYSTEM else f"{row['kind']} "
    return f"{kind}{printable(row['resource'])}"


def _verdict(found: Mapping[str, Any]) -> Iterator[str]:
    yield heading("Failed jobs: ") + (found["verdict"] or "no verdict without a graph")
    if found["reading"]:
        yield f"  {found['reading']}"
    known = [row for row in found["statistics"] if row["observed"] is not None]
    if known:
        headers = ("statistic", "outcomes exchanged", "observed", "expected", "deviations", "p")
        yield table(headers, [_statistic(row) for row in known], right=headers[2:])


def _statistic(row: Mapping[str, Any]) -> tuple[Any, ...]:
    star = " (decides)" if row["declared"] else ""
    values = [number(row[name], ".3g") for name in ("observed", "expected", "effect", "p")]
    return (f"{row['statistic']}{star}", NULL_WORDS[row["null_model"]], *values)


def _zones(zones: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for zone in zones:
        rate, interval = _rate(zone)
        told = f"{zone['jobs']:,} of {zone['known']:,} jobs, failed {rate or NULL} ({interval or NULL})"
        yield heading(f"{zone['zone'].capitalize()} zone: ") + told


def _hotspots(hotspots: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not hotspots:
        yield heading("Hotspots: ") + "none"
        return
    headers = ("no.", "failed", "95 % interval", "jobs", "users", "where")
    rows = [(row["rank"], *_rate(row), row["jobs"], row["users"], hotspot_words(row)) for row in hotspots]
    base = f"  all jobs: {100 * hotspots[0]['base_rate']:.1f} % failed"
    yield heading("Hotspots") + faint(base)
    yield table(headers, rows[:MOST_HOTSPOTS], right=headers[:5])


def _rate(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a failure rate and its interval."""
    if row["failure_rate"] is None:
        return None, None
    low, rate, high = (100 * row[name] for name in ("failure_rate_low", "failure_rate", "failure_rate_high"))
    return f"{rate:.0f} %", f"{low:.0f}-{high:.0f} %"

"""What is known of the network of a window's jobs, from the lake: communities, verdict, zones and hotspots."""

from __future__ import annotations

from datetime import date
from typing import Any

from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.network import (
    COMMUNITIES,
    COMMUNITY_RESOURCES,
    COMMUNITY_WINDOWS,
    GRAPH_HOTSPOTS,
    GRAPH_STATISTICS,
    GRAPH_ZONES,
)

HINT = "`nomade compute` does that; under `nomade up` Dagster does"


def networks(config: Config, day: date | None, cluster: str = "") -> tuple[date, list[dict[str, Any]]]:
    """Return the last day of the window, and a report of the network of each cluster that has one.

    Args:
        config: whose data folder.
        day: last day of the window; None for the newest with communities.
        cluster: only this cluster; empty for all.

    Raises:
        NoData: no network has been computed.
        LakeError: a stored file cannot be read.
    """
    lake = Lake(config.paths.lake)
    days = {name: lake.days(COMMUNITY_WINDOWS, name) for name in lake.clusters(COMMUNITY_WINDOWS)}
    days = {name: known for name, known in days.items() if cluster in ("", name) and known}
    if not days:
        raise NoData(f"no network of jobs has been computed below {config.paths.root}", HINT)
    last = day or max(known[-1] for known in days.values())
    found = [name for name, known in days.items() if last in known]
    if not found:
        raise NoData(f"no network of jobs has been computed for {last}", HINT)
    return last, [network(lake, name, last) for name in sorted(found)]


def network(lake: Lake, cluster: str, day: date) -> dict[str, Any]:
    """Return what the tables of a window say, ready for JSON.

    Raises:
        LakeError: a stored file cannot be read.
    """
    statistics = lake.read_day(GRAPH_STATISTICS, cluster, day).to_dicts()
    declared = next((row for row in statistics if row["declared"]), None)
    resources = lake.read_day(COMMUNITY_RESOURCES, cluster, day)
    return {
        **lake.read_day(COMMUNITY_WINDOWS, cluster, day).row(0, named=True),
        "last_day": day.isoformat(),
        "verdict": declared and declared["verdict"],
        "reading": declared and declared["reading"],
        "statistics": statistics,
        "found": lake.read_day(COMMUNITIES, cluster, day).sort("jobs", descending=True).to_dicts(),
        "mixed_resources": resources.filter("in_transition").sort("weight", descending=True).to_dicts(),
        "zones": lake.read_day(GRAPH_ZONES, cluster, day).to_dicts(),
        "hotspots": lake.read_day(GRAPH_HOTSPOTS, cluster, day).sort("rank").to_dicts(),
    }

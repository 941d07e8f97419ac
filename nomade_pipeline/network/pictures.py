"""The pictures of a window's network, drawn from what was stored of it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Callable

from nomade_pipeline.network import plots
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.graph import REQUEST_EDGES, SIMILARITY_EDGES, SIMILARITY_JOBS
from nomade_pipeline.tables.network import (
    COMMUNITIES,
    COMMUNITY_JOBS,
    GRAPH_HOTSPOTS,
    GRAPH_LAYOUT,
    GRAPH_STATISTICS,
    GRAPH_ZONES,
)

if TYPE_CHECKING:
    import polars

Picture = Callable[[Lake, str, date], bytes | None]


def communities(lake: Lake, cluster: str, day: date) -> bytes | None:
    """Return a PNG of size and failure rate of the communities; None where there are none."""
    rows = lake.read_day(COMMUNITIES, cluster, day).to_dicts()
    judged = sum(row["judged"] for row in rows)
    rate = sum(row["failed"] for row in rows) / judged if judged else None
    return plots.community_picture(rows, rate) if rows else None


def statistics(lake: Lake, cluster: str, day: date) -> bytes | None:
    """Return a PNG of the statistics beside their null models; None where nothing could be compared."""
    rows = lake.read_day(GRAPH_STATISTICS, cluster, day).to_dicts()
    return plots.statistics_picture(rows) if any(row["effect"] is not None for row in rows) else None


def layout(lake: Lake, cluster: str, day: date) -> bytes | None:
    """Return a PNG of the layout by community and outcome, and of the zones; None without a graph."""
    rows = lake.read_day(GRAPH_LAYOUT, cluster, day)
    if not rows.height:
        return None
    zones = lake.read_day(GRAPH_ZONES, cluster, day).to_dicts()
    return plots.layout_picture(rows, _jobs(lake, cluster, day), zones)


def _jobs(lake: Lake, cluster: str, day: date) -> polars.DataFrame:
    """Return node, community and outcome class of each job."""
    key = list(SIMILARITY_JOBS.key)
    jobs = lake.read_day(SIMILARITY_JOBS, cluster, day).select(*key, "node", "failure_class")
    return jobs.join(lake.read_day(COMMUNITY_JOBS, cluster, day).select(*key, "community"), on=key, how="left")


def hotspots(lake: Lake, cluster: str, day: date) -> bytes | None:
    """Return a PNG of the hotspots; None where there are none."""
    rows = lake.read_day(GRAPH_HOTSPOTS, cluster, day).to_dicts()
    return plots.hotspot_picture(rows) if rows else None


def similarity(lake: Lake, cluster: str, day: date) -> bytes | None:
    """Return a PNG of the cosines of the edges and of how many similar jobs a job has; None without a graph."""
    edges = lake.read_day(SIMILARITY_EDGES, cluster, day)
    degrees = lake.read_day(SIMILARITY_JOBS, cluster, day)["degree_at_threshold"].drop_nulls()
    return plots.similarity_picture(edges["weight"].to_numpy(), degrees.to_numpy()) if len(degrees) else None


def request(lake: Lake, cluster: str, day: date) -> bytes | None:
    """Return a PNG of how similar the linked requests are, and how long before they had ended; None without links."""
    links = lake.read_day(REQUEST_EDGES, cluster, day)
    if links.is_empty():
        return None
    hours = (links["submit_time"] - links["earlier_end_time"]).dt.total_seconds() / 3600
    return plots.request_picture(links["similarity"].to_numpy(), hours.to_numpy())


# By the asset that they belong to.
PICTURES: dict[str, Picture] = {
    "similarity": similarity,
    "request": request,
    "communities": communities,
    "statistics": statistics,
    "layout": layout,
    "hotspots": hotspots,
}

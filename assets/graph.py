"""Graph assets: similarity network, communities, statistics, layout. Here belong specs and short bodies.

The arithmetic is in `nomade_pipeline.network`.
"""

from datetime import date
from typing import Any, Callable, Iterator

import dagster as dg

from assets.computed import DAILY_FRESHNESS, ONCE_A_DAY, QUARTER_HOURLY, computed_spec, picture
from assets.raw import raw_key
from nomade_pipeline.network.community_day import communities_of_day
from nomade_pipeline.network.day import similarity_of_day
from nomade_pipeline.network.hotspot_day import hotspots_of_day
from nomade_pipeline.network.layout_day import layout_of_day
from nomade_pipeline.network.live import live_of_day
from nomade_pipeline.network.pictures import PICTURES
from nomade_pipeline.network.request import request_edges_of_day
from nomade_pipeline.network.statistics_day import statistics_of_day
from nomade_pipeline.resources import BACKFILL, IO_RETRY, NomadeResource
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.graph import REQUEST_EDGES, SIMILARITY_EDGES, SIMILARITY_LIVE
from nomade_pipeline.tables.network import COMMUNITIES, GRAPH_HOTSPOTS, GRAPH_LAYOUT, GRAPH_STATISTICS
from nomade_pipeline.tables.nodes import JOB_MONITOR
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB

_FEATURES, _SIMILARITY = dg.AssetKey(["features", "jobs"]), dg.AssetKey(["graph", "similarity"])
_COMMUNITIES = dg.AssetKey(["graph", "communities"])


def build_network_asset(
    subject: str,
    table: Table,
    compute: Callable[..., dict[str, Any]],
    kinds: set[str],
    source: dg.AssetKey = _SIMILARITY,
) -> dg.AssetsDefinition:
    """Build an asset of a network of jobs, or of what the one of the window that ends with its day says.

    Args:
        subject: second part of its key; also names its picture.
        table: the table that it fills, or the first of several.
        compute: writes the tables of a day and returns figures.
        kinds: what it is computed with.
        source: what it is computed from.
    """

    @dg.multi_asset(
        name=f"graph_{subject}",
        specs=[computed_spec(subject, table, [source], {"parquet", *kinds}, ONCE_A_DAY, DAILY_FRESHNESS)],
        backfill_policy=BACKFILL,
        pool="lake",
        retry_policy=IO_RETRY,
    )
    def network_asset(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
        store, config = nomade.store(), nomade.config()
        figures: dict[str, Any] = {}
        for key in context.partition_keys:
            figures = compute(store, config, date.fromisoformat(key))
        yield dg.MaterializeResult(
            metadata={**figures, **_pictures(nomade, subject, table, context.partition_keys[-1])}
        )

    return network_asset


def _pictures(nomade: NomadeResource, subject: str, table: Table, key: str) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the picture of each cluster that has one on a day."""
    lake, day = nomade.store().lake, date.fromisoformat(key)
    clusters = [cluster for cluster in lake.clusters(table) if lake.has(table, cluster, day)]
    drawn = {cluster: PICTURES[subject](lake, cluster, day) for cluster in clusters}
    return {f"picture_{cluster}": picture(png) for cluster, png in drawn.items() if png is not None}


GRAPH_ASSETS: list[dg.AssetsDefinition] = [
    build_network_asset("similarity", SIMILARITY_EDGES, similarity_of_day, {"numba"}, _FEATURES),
    build_network_asset("request", REQUEST_EDGES, request_edges_of_day, {"numba"}, raw_key(JOB_METRICS)),
    build_network_asset("communities", COMMUNITIES, communities_of_day, {"igraph", "infomap"}),
    build_network_asset("statistics", GRAPH_STATISTICS, statistics_of_day, {"numba"}),
    # Its picture shows the communities.
    build_network_asset("layout", GRAPH_LAYOUT, layout_of_day, {"numba"}, _COMMUNITIES),
    build_network_asset("hotspots", GRAPH_HOTSPOTS, hotspots_of_day, {"numpy"}),
]


@dg.multi_asset(
    name="graph_live",
    specs=[
        computed_spec(
            "live",
            SIMILARITY_LIVE,
            [_SIMILARITY, raw_key(SLURM_JOB), raw_key(JOB_MONITOR)],
            {"parquet", "numba"},
            QUARTER_HOURLY,
        )
    ],
    backfill_policy=BACKFILL,
    pool="lake",
    retry_policy=IO_RETRY,
)
def live_network(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
    """Place the jobs that run now among the ended ones of the newest similarity graph."""
    store, config = nomade.store(), nomade.config()
    figures = [live_of_day(store, config, date.fromisoformat(key)) for key in context.partition_keys]
    yield dg.MaterializeResult(metadata=figures[-1])

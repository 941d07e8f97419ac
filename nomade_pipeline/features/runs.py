"""Which job ran on which host, and when."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Iterable

from nomade_pipeline.collectors.slurm_values import expand_hostlist
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.nodes import NODE_STATE

if TYPE_CHECKING:
    import polars


def node_hosts(lake: Lake, cluster: str, days: Iterable[date]) -> polars.DataFrame:
    """Return which host each node was on, and since when: ``node``, ``host``, ``since``, ``shared``, by node and time.

    Args:
        lake: where node_state lies.
        cluster: whose nodes.
        days: the UTC days that are looked at. Before the first reading a node was where it was then.
    """
    import polars as pl

    names = ("node", "node_host", "sample_time")
    rows = pl.concat([lake.read_day(NODE_STATE, cluster, day, columns=names) for day in days])
    rows = rows.drop_nulls("node_host").sort("node", "sample_time")
    moved = pl.col("node_host").ne_missing(pl.col("node_host").shift(1).over("node"))
    first = pl.int_range(pl.len()).over("node") == 0
    shared = pl.col("node").n_unique().over("node_host") > 1
    since = pl.when(first).then(pl.lit(0).cast(pl.Datetime("ms", "UTC"))).otherwise("sample_time")
    return rows.with_columns(shared=shared, since=since).filter(moved).select(
        "node", "since", "shared", host="node_host"
    )  # fmt: skip


def hosts_of_runs(jobs: polars.DataFrame, nodes: polars.DataFrame) -> polars.DataFrame:
    """Return the hosts of each job: ``row`` (of the job in the frame), ``host``, ``shared`` (null: not known), sorted.

    A node that node_state does not know is taken for the host of its name. A list of nodes that cannot be read names
    none. A job on two nodes of one host is one run on it.

    Args:
        jobs: ``node_list`` and ``end_time`` of jobs.
        nodes: as `node_hosts` returns them.
    """
    import polars as pl

    lists = jobs["node_list"].unique().drop_nulls()
    expanded = pl.DataFrame(
        {"node_list": lists, "node": [_nodes(text) for text in lists]},
        schema={"node_list": pl.String, "node": pl.List(pl.String)},
    )
    runs = jobs.select("node_list", "end_time").with_row_index("row").join(expanded, on="node_list")
    runs = runs.explode("node").drop_nulls("node").sort("end_time")
    placed = runs.join_asof(
        nodes.sort("since"), left_on="end_time", right_on="since", by="node", check_sortedness=False
    )
    return (
        placed.with_columns(host=pl.coalesce("host", "node"))
        .group_by("row", "host")
        .agg(pl.col("shared").any(ignore_nulls=False))
        .sort("host", "row")
    )


def _nodes(text: str) -> list[str]:
    if "[" not in text and "," not in text:
        return [text]
    try:
        return expand_hostlist(text)
    except ValueError:
        return []

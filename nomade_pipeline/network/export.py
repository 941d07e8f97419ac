"""The similarity graph as other programs read it: node-link JSON for pages, GraphML and GEXF for Gephi and others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from nomade_pipeline.network.stored import StoredGraph
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES

if TYPE_CHECKING:
    import networkx

# XML 1.0 has no way to write these, escaped or not.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_POSITION = ("x", "y", "z")


def nodes_of(graph: StoredGraph) -> list[dict[str, Any]]:
    """Return a row a node, in their order.

    ``node``, ``jobs`` (their number), ``job_ids``, ``users``, ``partitions`` (the different ones), ``failure_class``
    (the most frequent one, in words), ``community``, and ``x``, ``y``, ``z``; null where it is not known.
    """
    import polars as pl

    by_node = graph.jobs.drop_nulls("node").group_by("node").agg(
        pl.len().alias("jobs"),
        pl.col("job_id").fill_null(pl.col("job_id_raw")).alias("job_ids"),
        pl.col("user").drop_nulls().unique().sort().alias("users"),
        pl.col("partition").drop_nulls().unique().sort().alias("partitions"),
        pl.col("failure_class").drop_nulls().mode().sort().first(),
        pl.col("community").first(),
    )  # fmt: skip
    placed = graph.layout.select("node", *_POSITION)
    return [_named(row) for row in by_node.join(placed, on="node", how="left").sort("node").iter_rows(named=True)]


def _named(row: dict[str, Any]) -> dict[str, Any]:
    code = row["failure_class"]
    return {**row, "failure_class": None if code is None else OUTCOME_CLASSES[code]}


def node_link(graph: StoredGraph) -> dict[str, Any]:
    """Return the graph as one JSON value: what it is, nodes and links, as D3 and networkx have it."""
    edges = graph.edges
    rows = zip(edges.first.tolist(), edges.second.tolist(), edges.weight.tolist(), strict=True)
    return {
        "directed": False,
        "multigraph": False,
        "graph": _about(graph),
        "nodes": [{"id": row.pop("node"), **row} for row in nodes_of(graph)],
        "links": [{"source": first, "target": second, "weight": round(weight, 6)} for first, second, weight in rows],
    }


def _about(graph: StoredGraph) -> dict[str, Any]:
    window = graph.window
    return {
        "cluster": graph.cluster,
        "date": graph.day.isoformat(),
        **{name: window[name] for name in ("jobs", "nodes", "edges", "hidden_edges", "threshold", "neighbours")},
        "circular": window["circular"],
    }


def networkx_graph(graph: StoredGraph) -> networkx.Graph[int]:
    """Return the graph for networkx; attributes that are null are left out, lists are joined by commas."""
    import networkx as nx

    made: networkx.Graph[int] = nx.Graph(**{name: _plain(value) for name, value in _about(graph).items()})
    for row in nodes_of(graph):
        node = row.pop("node")
        made.add_node(node, **{name: _plain(value) for name, value in row.items() if value is not None})
    edges = graph.edges
    made.add_weighted_edges_from(
        zip(edges.first.tolist(), edges.second.tolist(), map(float, edges.weight), strict=True)
    )
    return made


def _plain(value: Any) -> Any:
    """Return a value that XML can hold; what it cannot stands as an escape."""
    if isinstance(value, list):
        return _plain(",".join(map(str, value)))
    if isinstance(value, str):
        return _NO_XML.sub(lambda found: f"\\x{ord(found.group()):02x}", value)
    return value


def _json(graph: StoredGraph) -> str:
    return json.dumps(node_link(graph), indent=1)


def _graphml(graph: StoredGraph) -> str:
    import networkx as nx

    return "\n".join(nx.generate_graphml(networkx_graph(graph)))


def _gexf(graph: StoredGraph) -> str:
    import networkx as nx

    text = "\n".join(nx.generate_gexf(networkx_graph(graph)))
    # networkx writes today's date, so that the same graph would give another file tomorrow.
    return re.sub(r'lastmodifieddate="[^"]*"', f'lastmodifieddate="{graph.day}"', text, count=1)


FORMATS: dict[str, Callable[[StoredGraph], str]] = {".json": _json, ".graphml": _graphml, ".gexf": _gexf}


def export(graph: StoredGraph, path: Path) -> None:
    """Write a graph to a file in the format of its suffix, one of `FORMATS`.

    Raises:
        KeyError: there is no such format.
        OSError: the file cannot be written.
    """
    text = FORMATS[path.suffix.lower()](graph)
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

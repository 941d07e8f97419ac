"""The network as other programs read it, whatever stands in the names of its jobs."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import networkx as nx
import polars as pl
import pytest
from support.features import CLUSTER, DAY, features_of, store_with

from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.day import similarity_of_day
from nomade_pipeline.network.export import FORMATS, export, networkx_graph, node_link
from nomade_pipeline.network.stored import StoredGraph, stored_graph
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.network import COMMUNITY_JOBS, GRAPH_LAYOUT

HOSTILE = ["</node>&\"'<x>", "\x00\x08\x1b[31m", "Ünï ☃ 😀", "]]>", "line\nbreak\r\ttab", "\ufffe\x85", "a,b"]


@pytest.fixture
def graph(tmp_path) -> StoredGraph:
    frame = features_of(28).with_columns(user=pl.Series([HOSTILE[n % len(HOSTILE)] for n in range(28)]))
    twin = frame[3:4].with_columns(job_id_raw=pl.lit("2000"), job_id=pl.lit("2000_<1>"))
    store = store_with(tmp_path, pl.concat([frame, twin]))
    similarity_of_day(store, Config(), DAY)
    return stored_graph(store.lake, Config(), CLUSTER, DAY)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_read_back_with_all_nodes_and_edges_and_is_the_same_when_written_again(suffix, graph, tmp_path):
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for path in paths:
        export(graph, path)
    readers = {
        ".graphml": lambda path: nx.read_graphml(path, node_type=int),
        ".gexf": lambda path: nx.read_gexf(path, node_type=int),
        ".json": lambda path: nx.node_link_graph(json.loads(path.read_text()), edges="links"),
    }
    back = readers[suffix](paths[0])
    wanted = {
        (min(a, b), max(a, b)) for a, b in zip(graph.edges.first.tolist(), graph.edges.second.tolist(), strict=True)
    }
    assert {(min(a, b), max(a, b)) for a, b in back.edges} == wanted
    assert set(back.nodes) == set(range(graph.edges.nodes))
    assert back.nodes[3]["jobs"] == 2
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_names_come_back_as_they_were_but_for_what_xml_cannot_hold(graph, tmp_path):
    for suffix in (".graphml", ".gexf"):
        export(graph, tmp_path / f"file{suffix}")
        ElementTree.parse(tmp_path / f"file{suffix}")
    back = nx.read_graphml(tmp_path / "file.graphml", node_type=int)
    assert back.nodes[0]["users"] == HOSTILE[0]
    assert back.nodes[1]["users"] == "\\x00\\x08\\x1b[31m"
    assert back.nodes[2]["users"] == HOSTILE[2]
    assert node_link(graph)["nodes"][1]["users"] == [HOSTILE[1]]


def test_class_community_and_position_are_there_when_they_are_known(graph, tmp_path):
    bare = networkx_graph(graph).nodes[0]
    assert bare["failure_class"] == "FAILED"
    assert "community" not in bare
    assert "x" not in bare
    from nomade_pipeline.store.home import Store

    lake = Store.at(tmp_path).lake
    places = pl.DataFrame(
        [{"cluster": CLUSTER, "node": node, "jobs": 1, "x": 1.0, "y": 2.0, "z": 3.0} for node in range(28)]
    ).with_columns(sample_time=pl.lit(graph.window["sample_time"]), **{f"pca_{a}": pl.lit(0.0) for a in "xyz"})
    lake.replace(GRAPH_LAYOUT, CLUSTER, DAY, conform(places, GRAPH_LAYOUT))
    homes = graph.jobs.select("cluster", "job_id_raw", "submit_time", "node", community=pl.lit(5)).with_columns(
        sample_time=pl.lit(graph.window["sample_time"])
    )
    lake.replace(COMMUNITY_JOBS, CLUSTER, DAY, conform(homes, COMMUNITY_JOBS))
    placed = node_link(stored_graph(lake, Config(), CLUSTER, DAY))["nodes"][0]
    assert (placed["x"], placed["y"], placed["z"], placed["community"]) == (1.0, 2.0, 3.0, 5)

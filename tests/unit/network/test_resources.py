"""The bipartite graph of jobs and what they use."""

from __future__ import annotations

import polars as pl
import pytest

from nomade_pipeline.network.resources import LOCAL_FILES, NETWORK_FILES, resources_of


def links(partition: str | None, node_list: str | None, nfs_ratio: float | None) -> dict[str, float]:
    """Return what two equal jobs use, by name of the resource."""
    schema = {"partition": pl.String, "node_list": pl.String, "nfs_ratio": pl.Float64}
    found = resources_of(pl.DataFrame([(partition, node_list, nfs_ratio)] * 2, schema=schema, orient="row"))
    assert found.group.tolist() == [0, 0]
    names = [found.names[number][1] for number in found.incidence.resource]
    return dict(zip(names, found.incidence.weight.tolist(), strict=True))


def test_a_job_gives_one_to_its_partition_to_its_nodes_and_to_file_systems() -> None:
    assert links("gpu", "n[1-2]", 0.25) == pytest.approx(
        {"gpu": 2.0, "n1": 1.0, "n2": 1.0, NETWORK_FILES: 0.4, LOCAL_FILES: 1.6}
    )


def test_what_is_not_told_is_no_resource() -> None:
    assert links(None, None, None) == {}
    assert links("batch", "n[1-", None) == {"batch": 2.0}


def test_nodes_with_the_numbers_of_their_cores_are_nodes() -> None:
    assert links(None, "c4/0-9,12+c5/0,c6/1-3", None) == pytest.approx({"c4": 2 / 3, "c5": 2 / 3, "c6": 2 / 3})


def test_jobs_that_use_the_same_are_one_group() -> None:
    jobs = pl.DataFrame({"partition": ["a", "b", "a"], "node_list": ["n1"] * 3, "nfs_ratio": [0.51, 0.5, 0.49]})
    assert len(set(resources_of(jobs).group.tolist())) == 2

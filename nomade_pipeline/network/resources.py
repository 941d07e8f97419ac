"""The bipartite graph of jobs and what they use: partitions, nodes and file systems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.collectors.slurm_values import expand_hostlist
from nomade_pipeline.network.communities import Incidence

if TYPE_CHECKING:
    import polars

PARTITION, NODE, FILE_SYSTEM = "partition", "node", "file system"
NETWORK_FILES, LOCAL_FILES = "network file systems", "local file systems"
# Shares of file systems are told apart to this many digits, so that jobs that use the same are one group.
DIGITS = 1


@dataclass(frozen=True)
class Resources:
    """What the jobs of a window use.

    Attributes:
        incidence: groups of jobs that use the same, and the resources.
        group: group of each job.
        names: kind and name of each resource.
    """

    incidence: Incidence
    group: Integers
    names: list[tuple[str, str]]


def resources_of(jobs: polars.DataFrame) -> Resources:
    """Return the bipartite graph of jobs.

    Each job has a weight of 1 for its partition, 1 for its nodes together and 1 for file systems, by the shares of
    what it wrote; what the source does not tell has none.

    Args:
        jobs: rows of `job_features`.
    """
    import polars as pl

    used = jobs.select("partition", "node_list", pl.col("nfs_ratio").round(DIGITS))
    group = used.select(pl.struct(pl.all()).rank("dense") - 1).to_series().to_numpy().astype(np.int64)
    groups = used.with_columns(group=group).group_by("group").agg(pl.len(), pl.all().first()).sort("group")
    codes: dict[tuple[str, str], int] = {}
    links: list[tuple[int, int, float]] = []
    for row in groups.iter_rows(named=True):
        parts = [(PARTITION, row["partition"], 1.0)] if row["partition"] else []
        nodes = _nodes(row["node_list"])
        parts += [(NODE, name, 1 / len(nodes)) for name in nodes]
        if row["nfs_ratio"] is not None:
            shares = ((NETWORK_FILES, row["nfs_ratio"]), (LOCAL_FILES, 1 - row["nfs_ratio"]))
            parts += [(FILE_SYSTEM, name, share) for name, share in shares if share > 0]
        links += [
            (row["group"], codes.setdefault((kind, name), len(codes)), share * row["len"])
            for kind, name, share in parts
        ]
    columns = np.array(links, dtype=float).reshape(-1, 3)
    ends = columns[:, 0].astype(np.int64), columns[:, 1].astype(np.int64)
    return Resources(Incidence(*ends, columns[:, 2], groups.height, len(codes)), group, list(codes))


def _nodes(text: str | None) -> list[str]:
    """Return the nodes of a list; none when it is broken, as of a node that is not told."""
    try:
        return expand_hostlist(text)
    except ValueError:
        return []

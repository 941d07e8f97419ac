"""Communities of jobs: by how they behave (Leiden on the similarity graph) and by what they use (Infomap).

"Data space": jobs that behave alike. "Real space": jobs that share nodes, file systems and partitions, found on the
bipartite graph of jobs and resources as Vilhena and Antonelli (2015) find regions from species and places.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from typing import Iterator

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.network.edges import EdgeList

SEED = 20261124
# Of modularity. At 1, the textbooks' value, Leiden cuts large profiles of a graph of nearest neighbours in pieces (AMI
# .88 at 40,000 planted jobs); from 0.3 down to 0.1 it finds them (.99-1.00); below, small ones are merged.
RESOLUTION = 0.3
# Passes of Leiden over the graph; more change nothing in the planted jobs.
PASSES = 2
# Fewer jobs are no community: they stand apart.
LEAST_JOBS = 10
APART = -1
# Share of a job's edges that leave its community from which on it is in transition.
TRANSITION_SHARE = 1 / 3


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let igraph draw from a generator of our own."""
    import igraph

    igraph.set_random_number_generator(random.Random(seed))  # noqa: S311 - no secret
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def data_space(edges: EdgeList, jobs: Integers, seed: int = SEED, resolution: float = RESOLUTION) -> Integers:
    """Return the community of each node of the similarity graph, by Leiden's method on modularity.

    A node counts once, however many equal jobs it stands for, or one large array would decide what the communities
    are; their sizes are in jobs.

    Args:
        edges: the similarity graph; weight = cosine.
        jobs: jobs of each node.
        seed: of igraph's random numbers.
        resolution: larger values give more and smaller communities.

    Returns:
        Numbers from 0, the largest community first; `APART` where it has fewer than `LEAST_JOBS` jobs.
    """
    import igraph

    if not edges.nodes:
        return np.zeros(0, np.int64)
    place = _near_each_other(edges)
    ends = np.column_stack([place[edges.first], place[edges.second]])
    graph = igraph.Graph(n=edges.nodes, edges=ends)
    with _seeded(seed):
        found = graph.community_leiden(
            objective_function="modularity",
            weights=edges.weight.astype(float).tolist(),
            resolution=resolution,
            n_iterations=PASSES,
        )
    return by_size(np.asarray(found.membership, np.int64)[place], jobs)


def _near_each_other(edges: EdgeList) -> Integers:
    """Return a place for each node, so that neighbours lie near each other in memory: a quarter less time."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    place = np.empty(edges.nodes, np.int64)
    place[reverse_cuthill_mckee(edges.csr(), symmetric_mode=True)] = np.arange(edges.nodes)
    return place


def by_size(labels: Integers, jobs: Integers) -> Integers:
    """Number communities from 0, the largest first, of equal ones the one whose first node comes first."""
    numbers, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    sizes = np.bincount(codes, jobs, minlength=len(numbers))
    rank = np.empty(len(numbers), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(numbers))
    return np.where(sizes[codes] >= LEAST_JOBS, rank[codes], APART)


@dataclass(frozen=True)
class Incidence:
    """The bipartite graph of groups of jobs and resources, one link a row.

    Attributes:
        group: of each link, the number of its group: jobs that use the same.
        resource: number of its resource.
        weight: what the jobs of the group link it with, all together; a job gives 1 to its partition, 1 to its nodes
            and 1 to file systems, by the shares of what it wrote.
        groups, resources: how many there are.
    """

    group: Integers
    resource: Integers
    weight: Floats
    groups: int
    resources: int


def real_space(incidence: Incidence, seed: int = SEED) -> tuple[Integers, Integers]:
    """Return the communities of groups and of resources, by Infomap on the bipartite graph; numbers from 0."""
    from infomap import Infomap

    if not len(incidence.group):
        return np.full(incidence.groups, APART), np.full(incidence.resources, APART)
    infomap = Infomap(silent=True, two_level=True, seed=seed, num_trials=1)
    infomap.bipartite_start_id = incidence.groups
    links = np.column_stack([incidence.group, incidence.groups + incidence.resource]).tolist()
    for (group, resource), weight in zip(links, incidence.weight.tolist(), strict=True):
        infomap.add_link(group, resource, weight)
    result = infomap.run()
    modules = np.full(incidence.groups + incidence.resources, APART)
    for number, module in result.modules().items():
        modules[number] = module - 1
    return modules[: incidence.groups], modules[incidence.groups :]


def agreement(first: Integers, second: Integers) -> float | None:
    """Return the adjusted mutual information of two partitions of jobs; None below two jobs that are in both.

    1: the same; 0: as much as by chance (Vinh, Epps and Bailey 2010).
    """
    from sklearn.metrics import adjusted_mutual_info_score

    both = (first != APART) & (second != APART)
    if both.sum() < 2:
        return None
    return float(adjusted_mutual_info_score(first[both], second[both]))


@dataclass(frozen=True)
class Membership:
    """How firmly things belong to their communities.

    Attributes:
        own_share: share of the weight of a thing's edges that stays in its community; NaN without an edge.
        participation: 1 - Σ share², over all communities that its edges lead to (Guimerà and Amaral 2005); 0: one
            only; NaN without an edge.
        second: the other community that most of its edges lead to; `APART` when there is none.
    """

    own_share: Floats
    participation: Floats
    second: Integers

    @property
    def in_transition(self) -> Flags:
        """Which have mixed membership."""
        mixed: Flags = 1 - self.own_share >= TRANSITION_SHARE
        return mixed


def membership_of(weights: Floats, own: Integers) -> Membership:
    """Return memberships.

    Args:
        weights: things × communities, the weight of each thing's edges by the community that they lead to.
        own: community of each thing.
    """
    if not weights.shape[1]:
        nothing = np.full(len(own), np.nan)
        return Membership(nothing, nothing, np.full(len(own), APART))
    total = weights.sum(axis=1)
    share = weights / np.where(total > 0, total, np.nan)[:, None]
    rows, placed = np.arange(len(own)), own >= 0
    others = weights.copy()
    others[rows[placed], own[placed]] = 0
    second = np.where(others.max(axis=1) > 0, others.argmax(axis=1), APART)
    own_share = np.where(placed, share[rows, np.maximum(own, 0)], np.nan)
    return Membership(own_share, 1 - (share**2).sum(axis=1), second)


def edge_weights(edges: EdgeList, labels: Integers) -> Floats:
    """Return nodes × communities: the weight of each node's edges by the community of their other end."""
    from scipy.sparse import csr_array

    members = np.flatnonzero(labels >= 0)
    ones = np.ones(len(members))
    belongs = csr_array((ones, (members, labels[members])), shape=(len(labels), int(labels.max(initial=-1)) + 1))
    weights: Floats = (edges.csr().astype(np.float64) @ belongs).toarray()
    return weights

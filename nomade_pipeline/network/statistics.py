"""Whether failed jobs lie together among all jobs: statistics, each against null models of permuted labels.

Judged are the jobs that succeeded or failed; cancelled ones and those that never ran are left out beforehand. Every
job counts once: a node that stands for several equal jobs counts with each of them.

- ``mntd``: mean distance of a failed job to the nearest other failed one, √(2 - 2 cos) of the exact vectors; 0 where
  the two are one node. ``ses_mntd`` is the same in standard deviations of the null model (Webb 2000).
- ``mpd``: mean distance of all pairs of failed jobs, 1 - cos.
- ``assortativity``: Newman's coefficient by outcome class (Newman 2003).
- ``purity``: share of failed jobs among the neighbours of failed jobs, minus the share among all.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Mapping

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.kernel import Index, unit_vectors
from nomade_pipeline.tables.network import CANNOT_SAY, CLUSTERED, NOT_CLUSTERED, OVERDISPERSED, STATISTICS

DRAWS, ALPHA, SEED = 999, 0.05, 20261124
# Failed and successful jobs that must be there, and that a null model must be able to exchange.
LEAST_JOBS = 10
# Of a node's list of nearest ones: so long that a draw seldom finds no failed job in it (e^-7), within these bounds.
LIST_REACH, LIST_BOUNDS = 7.0, (16, 128)

# The statistic and the null model that decide, declared before anything was looked at.
DECLARED = ("mntd", "user_partition")


@dataclass(frozen=True)
class Judged:
    """The jobs that the statistics speak of.

    Attributes:
        node: node of each job.
        outcome: outcome class of each, 0 for success, else one of the failed classes.
        strata: stratum of each job by null model; labels move within strata only.
    """

    node: Integers
    outcome: Integers
    strata: Mapping[str, Integers]


@dataclass(frozen=True)
class Result:
    """One statistic under one null model.

    Attributes:
        name: one of `STATISTICS`.
        null: name of the null model.
        observed: its value.
        expected: mean under the null model; None where that cannot exchange enough jobs, and so the next four.
        deviation: standard deviation under it.
        low, high: its 2.5 % and 97.5 % quantiles.
        effect: (observed - expected) / deviation; the standardised effect size.
        p: two-sided p of the permutation test.
    """

    name: str
    null: str
    observed: float | None
    expected: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    effect: float | None = None
    p: float | None = None


class Network:
    """The similarity network as the statistics need it.

    Args:
        values: nodes × d normalised vectors.
        edges: the similarity graph.
        judged: the jobs.
    """

    def __init__(self, values: Floats, edges: EdgeList, judged: Judged) -> None:
        self.judged = judged
        self.jobs = np.bincount(judged.node, minlength=edges.nodes).astype(np.int64)
        self.units, directed = unit_vectors(values)
        self._graph = _adjacency(edges, self.jobs)
        self._lists = self._nearest(directed)

    def _nearest(self, directed: Any) -> tuple[Any, Any]:
        """Return the nearest nodes of each node among those with judged jobs, in the numbers of all nodes."""
        rate = max(1e-9, float(np.mean(self.judged.outcome > 0)))
        depth = int(np.clip(np.ceil(LIST_REACH / rate), *LIST_BOUNDS))
        found = Index(self.units, directed & (self.jobs > 0)).nearest(depth, -2.0)
        return found.ids, found.scores

    def draw(self, null: str, draws: int, seed: int) -> Floats:
        """Return the statistics of permuted labels, draws × 4 as in `STATISTICS`; without draws the observed ones.

        Args:
            null: which strata of `Judged`.
            draws: how often the labels are permuted.
            seed: of the random numbers; each draw has its own, so that threads change nothing.
        """
        from nomade_pipeline.network.compiled_draws import draw

        order = np.argsort(self.judged.strata[null], kind="stable")
        sizes = np.unique(self.judged.strata[null], return_counts=True)[1]
        fixed = (
            self.judged.outcome[order].astype(np.int64),
            np.concatenate([[0], np.cumsum(sizes)]),
            self.judged.node[order].astype(np.int64),
            self.jobs,
            self._lists,
            self._graph,
            self.units,
        )
        seeds = np.random.default_rng(seed).integers(0, 2**31, draws) if draws else np.array([-1])
        results = np.empty((len(seeds), len(STATISTICS)))
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:
            parts = np.array_split(np.arange(len(seeds)), threads)
            list(pool.map(lambda part: _fill(draw, seeds, fixed, results, part), parts))
        results[:, STATISTICS.index("purity")] -= float(np.mean(self.judged.outcome > 0))
        return results


def _fill(draw: Any, seeds: Any, fixed: tuple[Any, ...], results: Floats, part: Integers) -> None:
    if len(part):
        draw(seeds[part], *fixed, results[part[0] : part[-1] + 1])


def _adjacency(edges: EdgeList, jobs: Integers) -> tuple[Any, ...]:
    """Return what each node's jobs see, by how much it is seen, and the edges between nodes with judged jobs."""
    kept = (jobs[edges.first] > 0) & (jobs[edges.second] > 0)
    matrix = EdgeList(edges.nodes, edges.first[kept], edges.second[kept], edges.weight[kept]).csr().astype(np.float64)
    several = jobs > 1
    seen = matrix.sum(axis=1) + several
    seeing = matrix @ jobs.astype(float) + np.where(several, jobs, 0)
    return seen, seeing, matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data


def exchangeable(outcome: Integers, strata: Integers) -> int:
    """Return how many failed jobs, or successful ones if these are fewer, lie in strata that hold both."""
    failed = np.bincount(strata, outcome > 0)
    passed = np.bincount(strata, outcome == 0)
    both = (failed > 0) & (passed > 0)
    return int(min(failed[both].sum(), passed[both].sum()))


def measure(network: Network, draws: int = DRAWS, seed: int = SEED) -> list[Result]:
    """Return all statistics under all null models."""
    judged = network.judged
    if min(np.sum(judged.outcome > 0), np.sum(judged.outcome == 0)) < LEAST_JOBS:
        return [Result(name, null, None) for null in judged.strata for name in STATISTICS]
    results = []
    for null, strata in judged.strata.items():
        observed = network.draw(null, 0, seed)[0]
        if exchangeable(judged.outcome, strata) < LEAST_JOBS:
            results += [Result(name, null, _known(observed[i])) for i, name in enumerate(STATISTICS)]
            continue
        drawn = network.draw(null, draws, seed)
        results += [against(name, null, observed[i], drawn[:, i]) for i, name in enumerate(STATISTICS)]
    return results


def against(name: str, null: str, observed: float, drawn: Floats) -> Result:
    """Return a statistic held against its draws; the observed value counts as one of them."""
    if np.isnan(observed) or np.isnan(drawn).any():
        return Result(name, null, _known(observed))
    mean, deviation = float(drawn.mean()), float(drawn.std(ddof=1))
    # Sums in another order differ in their last digits; equal values must count as equal.
    tolerance = 1e-9 * max(1.0, abs(observed))
    below = 1 + int(np.sum(drawn <= observed + tolerance))
    above = 1 + int(np.sum(drawn >= observed - tolerance))
    p = min(1.0, 2 * min(below, above) / (len(drawn) + 1))
    low, high = (float(value) for value in np.quantile(drawn, (0.025, 0.975)))
    effect = float(observed - mean) / deviation if deviation > tolerance else None
    return Result(name, null, float(observed), mean, deviation, low, high, effect, p)


def verdict(results: list[Result]) -> str:
    """Return what the declared statistic under the declared null model says."""
    declared = next(result for result in results if (result.name, result.null) == DECLARED)
    if declared.p is None or declared.effect is None:
        return CANNOT_SAY
    if declared.p > ALPHA:
        return NOT_CLUSTERED
    return CLUSTERED if declared.effect < 0 else OVERDISPERSED


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

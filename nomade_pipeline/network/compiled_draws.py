"""The loops over permuted labels, compiled by numba. Called by `network.statistics` only.

A draw shuffles the outcome classes of the jobs within their strata and computes all statistics of the draw in one
pass. Work is in proportion to the failed jobs, not to all: only their rows of the network are looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nomade_pipeline.network.compiled import compiled
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES

CLASSES = len(OUTCOME_CLASSES)
# Columns of the result.
MNTD, MPD, ASSORTATIVITY, PURITY = range(4)


@compiled()
def shuffle(labels: Any, starts: Any) -> None:
    """Shuffle labels within strata (Fisher and Yates); stratum s is ``starts[s]:starts[s + 1]``."""
    for stratum in range(len(starts) - 1):
        first = starts[stratum]
        for last in range(starts[stratum + 1] - 1, first, -1):
            other = first + np.random.randint(0, last - first + 1)
            labels[last], labels[other] = labels[other], labels[last]


@compiled()
def count(labels: Any, node: Any, counts: Any, failed: Any) -> None:
    """Write how many jobs of each class each node holds, and how many of them failed."""
    counts[:] = 0
    failed[:] = 0
    for job in range(len(labels)):
        counts[node[job], labels[job]] += 1
        if labels[job] > 0:
            failed[node[job]] += 1


@compiled()
def nearest_failed(i: int, failed: Any, holders: Any, ids: Any, scores: Any, units: Any) -> float:
    """Return the cosine of a node with the nearest other node that holds a failed job; -2 when there is none.

    The node's list of nearest ones is walked first; where it holds none, all holders are compared.
    """
    for rank in range(ids.shape[1]):
        other = ids[i, rank]
        if other < 0:
            break
        if failed[other] > 0:
            return float(scores[i, rank])
    best = -2.0
    for other in holders:
        if other != i:
            total = 0.0
            for d in range(units.shape[1]):
                total += units[i, d] * units[other, d]
            best = max(best, total)
    return best


@compiled()
def distances(failed: Any, holders: Any, ids: Any, scores: Any, units: Any) -> tuple[float, float]:
    """Return MNTD (distance √(2 - 2 cos)) and MPD (distance 1 - cos) of the failed jobs; NaN below two of them."""
    total, squares, near = 0.0, 0.0, 0.0
    direction = np.zeros(units.shape[1])
    for i in holders:
        total += failed[i]
        for d in range(units.shape[1]):
            direction[d] += failed[i] * units[i, d]
            squares += failed[i] * units[i, d] * units[i, d]
        if failed[i] == 1:
            near += np.sqrt(max(0.0, 2 - 2 * nearest_failed(i, failed, holders, ids, scores, units)))
    if total < 2:
        return np.nan, np.nan
    return near / total, 1 - ((direction * direction).sum() - squares) / (total * (total - 1))


@compiled()
def mixing(
    counts: Any, failed: Any, holders: Any, jobs: Any, seen: Any, seeing: Any, starts: Any, ends: Any, weights: Any
) -> tuple[float, float]:
    """Return Newman's assortativity by outcome class and the purity of the failed jobs' neighbourhoods.

    Each job of node i sees node j with the weight of their edge, spread over the jobs of j; the other jobs of its own
    node it sees with weight 1. `network.statistics.Network` says what the arguments are.
    """
    rows, columns = np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
    same, among_failed, purity, judged = 0.0, 0.0, 0.0, 0.0
    for i in holders:
        for a in range(1, counts.shape[1]):
            rows[a] += counts[i, a] * seen[i]
            columns[a] += counts[i, a] * seeing[i] / jobs[i]
        to_failed = 0.0
        for edge in range(starts[i], starts[i + 1]):
            j = ends[edge]
            if failed[j] > 0:
                to_failed += weights[edge] * failed[j] / jobs[j]
                for a in range(1, counts.shape[1]):
                    same += weights[edge] * counts[i, a] * counts[j, a] / jobs[j]
        if jobs[i] > 1:
            to_failed += (failed[i] - 1) / (jobs[i] - 1)
            for a in range(1, counts.shape[1]):
                same += counts[i, a] * (counts[i, a] - 1) / (jobs[i] - 1)
        among_failed += failed[i] * to_failed
        if seen[i] > 0:
            judged += failed[i]
            purity += failed[i] * to_failed / seen[i]
    everything = (jobs * seen).sum()
    # What is neither from nor to a failed job runs between successful ones.
    same += everything - rows.sum() - columns.sum() + among_failed
    rows[0], columns[0] = everything - rows.sum(), everything - columns.sum()
    expected = (((rows + columns) / (2 * everything)) ** 2).sum() if everything > 0 else 1.0
    assortativity = (same / everything - expected) / (1 - expected) if expected < 1 else np.nan
    return assortativity, purity / judged if judged > 0 else np.nan


@compiled()
def draw(
    seeds: Any, labels: Any, strata: Any, node: Any, jobs: Any, lists: Any, graph: Any, units: Any, results: Any
) -> None:
    """Write the statistics of draws, one a row of ``results``; a seed below 0 leaves the labels as they are.

    Args:
        seeds: of each draw.
        labels: outcome class of each judged job, stratum by stratum.
        strata: first job of each stratum, and the end.
        node: node of each job.
        jobs: judged jobs of each node.
        lists: numbers and cosines of each node's nearest nodes.
        graph: what each node's jobs see in all, by how much they are seen, and the edges in compressed rows.
        units: vectors of length 1.
        results: draws × 4, columns as `MNTD` and so on.
    """
    counts = np.zeros((len(jobs), CLASSES), np.int32)
    failed = np.zeros(len(jobs), np.int32)
    shuffled = np.empty_like(labels)
    for row in range(len(seeds)):
        shuffled[:] = labels
        if seeds[row] >= 0:
            np.random.seed(seeds[row])
            shuffle(shuffled, strata)
        count(shuffled, node, counts, failed)
        holders = np.flatnonzero(failed)
        results[row, MNTD], results[row, MPD] = distances(failed, holders, lists[0], lists[1], units)
        results[row, ASSORTATIVITY], results[row, PURITY] = mixing(
            counts, failed, holders, jobs, graph[0], graph[1], graph[2], graph[3], graph[4]
        )

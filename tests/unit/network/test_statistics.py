"""Statistics of how failed jobs lie among all, held against their definitions, their exact mean and permuted labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, hypergeom
from support.planted import nearest_edges, outcomes, planted_jobs

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.statistics import (
    ALPHA,
    Judged,
    Network,
    against,
    exchangeable,
    measure,
    verdict,
)
from nomade_pipeline.tables.network import CANNOT_SAY, CLUSTERED, NOT_CLUSTERED, STATISTICS
from nomade_pipeline.tables.outcomes import FAILED, OOM

FREE = "user_partition"


def network(values: Floats, node: Integers, outcome: Integers, strata: Integers | None = None) -> Network:
    strata = np.zeros(len(node), np.int64) if strata is None else strata
    return Network(values, nearest_edges(values), Judged(node, outcome, {FREE: strata}))


def by_definition(values: Floats, edges: EdgeList, node: Integers, outcome: Integers) -> list[float]:
    """Return mntd, mpd, assortativity and purity job by job, without collapsing anything."""
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosine = np.clip(unit[node] @ unit[node].T, -1, 1)
    failed, jobs = outcome > 0, np.bincount(node)
    others = ~np.eye(len(node), dtype=bool)
    pairs = others & failed[:, None] & failed[None, :]
    distance = np.sqrt(np.maximum(0, 2 - 2 * cosine))
    distance[node[:, None] == node[None, :]] = 0
    mntd = np.where(pairs, distance, np.inf).min(axis=1)[failed].mean()
    sees = edges.csr().toarray()[node][:, node] / jobs[node]
    same = others & (node[:, None] == node[None, :])
    sees = sees + np.where(same, 1 / np.maximum(1, jobs[node] - 1), 0)
    classes = np.unique(outcome)
    mixing = np.array([[sees[np.ix_(outcome == a, outcome == b)].sum() for b in classes] for a in classes])
    mixing = (mixing + mixing.T) / (2 * mixing.sum())
    expected = (mixing.sum(axis=1) ** 2).sum()
    seen = sees.sum(axis=1)
    purity = [sees[i, failed].sum() / seen[i] for i in np.flatnonzero(failed & (seen > 0))]
    assortativity = (np.trace(mixing) - expected) / (1 - expected)
    return [mntd, 1 - cosine[pairs].mean(), assortativity, float(np.mean(purity)) - failed.mean()]


@pytest.fixture
def collapsed() -> tuple[Floats, Integers, Integers]:
    """Nodes of which some stand for several jobs, and three outcomes."""
    random = np.random.default_rng(4)
    values = planted_jobs(120, seed=4).vectors.values
    node = np.sort(np.concatenate([np.arange(120), random.integers(0, 40, 80)]))
    return values, node, random.choice([0, 0, 0, FAILED, OOM], 200)


def test_each_statistic_is_that_of_its_definition_and_equal_jobs_count_each(collapsed) -> None:
    values, node, outcome = collapsed
    (observed,) = network(values, node, outcome).draw(FREE, 0, 1)
    assert observed == pytest.approx(by_definition(values, nearest_edges(values), node, outcome), rel=1e-9)


def test_the_mean_of_the_draws_is_the_exact_hypergeometric_one() -> None:
    values, failed, jobs = planted_jobs(150, seed=2).vectors.values, 30, 150
    outcome = np.where(np.arange(jobs) < failed, FAILED, 0)
    drawn = network(values, np.arange(jobs), outcome).draw(FREE, 2000, 5)[:, 0]
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    distance = np.sqrt(np.maximum(0, 2 - 2 * unit @ unit.T))
    np.fill_diagonal(distance, np.inf)
    ranked = np.sort(distance, axis=1)[:, :-1]
    # None of the nearer ones is among the other 29 failed jobs, which lie anywhere among the other 149.
    none_nearer = hypergeom.pmf(0, jobs - 1, failed - 1, np.arange(jobs))
    exact = (ranked * -np.diff(none_nearer)).sum(axis=1).mean()
    assert drawn.mean() == pytest.approx(exact, abs=4 * drawn.std() / np.sqrt(2000))


def test_labels_move_within_their_strata_only() -> None:
    jobs = planted_jobs(300, seed=6)
    outcome = outcomes(jobs, {"gpu": 0.5}, rate=0.0)
    observed, drawn = (
        network(jobs.vectors.values, np.arange(300), outcome, jobs.profile).draw(FREE, n, 3) for n in (0, 50)
    )
    by_class = network(jobs.vectors.values, np.arange(300), outcome, (outcome > 0).astype(np.int64)).draw(FREE, 5, 3)
    assert np.allclose(by_class, network(jobs.vectors.values, np.arange(300), outcome).draw(FREE, 0, 3))
    # Failed jobs stay within the GPU profile, so their mean distance stays near the observed one, far below 1.
    assert abs(drawn[:, 1].mean() - observed[0, 1]) < 0.05
    assert observed[0, 1] < 0.5


def test_draws_are_the_same_in_each_run_and_others_with_another_seed(collapsed) -> None:
    values, node, outcome = collapsed
    first, again, other = (network(values, node, outcome).draw(FREE, 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_failures_of_one_profile_are_clustered() -> None:
    jobs = planted_jobs(1200, seed=3)
    results = measure(network(jobs.vectors.values, np.arange(1200), outcomes(jobs, {"memory": 0.6}, rate=0.02)), 199)
    assert verdict(results) == CLUSTERED
    assert {result.name for result in results} == set(STATISTICS)


def test_permuted_labels_are_not_clustered_but_for_five_per_cent_of_the_seeds() -> None:
    seeds, jobs = 200, planted_jobs(300, seed=9)
    base = outcomes(jobs, {"memory": 0.5}, rate=0.1)
    values = jobs.vectors.values
    own = network(values, np.arange(300), base)
    false = 0
    for seed in range(seeds):
        permuted = np.random.default_rng(seed).permutation(base)
        own.judged = Judged(np.arange(300), permuted, {FREE: np.zeros(300, np.int64)})
        false += verdict(measure(own, 199, seed)) != NOT_CLUSTERED
    assert false <= binom.ppf(0.999, seeds, ALPHA)
    assert false > 0


def test_few_or_unexchangeable_jobs_give_no_verdict() -> None:
    jobs = planted_jobs(100, seed=1)
    few = np.where(np.arange(100) < 5, FAILED, 0)
    assert verdict(measure(network(jobs.vectors.values, np.arange(100), few), 99)) == CANNOT_SAY
    half = np.where(np.arange(100) < 50, FAILED, 0)
    alone = network(jobs.vectors.values, np.arange(100), half, half)
    assert exchangeable(half, half) == 0
    assert verdict(measure(alone, 99)) == CANNOT_SAY
    assert measure(alone, 99)[0].observed is not None


def test_p_is_two_sided_and_counts_the_observed_value() -> None:
    drawn = np.arange(1.0, 100.0)
    assert against("mntd", FREE, 0.0, drawn).p == pytest.approx(0.02)
    assert against("mntd", FREE, 100.0, drawn).p == pytest.approx(0.02)
    assert against("mntd", FREE, 50.0, drawn).p == 1
    constant = against("mntd", FREE, 2.0, np.full(99, 2.0))
    assert (constant.p, constant.effect) == (1, None)

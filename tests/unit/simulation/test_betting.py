"""Evidence from bets: fair without a change, and soon large with one."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstest

from nomade_pipeline.simulation.betting import best_bet, log_evidence, sequential_shares, two_sided

STARTS = np.array([0, 300, 600])


def test_sequential_shares_are_uniform_whatever_the_distribution_and_its_ties() -> None:
    random = np.random.default_rng(1)
    values = np.where(random.random(3000) < 0.4, 0.0, random.lognormal(size=3000))
    shares = sequential_shares(values[:500], values[500:], random)
    assert kstest(shares, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(shares[:-1], shares[1:])[0, 1]) < 0.06


def test_a_larger_value_than_all_before_has_a_share_near_one() -> None:
    random = np.random.default_rng(1)
    assert sequential_shares(np.arange(99.0), np.array([1000.0]), random)[0] > 0.98
    assert sequential_shares(np.empty(0), np.array([1.0]), random)[0] < 1.0


def test_without_a_change_bets_win_a_hundredfold_in_fewer_than_one_of_a_hundred_streams() -> None:
    random = np.random.default_rng(2)
    won = [log_evidence(two_sided(random.random(900)), STARTS).max() > np.log(100) for _ in range(200)]
    assert sum(won) <= 4


def test_a_tenth_of_extreme_jobs_is_found_within_three_hundred() -> None:
    random = np.random.default_rng(3)
    p = random.random(900)
    p[600:] = np.where(random.random(300) < 0.1, p[600:] / 100, p[600:])
    evidence = log_evidence(p[None], STARTS)
    assert evidence[:600].max() < np.log(100) < evidence[600:].max()


def test_the_best_bet_says_since_when_and_which_way() -> None:
    random = np.random.default_rng(4)
    shares = random.random(900)
    shares[300:] = np.where(random.random(600) < 0.3, 1.0 - shares[300:] / 50, shares[300:])
    assert best_bet(two_sided(shares), STARTS) == (0, 300)


def test_a_p_value_of_zero_is_borne() -> None:
    assert np.isfinite(log_evidence(np.zeros((1, 10)), np.array([0]))).all()

"""Hotspots: the planted one is found, and where there is none, none is told."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom
from support.planted import outcomes, planted_jobs

from nomade_pipeline.network.hotspots import FALSE_RATE, find_hotspots
from nomade_pipeline.tables.features import VECTOR


def test_the_planted_hotspot_is_found_with_its_rate() -> None:
    jobs = planted_jobs(1500, seed=1)
    first, *_ = find_hotspots(jobs.raw, outcomes(jobs, {"memory": 0.5}) > 0).found
    assert {VECTOR[each.quantity] for each in first.bins} & {"memory_pressure", "swap_activity", "memory_efficiency"}
    assert first.low < 0.5 < first.high
    assert np.mean(jobs.profile[first.members] == 4) > 0.8


def test_failures_of_a_pair_alone_are_told_as_a_pair() -> None:
    random = np.random.default_rng(2)
    raw = random.uniform(0, 1, (4000, 4))
    failed = random.uniform(size=4000) < np.where((raw[:, 0] > 0.5) == (raw[:, 1] > 0.5), 0.3, 0.02)
    for spot in find_hotspots(raw, failed).found:
        assert sorted(each.quantity for each in spot.bins) == [0, 1]
        assert (spot.bins[0].low >= 0.45) == (spot.bins[1].low >= 0.45)


def test_failures_anywhere_make_no_hotspot_but_in_five_per_cent_of_the_windows() -> None:
    windows, raw = 60, planted_jobs(600, seed=3).raw[:, ::2]
    false = 0
    for seed in range(windows):
        failed = np.random.default_rng(seed).uniform(size=600) < 0.15
        false += bool(find_hotspots(raw, failed).found)
    assert false <= binom.ppf(0.999, windows, FALSE_RATE)


def test_an_atom_is_a_bin_of_its_own_and_nulls_are_in_none() -> None:
    random = np.random.default_rng(0)
    zeros = np.where(random.uniform(size=1000) < 0.6, 0.0, random.uniform(1, 2, 1000))
    zeros[:100] = np.nan
    failed = np.where(zeros == 0, random.uniform(size=1000) < 0.4, random.uniform(size=1000) < 0.02)
    (spot,) = find_hotspots(zeros[:, None], failed).found
    assert (spot.bins[0].low, spot.bins[0].high) == (0, 0)
    assert spot.jobs == np.sum(zeros == 0)


def test_nothing_to_look_at_is_no_error() -> None:
    assert find_hotspots(np.full((30, 2), np.nan), np.zeros(30, bool)).found == []
    assert find_hotspots(np.ones((30, 2)), np.zeros(30, bool)).tested == 0
    assert find_hotspots(np.zeros((0, 2)), np.zeros(0, bool)).tested == 0

"""Intervals of shares and the control of false discoveries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from nomade_pipeline.analysis.proportions import discoveries, wilson


@pytest.mark.parametrize(("hits", "trials"), [(0, 7), (3, 7), (7, 7), (120, 1000)])
def test_the_interval_is_wilsons(hits: int, trials: int) -> None:
    theirs = binomtest(hits, trials).proportion_ci(method="wilson")
    assert [float(end) for end in wilson(hits, trials)] == pytest.approx([theirs.low, theirs.high], abs=1e-9)


def test_without_a_trial_there_is_no_interval() -> None:
    assert np.isnan(wilson(0, 0)).all()


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    p = np.concatenate([[1e-5, 0.001, 0.008, 0.03], np.random.default_rng(1).uniform(size=40)])
    told, adjusted = discoveries(p, 0.05)
    assert adjusted == pytest.approx(false_discovery_control(p))
    assert told.tolist() == (false_discovery_control(p) <= 0.05).tolist()
    assert len(discoveries(np.zeros(0), 0.05)[0]) == 0

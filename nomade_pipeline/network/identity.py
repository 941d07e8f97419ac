"""Numbers of communities that stay the same from one day to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.network.communities import APART

# Communities of two days are the same one when they share at least this part of the jobs that either has.
LEAST_JACCARD = 0.3


@dataclass(frozen=True)
class Identity:
    """Which communities of the day before today's are.

    Attributes:
        numbers: number of each of today's communities; new ones have numbers that were never given before.
        stability: Jaccard index of each with the one of the day before, over the jobs of both windows; NaN where new.
        given: largest number given so far.
    """

    numbers: Integers
    stability: Floats
    given: int


def identify(today: Integers, before: Integers, count: int, given: int) -> Identity:
    """Match today's communities to those of the day before.

    Args:
        today: community of each job that both windows hold, from 0; `APART` for none.
        before: number of the community of each the day before; `APART` for none.
        count: how many communities there are today, those without such a job included.
        given: largest number given until then; 0 for none.
    """
    from scipy.optimize import linear_sum_assignment

    numbers, stability = np.full(count, APART), np.full(count, np.nan)
    old, codes = np.unique(before, return_inverse=True)
    shared = np.zeros((count, len(old)))
    kept = today >= 0
    np.add.at(shared, (today[kept], codes[kept]), 1)
    union = shared.sum(axis=1)[:, None] + np.bincount(codes, minlength=len(old)) - shared
    jaccard = np.where(old != APART, shared / np.maximum(union, 1), 0.0)
    for row, column in zip(*linear_sum_assignment(-jaccard), strict=True):
        if jaccard[row, column] >= LEAST_JACCARD:
            numbers[row], stability[row] = old[column], jaccard[row, column]
    new = np.flatnonzero(numbers == APART)
    numbers[new] = given + 1 + np.arange(len(new))
    return Identity(numbers, stability, given + len(new))

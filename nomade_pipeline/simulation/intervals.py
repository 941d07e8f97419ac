"""Intervals of shares."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

# Two-sided 95 %.
Z = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(hits: int, count: int) -> Estimate:
    """Return the share of hits with Wilson's interval; of nothing it is anywhere between 0 and 1.

    Formula: Wilson, Journal of the American Statistical Association 22, 1927.
    """
    if count == 0:
        return Estimate(float("nan"), 0.0, 1.0)
    share, z2 = hits / count, Z * Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z / (1 + z2 / count) * sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))

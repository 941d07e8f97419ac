"""Shares of counts: how sure they are, and which of many exceed a base rate."""

from __future__ import annotations

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats

# Standard normal quantile of a two-sided 95 % interval.
Z_95 = 1.959963984540054


def wilson(hits: Floats | int, trials: Floats | int) -> tuple[Floats, Floats]:
    """Return the ends of the 95 % interval of a share; NaN where there was no trial.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).

    Args:
        hits: how often it happened; any shape.
        trials: out of how many; the same shape.
    """
    k, n = np.asarray(hits, float), np.asarray(trials, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        share, square = k / n, Z_95**2
        middle = share + square / (2 * n)
        width = Z_95 * np.sqrt(share * (1 - share) / n + square / (4 * n**2))
        low, high = (middle - width) / (1 + square / n), (middle + width) / (1 + square / n)
    return np.maximum(low, 0.0), np.minimum(high, 1.0)


def discoveries(p: Floats, rate: float) -> tuple[Flags, Floats]:
    """Return which of many tests are told at a false discovery rate, and their adjusted p.

    Benjamini and Hochberg, "Controlling the false discovery rate" (1995).

    Args:
        p: of each test.
        rate: largest expected share of false ones among those that are told.
    """
    if not len(p):
        return np.zeros(0, bool), np.zeros(0)
    order = np.argsort(p, kind="stable")
    ranked = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(ranked[::-1])[::-1])
    return adjusted <= rate, adjusted

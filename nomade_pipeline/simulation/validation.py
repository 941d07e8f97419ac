"""How well a cloud resembles jobs that it has not seen, each figure beside that of real jobs against real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np

from nomade_pipeline.analysis.proportions import Z_95, discoveries
from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.features.vectors import Scaler
from nomade_pipeline.simulation.intervals import Estimate
from nomade_pipeline.simulation.neighbours import at_most, nearest
from nomade_pipeline.tables.simulation import C2ST, COPIES, CORRELATION, KS

FOLDS = 5
# A false discovery rate of this is borne.
SIGNIFICANT = 0.05
# Rows of each side that the tests look at; beyond, tiny differences become significant and nothing better known.
LARGEST_TEST = 10_000
# Two jobs are copies of each other when no quantity differs by more than about a hundredth of its spread.
COPY_SPREAD = 0.01


@dataclass(frozen=True)
class Figure:
    """One figure of a validation.

    Attributes:
        measure: one of `MEASURES` of the tables of the simulation.
        quantity: of which; empty: of all together.
        estimate: the figure with its 95 % interval; the ends are NaN where none is known.
        floor: the same figure of real jobs against real ones.
        p: probability of such a difference by chance; NaN where it is not tested.
        significant: whether it is one after control of the false discovery rate (Benjamini and Hochberg).
    """

    measure: str
    quantity: str
    estimate: Estimate
    floor: float
    p: float = float("nan")
    significant: bool = False


def validate(cloud: Floats, fitted: Floats, held: Floats, scaler: Scaler, seed: int) -> list[Figure]:
    """Return all figures.

    Args:
        cloud: n × d, jobs of the cloud in their units; NaN is null.
        fitted: m × d, what it was fitted to.
        held: k × d, real jobs that it has not seen.
        scaler: of the window.
        seed: of the classifier and of the rows that are looked at.
    """
    cloud, fitted, held = (at_most(rows, LARGEST_TEST, seed) for rows in (cloud, fitted, held))
    size = min(len(cloud), len(fitted))
    own, real = cloud[:size], fitted[:size]
    score, floor = two_sample_auc(own, held, seed), two_sample_auc(real, held, seed)
    return [
        Figure(C2ST, "", score, floor.value),
        Figure(CORRELATION, "", Estimate(correlation_gap(own, held)), correlation_gap(real, held)),
        Figure(COPIES, "", Estimate(copies(own, fitted, scaler)), copies(held, fitted, scaler)),
        *_by_quantity(own, real, held, scaler.dimensions),
    ]


def two_sample_auc(first: Floats, second: Floats, seed: int) -> Estimate:
    """Return the cross-validated AUC of a classifier that is to tell two samples (n × d, m × d) apart.

    0.5: it cannot (classifier two-sample test, Lopez-Paz and Oquab, ICLR 2017). The interval is DeLong's (Biometrics
    44, 1988) on the scores of rows that the classifier has not seen.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = np.concatenate([first, second])
    truth = np.repeat([0, 1], [len(first), len(second)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = HistGradientBoostingClassifier(random_state=seed)
    scores = cross_val_predict(model, rows, truth, cv=folds, method="predict_proba")[:, 1]
    return auc(scores[truth == 0], scores[truth == 1])


def auc(low: Floats, high: Floats) -> Estimate:
    """Return the probability that a score of ``high`` is above one of ``low``, ties half, with DeLong's interval."""
    above = _share_below(high, low)
    below = 1.0 - _share_below(low, high)
    value = float(above.mean())
    half = Z_95 * float(np.sqrt(above.var(ddof=1) / len(high) + below.var(ddof=1) / len(low)))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def _share_below(scores: Floats, others: Floats) -> Floats:
    """Return for each score the share of others below it, ties half."""
    ordered = np.sort(others)
    left, right = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    share: Floats = (left + right) / (2.0 * len(others))
    return share


def correlation_gap(first: Floats, second: Floats) -> float:
    """Return the root mean square difference of Spearman's correlations over all pairs of quantities; NaN: none."""
    gap = spearman(first) - spearman(second)
    above = gap[np.triu_indices(len(gap), 1)]
    known = above[~np.isnan(above)]
    return float(np.sqrt((known**2).mean())) if len(known) else float("nan")


def spearman(rows: Floats) -> Floats:
    """Return the rank correlations (d × d) over the jobs that have both quantities; NaN where it says nothing."""
    from scipy.stats import rankdata

    ranks = rankdata(rows, axis=0, nan_policy="omit")
    known = (~np.isnan(ranks)).astype(float)
    values = np.nan_to_num(ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs, sums = known.T @ known, values.T @ known
        squares = (values**2).T @ known - sums**2 / pairs
        correlation: Floats = (values.T @ values - sums * sums.T / pairs) / np.sqrt(squares * squares.T)
    return correlation


def copies(rows: Floats, of: Floats, scaler: Scaler) -> float:
    """Return the share of jobs (n × d) that are (nearly) copies of one of others (m × d)."""
    near = COPY_SPREAD * np.sqrt(len(scaler.dimensions))
    distances = nearest(scaler.apply(rows)[0], scaler.apply(of)[0], 1)[0]
    return float((distances[:, 0] <= near).mean())


def _by_quantity(own: Floats, real: Floats, held: Floats, names: Sequence[str]) -> list[Figure]:
    """Return the largest difference of the distributions of each quantity (Kolmogorov and Smirnov)."""
    found = []
    for column, name in enumerate(names):
        (value, p), (floor, _) = (_ks(rows[:, column], held[:, column]) for rows in (own, real))
        if not np.isnan(p):
            found.append(Figure(KS, name, Estimate(value), floor, p))
    told, _ = discoveries(np.array([each.p for each in found]), SIGNIFICANT)
    return [replace(each, significant=bool(is_told)) for each, is_told in zip(found, told, strict=True)]


def _ks(first: Floats, second: Floats) -> tuple[float, float]:
    """Return statistic and p-value over the measured values; NaN when a side has none."""
    from scipy.stats import ks_2samp

    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if not len(first) or not len(second):
        return float("nan"), float("nan")
    found = ks_2samp(first, second)
    return float(found.statistic), float(found.pvalue)

"""The generative model of one cell of jobs: a general location model on normal scores.

Which quantities are null or lie on an atom is one pattern, drawn as often as it was seen. Given the pattern the smooth
quantities have a Gaussian copula whose mean depends linearly on the pattern (Olkin and Tate, Annals of Mathematical
Statistics 32, 1961): a job that swaps may be one that also waits for disks. Ridge and shrinkage keep small cells sane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.simulation.marginals import SMOOTH, Marginal

# Jobs that a coefficient or a correlation must be worth: the ridge, and the weight of "no correlation".
PRIOR_JOBS = 5.0
LEAST_PAIRS = 10
LEAST_EIGENVALUE = 1e-4


@dataclass(frozen=True)
class Cell:
    """One cell; d quantities, p patterns.

    Attributes:
        jobs: how many it was fitted to.
        marginals: of each quantity.
        patterns: p × d, states of the quantities (see `marginals`).
        counts: how many jobs had each pattern; of p.
        shift: p × d, mean of the normal scores given the pattern.
        factor: d × d, Cholesky factor of the covariance of the rest.
    """

    jobs: int
    marginals: tuple[Marginal, ...]
    patterns: Integers
    counts: Integers
    shift: Floats
    factor: Floats

    @classmethod
    def fit(cls, values: Floats) -> Cell:
        """Return the model of jobs (n × d, transformed; NaN is null)."""
        columns = values.T
        marginals = tuple(Marginal.fit(column[~np.isnan(column)]) for column in columns)
        states = np.stack([m.states(column) for m, column in zip(marginals, columns, strict=True)], axis=1)
        scores = np.where(states == SMOOTH, values, np.nan)
        scores = np.stack([normal_scores(column) for column in scores.T], axis=1)
        patterns, which, counts = np.unique(states, axis=0, return_inverse=True, return_counts=True)
        shift = _shift(patterns, which.ravel(), counts, scores)
        return cls(len(values), marginals, patterns, counts, shift, _factor(scores - shift[which.ravel()]))

    def sample(self, count: int, random: np.random.Generator) -> Floats:
        """Draw jobs (count × d, transformed; NaN is null), as evenly spread as the cell's own jobs.

        Patterns are drawn systematically, quantiles by the ranks of the scores (Latin hypercube sampling with
        dependence: Packham and Schmidt, Journal of Computational Finance 13, 2010): independent draws from
        frequencies would add noise that real jobs do not have.
        """
        which = _systematic(self.counts, count, random)
        scores = self.shift[which] + random.standard_normal((count, len(self.marginals))) @ self.factor.T
        states, found = self.patterns[which], np.empty_like(scores)
        for column, marginal in enumerate(self.marginals):
            shares = _evenly(np.where(states[:, column] == SMOOTH, scores[:, column], np.nan), random)
            found[:, column] = marginal.values(states[:, column], shares)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        plain = {name: getattr(self, name).tolist() for name in ("patterns", "counts", "shift", "factor")}
        return {"jobs": self.jobs, "marginals": [marginal.as_dict() for marginal in self.marginals], **plain}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Cell:
        """Return the cell that `as_dict` described."""
        patterns, counts = (np.array(plain[name], np.int64) for name in ("patterns", "counts"))
        shift, factor = (np.array(plain[name], float) for name in ("shift", "factor"))
        return cls(plain["jobs"], tuple(map(Marginal.from_dict, plain["marginals"])), patterns, counts, shift, factor)


def _systematic(counts: Integers, count: int, random: np.random.Generator) -> Integers:
    """Return ``count`` numbers in random order, each as often as its share of counts says, to within one."""
    places = (np.arange(count) + random.random()) * (counts.sum() / max(count, 1))
    return random.permutation(np.searchsorted(np.cumsum(counts), places, side="right"))


def _evenly(scores: Floats, random: np.random.Generator) -> Floats:
    """Return shares in [0, 1) in the order of scores (n), one in each n-th; NaN stays NaN."""
    found = np.full(len(scores), np.nan)
    order = np.argsort(scores)[: np.count_nonzero(~np.isnan(scores))]
    found[order] = (np.arange(len(order)) + random.random(len(order))) / max(len(order), 1)
    return found


def normal_scores(values: Floats) -> Floats:
    """Return the normal quantiles of the ranks of values without ties (n); NaN stays NaN."""
    from scipy.special import ndtri

    found = np.full(len(values), np.nan)
    order = np.argsort(values)[: np.count_nonzero(~np.isnan(values))]
    found[order] = ndtri((np.arange(len(order)) + 0.5) / max(len(order), 1))
    return found


def _shift(patterns: Integers, which: Integers, counts: Integers, scores: Floats) -> Floats:
    """Return the mean score given each pattern (p × d): ridge regression on indicators of its states."""
    indicators = _indicators(patterns, counts)
    shift = np.zeros((len(patterns), scores.shape[1]))
    for column, values in enumerate(scores.T):
        known = ~np.isnan(values)
        if known.sum() < LEAST_PAIRS:
            continue
        design = indicators[which[known]]
        centre = design.mean(axis=0)
        design = design - centre
        gram = design.T @ design + PRIOR_JOBS * np.eye(design.shape[1])
        shift[:, column] = (indicators - centre) @ np.linalg.solve(gram, design.T @ values[known])
    return shift


def _indicators(patterns: Integers, counts: Integers) -> Floats:
    """Return which states each pattern has (p × q), of the states that some jobs have and others do not."""
    columns = [
        patterns[:, j] == state for j in range(patterns.shape[1]) for state in np.unique(patterns[:, j]) if state
    ]
    seen = [column.astype(float) for column in columns if 0 < counts[column].sum() < counts.sum()]
    return np.stack(seen, axis=1) if seen else np.zeros((len(patterns), 0))


def _factor(residual: Floats) -> Floats:
    """Return the Cholesky factor (d × d) of the covariance of residuals (n × d), over the pairs that are known."""
    known: Flags = ~np.isnan(residual)
    values, pairs = np.where(known, residual, 0.0), known.T.astype(float) @ known
    single = np.maximum(np.diag(pairs), 1.0)
    spread = np.where(np.diag(pairs) > 1, np.sqrt((values**2).sum(axis=0) / single), 1.0)
    spread = np.maximum(spread, LEAST_EIGENVALUE)
    scaled = values / spread
    correlation = np.where(pairs >= LEAST_PAIRS, scaled.T @ scaled / (pairs + PRIOR_JOBS), 0.0)
    np.fill_diagonal(correlation, 1.0)
    factor: Floats = spread[:, None] * np.linalg.cholesky(_positive(correlation))
    return factor


def _positive(correlation: Floats) -> Floats:
    """Return the correlation matrix with its eigenvalues raised to a least one."""
    roots, vectors = np.linalg.eigh(correlation)
    raised = (vectors * np.maximum(roots, LEAST_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(raised))
    positive: Floats = raised / scale[:, None] / scale
    return positive

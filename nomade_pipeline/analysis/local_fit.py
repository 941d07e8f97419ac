"""A local polynomial for each of many series, with standard errors that autocorrelated noise does not deceive.

Model: a parabola (or a line) in time, with a daily wave where the samples show one, plus noise whose correlation falls
exponentially with the time between two samples (an Ornstein-Uhlenbeck process; white noise and the random walk are its
ends). For each of a few correlations the coefficients come from generalised least squares; the correlations are weighted
by their restricted likelihood (Patterson and Thompson 1971) and averaged over, so that not knowing the correlation widens
the errors (Bayesian model averaging, Hoeting et al. 1999).

Time is centred at the newest sample and scaled by the span, and the basis is Legendre's: the normal equations are well
conditioned, and derivatives of an exact parabola come out to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import legvander

from nomade_pipeline.analysis.series import Flags, Floats

# Correlation of neighbouring samples: from white noise to all but a random walk.
CORRELATIONS = np.array([0.0, 0.4, 0.7, 0.88, 0.96, 0.995])
LEAST_POINTS = 8
POLYNOMIAL = 3
# The daily wave: sine and cosine of one and of two periods a day.
WAVES = 2 * np.pi * np.array([1.0, 2.0])
# It is looked for over so many days with so many samples each, and is there when chance makes it in 1 of 1,000 series.
LEAST_WAVES, LEAST_A_DAY, WAVE_P = 2.0, 6.0, 0.001


@dataclass(frozen=True)
class Fit:
    """The fits of some series (n), for each correlation (k), with p terms: NaN where there are too few samples.

    Attributes:
        span: days that the samples cover; interval: usual days between two.
        freedom: degrees of freedom.
        terms: n x p, which terms the series has.
        weights: n x k, of the correlations; they add up to 1.
        coefficients: n x k x p; covariances: n x k x p x p.
        variance: n x k, of the noise; rest: n x k, what the newest sample has beyond the polynomial.
    """

    span: Floats
    interval: Floats
    freedom: Floats
    terms: Flags
    weights: Floats
    coefficients: Floats
    covariances: Floats
    variance: Floats
    rest: Floats

    def combine(self, factors: Floats) -> tuple[Floats, Floats]:
        """Return estimate and standard error of a linear combination (n x p) of the coefficients."""
        factors = np.where(self.terms, factors, 0.0)
        each = np.einsum("np,nkp->nk", factors, self.coefficients)
        spread = np.einsum("np,nkpq,nq->nk", factors, self.covariances, factors)
        return self._average(each, spread)

    def derivative(self, order: int) -> tuple[Floats, Floats]:
        """Return value (0), first (1) or second (2) derivative a day at the newest sample, with standard error."""
        # Legendre's polynomials and their derivatives at the right end of [-1, 1].
        at_end = ((1.0, 1.0, 1.0), (0.0, 1.0, 3.0), (0.0, 0.0, 3.0))[order]
        factors = np.zeros(self.terms.shape)
        factors[:, :POLYNOMIAL] = np.array(at_end) * ((2.0 / self.span) ** order)[:, None]
        if order == 0:
            factors[:, POLYNOMIAL:] = design(np.zeros((len(self.span), 1)), self.span, self.terms)[:, 0, POLYNOMIAL:]
        return self.combine(factors)

    def predict(self, days: Floats, *, waves: bool = True) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of a new sample so many days after the newest one.

        Args:
            days: one a series, not below 0.
            waves: whether the daily wave counts, or the level without it is meant.
        """
        ahead = design(days[:, None], self.span, self.terms)[:, 0]
        now = design(np.zeros((len(days), 1)), self.span, self.terms)[:, 0]
        if not waves:
            ahead[:, POLYNOMIAL:] = 0.0
        memory = CORRELATIONS ** (days / self.interval)[:, None]
        means = np.einsum("np,nkp->nk", ahead, self.coefficients) + memory * self.rest
        new = ahead[:, None, :] - memory[:, :, None] * now[:, None, :]
        spread = self.variance * (1 - memory**2) + np.einsum("nkp,nkpq,nkq->nk", new, self.covariances, new)
        return self._average(means, spread)

    def _average(self, means: Floats, variances: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the mixture over the correlations."""
        mean = (self.weights * means).sum(axis=1)
        variance = (self.weights * (variances + (means - mean[:, None]) ** 2)).sum(axis=1)
        return mean, np.sqrt(variance)

    def take(self, rows: npt.NDArray[np.intp]) -> Fit:
        """Return the fits of some series."""
        return Fit(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def design(days: Floats, span: Floats, terms: Flags) -> Floats:
    """Return the terms (n x m x p) at days from the newest sample; zero for terms that a series has not."""
    parts = [legvander(1 + 2 * days / span[:, None], POLYNOMIAL - 1)]
    if terms.shape[1] > POLYNOMIAL:
        angles = days[:, :, None] * WAVES
        parts += [np.sin(angles), np.cos(angles)]
    return np.asarray(np.concatenate(parts, axis=2) * terms[:, None, :])


def daily_waves(days: Floats, values: Floats) -> Flags:
    """Return which rows show a daily wave: it explains their residuals (F) over at least two days."""
    from scipy.special import fdtrc

    counts = np.count_nonzero(~np.isnan(days), axis=1)
    span = -np.nanmin(days, axis=1, initial=-1e-9)
    terms = POLYNOMIAL + 2 * len(WAVES)
    possible = (span >= LEAST_WAVES) & (counts >= np.maximum(4 * terms, LEAST_A_DAY * span))
    found = np.zeros(len(days), bool)
    if possible.any():
        x, y, span, counts = days[possible], values[possible], span[possible], counts[possible]
        every = np.ones((len(x), terms), bool)
        basis, y = (np.where(np.isnan(each), 0.0, each) for each in (design(x, span, every), y - y[:, -1:]))
        without, fitted = _square(basis[:, :, :POLYNOMIAL], y), _square(basis, y)
        f = (without - fitted) / (2 * len(WAVES)) / (fitted / (counts - terms) + np.finfo(float).tiny)
        found[possible] = fdtrc(2 * len(WAVES), counts - terms, f) < WAVE_P
    return found


def _square(basis: Floats, values: Floats) -> Floats:
    """Return the residual sum of squares of ordinary least squares."""
    normal, target = basis.transpose(0, 2, 1) @ basis, basis.transpose(0, 2, 1) @ values[:, :, None]
    fitted = basis @ np.linalg.solve(normal, target)
    return np.asarray(((values - fitted[:, :, 0]) ** 2).sum(axis=1))


def fit(days: Floats, values: Floats, terms: Flags) -> Fit:
    """Fit each row.

    Args:
        days: n x m, from the newest sample (0 in the last column) back; NaN before the first one.
        values: n x m.
        terms: n x p, which terms each row has.
    """
    known = ~np.isnan(days)
    counts = known.sum(axis=1)
    enough = counts >= np.maximum(LEAST_POINTS, 2 * terms.sum(axis=1))
    steps = np.diff(days, axis=1, prepend=np.nan)
    span = np.where(enough, -np.nanmin(days, axis=1, initial=0.0), np.nan)
    interval = span / np.maximum(counts - 1, 1)
    basis = np.where(known[:, :, None], design(days, np.where(enough, span, 1.0), terms), 0.0)
    offset = np.where(enough, values[:, -1], 0.0)
    shifted = np.where(known, values - offset[:, None], 0.0)
    rounding = 4 * np.finfo(float).eps * np.nanmax(np.abs(values), axis=1, initial=0.0)
    freedom = np.where(enough, counts - terms.sum(axis=1), np.nan)
    powers = np.where(np.isnan(steps), np.inf, steps / interval[:, None])
    solved = [_solve(basis, shifted, terms, known, rho**powers, freedom, rounding) for rho in CORRELATIONS]
    likelihood, coefficients, covariances, variance, rest = (np.stack(part, axis=1) for part in zip(*solved))
    weights = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    coefficients[:, :, 0] += offset[:, None]
    return Fit(
        span,
        interval,
        freedom,
        terms,
        weights / weights.sum(axis=1, keepdims=True),
        coefficients,
        covariances,
        variance,
        rest,
    )


def _solve(
    basis: Floats, values: Floats, terms: Flags, known: Flags, memory: Floats, freedom: Floats, rounding: Floats
) -> tuple[Floats, ...]:
    """Return restricted log likelihood, coefficients, covariances, variance and rest for one correlation.

    Args:
        memory: n x m, correlation of a sample with the one before; 0 for the first.
        rounding: below what a residual is none.
    """
    memory = np.where(known, memory, 0.0)
    own = 1.0 / np.sqrt(1 - memory**2)
    white, target = _whiten(basis, memory, own), _whiten(values[:, :, None], memory, own)
    normal = white.transpose(0, 2, 1) @ white
    index = np.arange(terms.shape[1])
    normal[:, index, index] += ~terms
    normal[np.isnan(freedom)] = np.eye(len(index))
    inverse = np.linalg.inv(normal)
    coefficients = (inverse @ (white.transpose(0, 2, 1) @ target))[:, :, 0]
    square = ((target[:, :, 0] - (white @ coefficients[:, :, None])[:, :, 0]) ** 2).sum(axis=1)
    variance = np.maximum(square / freedom, rounding**2 + np.finfo(float).tiny)
    determinant = np.linalg.slogdet(normal)[1]
    likelihood = -0.5 * (freedom * np.log(variance) - 2 * np.log(own).sum(axis=1) + determinant)
    rest = values[:, -1] - np.einsum("np,np->n", basis[:, -1], coefficients)
    return likelihood, coefficients, inverse * variance[:, None, None], variance, rest


def _whiten(values: Floats, memory: Floats, own: Floats) -> Floats:
    """Return what each sample says beyond the one before, in units of its standard deviation."""
    white = values.copy()
    white[:, 1:] -= memory[:, 1:, None] * values[:, :-1]
    return np.asarray(white * own[:, :, None])

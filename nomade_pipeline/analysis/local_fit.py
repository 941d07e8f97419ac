"""A local polynomial for each of many series, with standard errors that autocorrelated noise does not deceive.

Model: a parabola (or a line) in time, with a daily wave where the samples show one, plus noise whose correlation falls
exponentially with the time between two samples (an Ornstein-Uhlenbeck process; white noise and the random walk are its
ends), and that may have a part that does not last. For each of a few such noises the coefficients come from generalised
least squares; the noises are weighted by their restricted likelihood (Patterson and Thompson 1971) and averaged over,
so that not knowing the noise widens the errors (Bayesian model averaging, Hoeting et al. 1999).

Time is centred at the newest sample and scaled by the span, and the basis is Legendre's: the normal equations are well
conditioned, and derivatives of an exact parabola come out to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nomade_pipeline.analysis.series import Flags, Floats, Integers

# The noises that are tried, from white noise to all but a random walk. Each is the sum of a lasting one, with this
# correlation between neighbouring samples, and of one that does not last, with a variance of so many times what the
# lasting one adds from a sample to the next.
NOISES = np.array(
    [(0.0, 0.0), (0.6, 0.0)] + [(rho, grain * (1 - rho**2)) for rho in (0.93, 0.9995) for grain in (0.0, 2.0, 20.0)]
)
FORGETTING = np.log(np.maximum(NOISES[:, 0], np.finfo(float).tiny))
# Likelihood takes a random walk for something that returns (the bias of Dickey and Fuller 1979); with this odds the
# 90 % interval of random walks holds 85 %.
PRIOR = np.where(NOISES[:, 0] > 0.999, 4.0, 1.0)
LEAST_POINTS = 8
ROUNDING = 1e-15
POLYNOMIAL = 3
# The daily wave: sine and cosine of one and of two periods a day.
WAVES = 2 * np.pi * np.array([1.0, 2.0])
# It is looked for over so many days with so many samples each, and is there when chance makes it in 1 of 100,000.
LEAST_WAVES, LEAST_A_DAY, WAVE_P = 2.0, 6.0, 1e-5


@dataclass(frozen=True)
class Fit:
    """The fits of some series (n), for each correlation (k), with p terms: NaN where there are too few samples.

    Attributes:
        span: days that the samples cover; interval: usual days between two.
        freedom: degrees of freedom.
        terms: n x p, which terms the series has.
        weights: n x k, of the correlations; they add up to 1.
        coefficients: n x k x p; covariances: n x k x p x p.
        variance: n x k, of the lasting noise.
        lasting: n x k, the lasting noise of the newest sample; state: n x k x p, the part of it that depends on the
            coefficients; left: n x k, its variance in units of ``variance``.
    """

    span: Floats
    interval: Floats
    freedom: Floats
    terms: Flags
    weights: Floats
    coefficients: Floats
    covariances: Floats
    variance: Floats
    lasting: Floats
    state: Floats
    left: Floats

    def combine(self, factors: Floats) -> tuple[Floats, Floats]:
        """Return estimate and standard error of a linear combination (n x p) of the coefficients."""
        factors = np.where(self.terms, factors, 0.0)
        each = (self.coefficients @ factors[:, :, None])[:, :, 0]
        spread = self._spread(factors[:, None, :])
        return self._average(each, spread)

    def derivative(self, order: int) -> tuple[Floats, Floats]:
        """Return value (0), first (1) or second (2) derivative a day at the newest sample, with standard error."""
        # Legendre's polynomials and their derivatives at the right end of [-1, 1].
        at_end = ((1.0, 1.0, 1.0), (0.0, 1.0, 3.0), (0.0, 0.0, 3.0))[order]
        factors = np.zeros(self.terms.shape)
        factors[:, :POLYNOMIAL] = np.array(at_end) * ((2.0 / self.span) ** order)[:, None]
        if order == 0:
            factors = self._at(np.zeros(len(self.span)))
        return self.combine(factors)

    def predict(self, days: Floats, *, waves: bool = True) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of a new sample so many days after the newest one.

        Args:
            days: one a series, not below 0.
            waves: whether the daily wave counts, or the level without it is meant.
        """
        ahead = self._at(days)
        if not waves:
            ahead[:, POLYNOMIAL:] = 0.0
        memory = np.exp(FORGETTING * (days / self.interval)[:, None])
        means = (self.coefficients @ ahead[:, :, None])[:, :, 0] + memory * self.lasting
        new = self.variance * (1 - memory**2 * (1 - self.left) + NOISES[:, 1])
        return self._average(means, new + self._spread(ahead[:, None] - memory[..., None] * self.state))

    def _at(self, days: Floats) -> Floats:
        """Return the terms (n x p) of a sample so many days after the newest one."""
        waves = self.terms[:, -1] if self.terms.shape[1] > POLYNOMIAL else None
        return design(days[:, None], self.span, waves)[:, :, 0] * self.terms

    def _spread(self, factors: Floats) -> Floats:
        """Return the variances of linear combinations (n x k x p, or n x 1 x p) of the coefficients."""
        return np.asarray(((self.covariances @ factors[..., None])[..., 0] * factors).sum(axis=2))

    def _average(self, means: Floats, variances: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the mixture over the correlations."""
        mean = (self.weights * means).sum(axis=1)
        variance = (self.weights * (variances + (means - mean[:, None]) ** 2)).sum(axis=1)
        return mean, np.sqrt(variance)

    def take(self, rows: npt.NDArray[np.intp]) -> Fit:
        """Return the fits of some series."""
        return Fit(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def design(days: Floats, span: Floats, waves: Flags | None = None) -> Floats:
    """Return the terms (n x p x m) of samples.

    Args:
        days: n x m, from the newest sample.
        span: n, days that the samples cover.
        waves: which series have the daily wave; it is zero for the others. None: there are no such terms.
    """
    u = 1 + 2 * days / span[:, None]
    terms = [np.ones(u.shape), u, (3 * u * u - 1) / 2]
    if waves is not None:
        angles = [wave * np.where(waves[:, None], days, 0.0) for wave in WAVES]
        terms += [np.sin(angle) for angle in angles]
        terms += [np.where(waves[:, None], np.cos(angle), 0.0) for angle in angles]
    return np.stack(terms, axis=1)


def daily_waves(days: Floats, values: Floats) -> Flags:
    """Return which rows show a daily wave: it explains their residuals (F) over at least two days."""
    from scipy.special import fdtrc

    counts = np.count_nonzero(~np.isnan(days), axis=1)
    span = -np.nanmin(days, axis=1, initial=-1e-9)
    terms = POLYNOMIAL + 2 * len(WAVES)
    possible = (span >= LEAST_WAVES) & (counts >= np.maximum(4 * terms, LEAST_A_DAY * span))
    found = np.zeros(len(days), bool)
    if possible.any():
        x, y, counts = days[possible], values[possible], counts[possible]
        basis = np.nan_to_num(design(x, span[possible], np.ones(len(x), bool)))
        y = np.nan_to_num(y - y[:, -1:])
        without, fitted = _square(basis[:, :POLYNOMIAL], y), _square(basis, y)
        f = (without - fitted) / (2 * len(WAVES)) / (fitted / (counts - terms) + np.finfo(float).tiny)
        found[possible] = fdtrc(2 * len(WAVES), counts - terms, f) < WAVE_P
    return found


def _square(basis: Floats, values: Floats) -> Floats:
    """Return the residual sum of squares of ordinary least squares."""
    coefficients = np.linalg.solve(basis @ basis.transpose(0, 2, 1), basis @ values[:, :, None])
    return np.asarray(((values - (basis.transpose(0, 2, 1) @ coefficients)[:, :, 0]) ** 2).sum(axis=1))


@dataclass(frozen=True)
class Products:
    """All that the fits of some series need of their samples, for each correlation.

    Attributes:
        span, interval, counts: see `Fit`; samples.
        waves: which series have the daily wave; None: none has.
        matrix: n x k x (p + 1) x (p + 1), scalar products of the whitened terms and, last, of the values.
        volume: n x k, logarithm of the determinant of the correlation matrix.
        offset: n, was taken off the values.
        state: n x k x (p + 1), what the filter expects of the lasting noise for terms and values.
        left: n x k, how uncertain that is.
    """

    span: Floats
    interval: Floats
    counts: Integers
    waves: Flags | None
    matrix: Floats
    volume: Floats
    offset: Floats
    state: Floats
    left: Floats


def products(days: Floats, values: Floats) -> Products:
    """Return the scalar products of each row.

    Args:
        days: n x m, from the newest sample (0 in the last column) back; NaN before the first one.
        values: n x m.
    """
    known = ~np.isnan(days)
    counts = known.sum(axis=1)
    shown = daily_waves(days, values)
    waves = shown if shown.any() else None
    span = np.where(counts > 1, -np.nanmin(days, axis=1, initial=0.0), 1.0)
    interval = span / np.maximum(counts - 1, 1)
    offset = np.nan_to_num(values[:, -1])
    columns = np.concatenate([design(days, span, waves), (values - offset[:, None])[:, None]], axis=1)
    columns = np.where(known[:, None], columns, 0.0)
    steps = np.diff(days, axis=1, prepend=np.nan) / interval[:, None]
    memory = np.exp(FORGETTING[:, None] * np.where(np.isnan(steps), np.inf, steps).T[:, None])
    matrix, volume, state, left = _filtered(columns.transpose(2, 1, 0), memory, known.T)
    return Products(span, interval, counts, waves, matrix, volume, offset, state, left)


def _filtered(columns: Floats, memory: Floats, known: Flags) -> tuple[Floats, Floats, Floats, Floats]:
    """Run the Kalman filter of each noise over the columns: what a sample says beyond those before it (de Jong 1988).

    The series are the last axis here, so that every operation runs through memory in one stride.

    Args:
        columns: m x (p + 1) x n.
        memory: m x k x n, correlation of the lasting noise with that of the sample before; 0 for the first.
        known: m x n.

    Returns:
        Products of the whitened columns, volume, filtered state of the columns and variance of that of the noise.
    """
    grain = NOISES[:, 1:]
    terms, count = columns.shape[1:]
    variance, volume = np.ones((len(NOISES), count)), np.zeros((len(NOISES), count))
    state, matrix = np.zeros((terms, *variance.shape)), np.zeros((terms, terms, *variance.shape))
    for sample, there, phi in zip(columns, known, memory, strict=True):
        variance = 1.0 - phi * phi * (1.0 - variance)
        spread = variance + grain
        state *= phi
        news = sample[:, None] - state
        state += news * (variance / spread)
        matrix += news[:, None] * (news / spread)
        variance = variance * grain / spread
        volume += np.where(there, np.log(spread), 0.0)
    return matrix.transpose(3, 2, 0, 1), volume.T, state.transpose(2, 1, 0), variance.T


def fit(sums: Products, curved: Flags) -> Fit:
    """Fit each series.

    Args:
        sums: of `products`.
        curved: which get a parabola; the others get a line.
    """
    terms = np.ones((len(curved), sums.matrix.shape[2] - 1), bool)
    terms[:, 2] = curved
    if sums.waves is not None:
        terms[:, POLYNOMIAL:] = sums.waves[:, None]
    used = terms.sum(axis=1)
    enough = sums.counts >= np.maximum(LEAST_POINTS, 2 * used)
    freedom = np.where(enough, sums.counts - used, np.nan)
    inverse, volume = _inverse(sums.matrix[:, :, :-1, :-1], terms & enough[:, None])
    target = np.where(terms[:, None], sums.matrix[:, :, :-1, -1], 0.0)
    coefficients = np.asarray((inverse @ target[..., None])[..., 0])
    variance = _variance(sums, target, coefficients, freedom)
    likelihood = np.log(PRIOR) - 0.5 * (freedom[:, None] * np.log(variance) + sums.volume + volume)
    weights = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    lasting = sums.state[..., -1] - (coefficients * sums.state[..., :-1]).sum(axis=2)
    coefficients[:, :, 0] += sums.offset[:, None]
    return Fit(
        span=np.where(enough, sums.span, np.nan),
        interval=sums.interval,
        freedom=freedom,
        terms=terms,
        weights=weights / weights.sum(axis=1, keepdims=True),
        coefficients=coefficients,
        covariances=inverse * variance[:, :, None, None],
        variance=variance,
        lasting=lasting,
        state=sums.state[..., :-1] * terms[:, None],
        left=sums.left,
    )


def _inverse(normal: Floats, terms: Flags) -> tuple[Floats, Floats]:
    """Return inverse and log determinant of the normal equations; terms that are not used are as if independent."""
    both = terms[:, None, :, None] & terms[:, None, None, :]
    normal = np.where(both, normal, 0.0) + np.where(terms[:, None, :, None], 0.0, np.eye(terms.shape[1]))
    return np.asarray(np.linalg.inv(normal), float), np.asarray(np.linalg.slogdet(normal)[1], float)


def _variance(sums: Products, target: Floats, coefficients: Floats, freedom: Floats) -> Floats:
    """Return the variance of the residuals.

    It is the difference of two sums and right to their rounding, below which no residual is told from none.
    """
    total = sums.matrix[:, :, -1, -1]
    square = np.maximum(total - (target * coefficients).sum(axis=2), ROUNDING * total)
    least = (np.finfo(float).eps * sums.offset) ** 2 + np.finfo(float).tiny
    return np.asarray(np.maximum(square / freedom[:, None], least[:, None]))

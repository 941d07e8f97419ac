"""Where a fit leads: prediction intervals, and when a limit is reached."""

from __future__ import annotations

from typing import Callable

import numpy as np
import numpy.typing as npt

from nomade_pipeline.analysis.local_fit import Fit
from nomade_pipeline.analysis.series import Floats

Rows = npt.NDArray[np.intp]

WITHIN_DAYS = 365.0
# Two-sided 90 %.
UPPER_TAIL = 0.95
# The first crossing is looked for between these days and then narrowed down; a bound is smooth between two of them.
LOOK_DAYS = np.concatenate([[0.0], np.geomspace(1e-2, WITHIN_DAYS, 23)])


def tail(fit: Fit) -> Floats:
    """Return the factor that makes an interval of a standard deviation: Student's quantile."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(fit.freedom, UPPER_TAIL))


def p_value(estimate: Floats, error: Floats, freedom: Floats) -> Floats:
    """Return the two-sided p of "it is zero" (Student's t)."""
    from scipy.special import stdtr

    return np.asarray(2 * stdtr(freedom, -np.abs(estimate) / error))


def project(fit: Fit, days: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean, low and high of the 90 % prediction interval (series x days) so many days ahead."""
    each = [fit.predict(np.full(len(fit.span), day)) for day in days]
    mean, deviation = (np.stack(part, axis=1) for part in zip(*each, strict=True))
    width = tail(fit)[:, None] * deviation
    return mean, mean - width, mean + width


def crossings(fit: Fit, limit: Floats, sign: float) -> tuple[Floats, Floats, Floats]:
    """Return the days until each series first reaches a limit, and until the bounds of its 90 % interval do.

    Args:
        fit: of the series.
        limit: one a series; NaN for none.
        sign: 1 when the limit is reached from below, -1 from above.

    Returns:
        Days of the mean, of the bound that is there first and of the one that is there last; infinity where it is not
        reached within `WITHIN_DAYS`; NaN without a limit or a fit.
    """
    known = np.flatnonzero(~np.isnan(limit) & ~np.isnan(fit.span))
    result = np.full((3, len(limit)), np.nan)
    if len(known):
        result[:, known] = _crossings(fit.take(known), limit[known], sign)
    return result[0], result[1], result[2]


def _crossings(fit: Fit, limit: Floats, sign: float) -> Floats:
    factors = np.array([[0.0], [1.0], [-1.0]]) * tail(fit)

    def excess(days: Floats, rows: Rows, bounds: Rows) -> Floats:
        mean, deviation = fit.take(rows).predict(days, waves=False)
        return np.asarray(sign * (mean - limit[rows]) + factors[bounds, rows] * deviation)

    looks = [fit.predict(np.full(len(limit), day), waves=False) for day in LOOK_DAYS]
    mean, deviation = (np.stack(each, axis=1) for each in zip(*looks, strict=True))
    reached = sign * (mean - limit[:, None]) + factors[:, :, None] * deviation >= 0
    first = np.argmax(reached, axis=2)
    days = np.where(reached.any(axis=2), LOOK_DAYS[first], np.inf)
    bounds, rows = np.nonzero(first > 0)
    if len(rows):
        after = first[bounds, rows]
        days[bounds, rows] = _narrowed(excess, LOOK_DAYS[after - 1], LOOK_DAYS[after], rows, bounds)
    return days


def _narrowed(excess: Callable[..., Floats], low: Floats, high: Floats, rows: Rows, bounds: Rows) -> Floats:
    """Return where the excess is zero between two days (Chandrupatla's method)."""
    from scipy.optimize.elementwise import find_root

    found = find_root(excess, (low, high), args=(rows, bounds), tolerances={"xrtol": 1e-12, "xatol": 1e-9})
    return np.where(found.success, found.x, high)

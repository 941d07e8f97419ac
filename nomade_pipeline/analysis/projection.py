"""Where a fit leads: prediction intervals, and when a limit is reached."""

from __future__ import annotations

from typing import Callable

import numpy as np
import numpy.typing as npt

from nomade_pipeline.analysis.local_fit import Fit
from nomade_pipeline.analysis.series import Floats

WITHIN_DAYS = 365.0
# Two-sided 90 %.
UPPER_TAIL = 0.95
# The first crossing is looked for between these days and then narrowed down; a bound is smooth between two of them.
LOOK_DAYS = np.concatenate([[0.0], np.geomspace(1e-3, WITHIN_DAYS, 47)])


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


def crossing(fit: Fit, limit: Floats, sign: float, deviations: float) -> Floats:
    """Return the days until a series, or a bound of its 90 % interval, first reaches a limit.

    Args:
        limit: one a series; NaN for none.
        sign: 1 when the limit is reached from below, -1 from above.
        deviations: 0 for the series itself, 1 for the bound that is there first, -1 for the one that is there last.

    Returns:
        Days; infinity where it is not reached within `WITHIN_DAYS`; NaN without a limit or a fit.
    """
    factor = deviations * tail(fit)

    def excess(days: Floats, rows: npt.NDArray[np.intp]) -> Floats:
        mean, deviation = fit.take(rows).predict(days, waves=False)
        return np.asarray(sign * (mean - limit[rows]) + factor[rows] * deviation)

    everyone = np.arange(len(limit))
    heights = np.stack([excess(np.full(len(limit), day), everyone) for day in LOOK_DAYS], axis=1)
    reached, first = (heights >= 0).any(axis=1), np.argmax(heights >= 0, axis=1)
    days = np.where(reached, LOOK_DAYS[first], np.inf)
    rows = np.flatnonzero(reached & (first > 0))
    days[rows] = _narrowed(excess, rows, LOOK_DAYS[first[rows] - 1], LOOK_DAYS[first[rows]])
    days[np.isnan(limit) | np.isnan(fit.span)] = np.nan
    return days


def _narrowed(
    excess: Callable[[Floats, npt.NDArray[np.intp]], Floats], rows: npt.NDArray[np.intp], low: Floats, high: Floats
) -> Floats:
    """Return where the excess is zero between two days (Chandrupatla's method)."""
    from scipy.optimize.elementwise import find_root

    if not len(rows):
        return high
    found = find_root(excess, (low, high), args=(rows,), tolerances={"xrtol": 1e-12, "xatol": 1e-9})
    return np.where(found.success, found.x, high)

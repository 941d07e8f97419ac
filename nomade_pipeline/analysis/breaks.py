"""Where a fit must begin anew, and which samples it must leave out: jumps, resets, clean-ups, gaps, spikes.

All functions take rows of samples, the newest in the last column, NaN before the first one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import legvander

from nomade_pipeline.analysis.series import DAY_SECONDS, Flags, Floats, Integers, SeriesBatch

# A change is sudden beyond so many standard deviations of the usual changes, within so many steps.
JUMP_DEVIATIONS, JUMP_STEPS = 8.0, 3
# A single sample that leaves its neighbours by so many, and from which the next one comes back, is a spike.
SPIKE_DEVIATIONS = 5.0
# Samples that miss for a quarter of the window, and for six usual intervals, are a gap.
GAP_SHARE, GAP_INTERVALS = 0.25, 6.0
# A break must explain so many times more than chance (F). Of noise alone the best of all places reaches 8 in 1 % of
# cases (Andrews 1993, table 1, two parameters); the rest is for noise that the correction does not see whole.
BREAK_F = 20.0
LEAST_SIDE = 8
# What no parabola describes is fitted over the newer half, so often at most.
HALVINGS = 3


@dataclass(frozen=True)
class Breaks:
    """What was found in each series.

    Attributes:
        jump: size of the newest sudden change of level; NaN where there is none.
        jump_time: first sample after it, seconds since 1970 UTC.
        restart_time: first sample of the fit where it begins anew; NaN where it does not.
    """

    jump: Floats
    jump_time: Floats
    restart_time: Floats


def begin_anew(series: SeriesBatch, window_seconds: float) -> tuple[SeriesBatch, Breaks]:
    """Return the samples since the last break of each series, without spikes, and what the breaks were."""
    rows, columns = np.arange(len(series)), np.arange(series.times.shape[1])
    slope, deviation = usual_change(series.times, series.values)
    level = series.values - slope[:, None] * (series.times - series.newest()[:, None])
    sizes = jumps(level, deviation)
    jump = last_true(sizes != 0)
    start = np.maximum(jump, last_true(gaps(series.times, window_seconds)))
    kept = series.only((columns >= start[:, None]) & ~spikes(level, deviation))
    size = np.where(jump > 0, sizes[rows, jump], np.nan)
    time = np.where(jump > 0, series.times[rows, jump], np.nan)
    kept = _since(kept, _turns(kept))
    for _ in range(HALVINGS):
        kept = _since(kept, _halves(kept))
    first = np.nanmin(kept.times, axis=1, initial=np.inf)
    began = np.nanmin(series.times, axis=1, initial=np.inf)
    return kept, Breaks(size, time, np.where(first > began, first, np.nan))


def _since(series: SeriesBatch, columns: Integers) -> SeriesBatch:
    """Return the samples from a column on; -1 keeps all."""
    if (columns <= 0).all():
        return series
    return series.only(np.arange(series.times.shape[1]) >= columns[:, None])


def _turns(series: SeriesBatch) -> Integers:
    """Return the column at which each series begins anew with another slope; -1 for none."""
    return slope_change((series.times - series.newest()[:, None]) / DAY_SECONDS, series.values)


def _halves(series: SeriesBatch) -> Integers:
    """Return the middle column of each series that no parabola describes; -1 for the others."""
    width = series.times.shape[1]
    count = np.count_nonzero(~np.isnan(series.times), axis=1)
    return np.where(bends(series.times - series.newest()[:, None], series.values), width - count // 2, -1)


def row_quantile(values: Floats, part: float) -> Floats:
    """Return a quantile of each row, NaN left out, the nearest rank; NaN for rows without values."""
    ordered = np.sort(values, axis=1)
    counts = np.count_nonzero(~np.isnan(values), axis=1)
    places = np.clip(np.round(part * (counts - 1)).astype(int), 0, None)
    return ordered[np.arange(len(values)), places] if values.shape[1] else np.full(len(values), np.nan)


def usual_change(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the median slope between neighbours and the standard deviation of their changes about it, robustly.

    The deviation is the larger one of the median and the upper quartile of the absolute changes, each scaled to the
    normal distribution, so that bursts in a quarter of the samples are noise and not jumps. Where the samples lie on a
    line (an idle disk, a coarse reading) it is the median of the changes that are not zero, if there are several.
    """
    steps, changes = np.diff(times, axis=1), np.diff(values, axis=1)
    slope = row_quantile(changes / steps, 0.5)
    spread = np.abs(changes - slope[:, None] * steps)
    deviation = np.maximum(row_quantile(spread, 0.5) / 0.6745, row_quantile(spread, 0.75) / 1.1503)
    moved = np.where(changes == 0.0, np.nan, np.abs(changes))
    often = np.count_nonzero(~np.isnan(moved), axis=1) > 1
    quantum = np.where(often, row_quantile(moved, 0.5), 0.0)
    rounding = 64 * np.finfo(float).eps * np.nanmax(np.abs(values), axis=1, initial=0.0)
    return slope, np.maximum(np.where(deviation > rounding, deviation, quantum), rounding)


def jumps(level: Floats, deviation: Floats) -> Floats:
    """Return the size of the sudden change of level that ends at each sample; 0 where none does.

    It takes at most `JUMP_STEPS` steps, is quiet before and after, and the two samples on each side lie apart: a spike
    is none, and what goes on moving is none.

    Args:
        level: values without their median slope.
        deviation: of the changes, one a row.
    """
    least = JUMP_DEVIATIONS * deviation[:, None]
    size, width = np.zeros(level.shape), level.shape[1]
    large = np.abs(np.diff(level, axis=1, prepend=np.nan)) > least
    for steps in range(1, JUMP_STEPS + 1):
        last = width - 1
        if last < steps + 1:
            break
        ends = slice(steps + 1, last)
        quiet = ~large[:, 1 : last - steps] & ~large[:, steps + 2 :]
        moving = np.all([large[:, steps + 1 - back : last - back] for back in range(steps)], axis=0)
        before, after = _pairs(level, slice(0, last - steps)), _pairs(level, slice(steps + 1, width))
        apart = np.maximum(after[0] - before[1], before[0] - after[1]) > least
        size[:, ends] += np.where(quiet & moving & apart, level[:, ends] - level[:, 1 : last - steps], 0.0)
    return size


def _pairs(level: Floats, part: slice) -> tuple[Floats, Floats]:
    """Return the lower and the higher of each two neighbours."""
    first, second = level[:, part][:, :-1], level[:, part][:, 1:]
    return np.minimum(first, second), np.maximum(first, second)


def spikes(level: Floats, deviation: Floats) -> Flags:
    """Return the single samples that leave both neighbours in one direction.

    The newest one is held against the two before it, if these are at peace with each other.
    """
    found = np.zeros(level.shape, bool)
    if level.shape[1] >= 3:
        least = SPIKE_DEVIATIONS * deviation[:, None]
        left, right = np.diff(level, axis=1), -np.diff(level, axis=1, append=np.nan)[:, 1:]
        peace = np.abs(left[:, -2:-1]) <= least
        right[:, -1:] = np.where(peace, left[:, -1:], np.nan)
        found[:, 1:] = (np.minimum(left, right) > least) | (np.maximum(left, right) < -least)
    return found


def gaps(times: Floats, window: float) -> Flags:
    """Return the first samples after a gap."""
    found = np.zeros(times.shape, bool)
    steps = np.diff(times, axis=1)
    usual = row_quantile(steps, 0.5)[:, None]
    found[:, 1:] = steps > np.maximum(GAP_INTERVALS * usual, GAP_SHARE * window)
    return found


def last_true(flags: Flags) -> Integers:
    """Return the column of the last true flag of each row, -1 where there is none."""
    width = flags.shape[1]
    if not width:
        return np.full(len(flags), -1)
    place = width - 1 - np.argmax(flags[:, ::-1], axis=1)
    return np.where(flags.any(axis=1), place, -1)


def slope_change(times: Floats, values: Floats) -> Integers:
    """Return the column from which on another straight line holds; -1 where one parabola explains the row as well.

    Every place with enough samples on both sides is tried: the residuals of two lines against those of one parabola.
    """
    x, y, known = _scaled(times, values)
    if x.shape[1] < 2 * LEAST_SIDE:
        return np.full(len(values), -1)
    sums = np.cumsum(np.stack([known, x, x * x, y, x * y, y * y]).astype(float), axis=2)
    left, right = sums[:, :, :-1], sums[:, :, -1:] - sums[:, :, :-1]
    enough = (left[0] >= LEAST_SIDE) & (right[0] >= LEAST_SIDE)
    both = np.where(enough, _line_rss(left) + _line_rss(right), np.inf)
    place = np.argmin(both, axis=1)
    broken = _two_lines(x, y, known, place)
    found = enough.any(axis=1) & (_f(_polynomial(x, y, known, 2), broken, y, known, 2, 5) > BREAK_F)
    return np.where(found, place + 1, -1)


def bends(times: Floats, values: Floats) -> Flags:
    """Return the rows that no parabola describes, because a cubic is better by far."""
    x, y, known = _scaled(times, values)
    f = _f(_polynomial(x, y, known, 2), _polynomial(x, y, known, 3), y, known, 1, 4)
    return np.asarray((known.sum(axis=1) >= 2 * LEAST_SIDE) & (f > BREAK_F))


def _scaled(times: Floats, values: Floats) -> tuple[Floats, Floats, Flags]:
    """Return time from -1 to 0, values from the newest one, zero where there is none, and where there are any."""
    known = ~np.isnan(values)
    span = -np.nanmin(times, axis=1, initial=-1e-9)
    return (
        np.where(known, times / span[:, None], 0.0),
        np.where(known, values - values[:, -1:], 0.0),
        known,
    )


def _line_rss(sums: Floats) -> Floats:
    """Return the residual sum of squares of a straight line, from the sums of 1, x, x², y, xy, y²."""
    n, x, xx, y, xy, yy = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        sxx, sxy, syy = xx - x * x / n, xy - x * y / n, yy - y * y / n
        return np.asarray(np.maximum(syy - sxy * sxy / sxx, 0.0))


def _two_lines(x: Floats, y: Floats, known: Flags, place: Integers) -> Floats:
    """Return the residuals of lines up to and after a column."""
    residuals = np.zeros(x.shape)
    after = np.arange(x.shape[1])[None, :] > place[:, None]
    for side in (known & after, known & ~after):
        n = np.maximum(side.sum(axis=1, keepdims=True), 1)
        mean_x, mean_y = (np.where(side, each, 0).sum(axis=1, keepdims=True) / n for each in (x, y))
        dx, dy = np.where(side, x - mean_x, 0.0), np.where(side, y - mean_y, 0.0)
        slope = (dx * dy).sum(axis=1, keepdims=True) / np.maximum((dx * dx).sum(axis=1, keepdims=True), 1e-300)
        residuals += dy - slope * dx
    return residuals


def _polynomial(x: Floats, y: Floats, known: Flags, degree: int) -> Floats:
    """Return the residuals of a polynomial; of rows with too few samples, the values themselves."""
    basis = np.where(known[:, :, None], legvander(2 * x + 1, degree), 0.0)
    transposed = basis.transpose(0, 2, 1)
    normal = transposed @ basis
    few = known.sum(axis=1) <= degree
    normal[few] = np.eye(degree + 1)
    coefficients = np.linalg.solve(normal, transposed @ y[:, :, None])
    coefficients[few] = 0.0
    return np.asarray(y - (basis @ coefficients)[:, :, 0])


def _f(simple: Floats, full: Floats, values: Floats, known: Flags, more: int, used: int) -> Floats:
    """Return F of the residuals of two models, divided by what autocorrelation inflates it by.

    The inflation is the larger one of the AR(1) and the Newey-West factor of the full model's residuals: a random walk
    has no breaks, however well broken lines fit it.
    """
    square = (full**2).sum(axis=1) + np.finfo(float).tiny
    lags = max(1, int(np.sqrt(full.shape[1])))
    lagged = [(full[:, lag:] * full[:, :-lag]).sum(axis=1) for lag in range(1, lags + 1)]
    correlation = np.stack(lagged) / square
    first = np.clip(correlation[0], 0.0, 0.99)
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    inflation = np.maximum((1 + first) / (1 - first), 1 + 2 * weights @ correlation)
    count = known.sum(axis=1)
    rounding = count * (1e-9 * np.abs(values).max(axis=1)) ** 2
    noise = (square + rounding) / np.maximum(count - used, 1)
    return np.asarray(((simple**2).sum(axis=1) - square) / more / noise / inflation)

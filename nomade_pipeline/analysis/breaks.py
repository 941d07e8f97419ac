"""Where a fit must begin anew, and which samples it must leave out: jumps, resets, clean-ups, gaps, spikes.

All functions take rows of samples, the newest in the last column, NaN before the first one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nomade_pipeline.analysis.series import DAY_SECONDS, Flags, Floats, Integers, SeriesBatch

# A change between two samples is sudden beyond so many standard deviations of the usual changes.
JUMP_DEVIATIONS = 8.0
# A single sample that leaves its neighbours by so many, and from which the next one comes back, is a spike.
SPIKE_DEVIATIONS = 5.0
# Samples that miss for a quarter of the window, and for six usual intervals, are a gap.
GAP_SHARE, GAP_INTERVALS = 0.25, 6.0
# A change of slope must explain so many times more than chance (F); the supremum over all places under the null stays
# below 8 in 99 % of cases (Andrews 1993, table 1, two parameters).
SLOPE_F = 20.0
LEAST_SIDE = 8


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
    jump = last_true(jumps(level, deviation))
    start = np.maximum(jump, last_true(gaps(series.times, window_seconds)))
    kept = series.only((columns >= start[:, None]) & ~spikes(level, deviation))
    turn = slope_change((kept.times - kept.newest()[:, None]) / DAY_SECONDS, kept.values - kept.values[:, -1:])
    restart = np.where(start >= 0, series.times[rows, start], np.nan)
    restart = np.where(turn >= 0, kept.times[rows, turn], restart)
    size = np.where(jump > 0, level[rows, jump] - level[rows, jump - 1], np.nan)
    time = np.where(jump > 0, series.times[rows, jump], np.nan)
    return kept.only(np.arange(kept.times.shape[1]) >= turn[:, None]), Breaks(size, time, restart)


def row_quantile(values: Floats, part: float) -> Floats:
    """Return a quantile of each row, NaN left out, the nearest rank; NaN for rows without values."""
    ordered = np.sort(values, axis=1)
    counts = np.count_nonzero(~np.isnan(values), axis=1)
    places = np.clip(np.round(part * (counts - 1)).astype(int), 0, None)
    return ordered[np.arange(len(values)), places] if values.shape[1] else np.full(len(values), np.nan)


def usual_change(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the median slope between neighbours and the standard deviation of their changes about it, robustly.

    The deviation is the larger one of the median and the upper quartile of the absolute changes, each scaled to the
    normal distribution, so that bursts in a quarter of the samples are noise and not jumps. Where most samples repeat
    the one before (a coarse reading) it is the second smallest change there is.
    """
    steps, changes = np.diff(times, axis=1), np.diff(values, axis=1)
    slope = row_quantile(changes / steps, 0.5)
    spread = np.abs(changes - slope[:, None] * steps)
    deviation = np.maximum(row_quantile(spread, 0.5) / 0.6745, row_quantile(spread, 0.75) / 1.1503)
    moved = np.sort(np.where(changes == 0.0, np.nan, np.abs(changes)), axis=1)
    quantum = moved[:, 1] if moved.shape[1] > 1 else np.zeros(len(values))
    rounding = 64 * np.finfo(float).eps * np.nanmax(np.abs(values), axis=1, initial=0.0)
    return slope, np.maximum(np.where(deviation > rounding, deviation, np.nan_to_num(quantum)), rounding)


def jumps(level: Floats, deviation: Floats) -> Flags:
    """Return the samples before which the level changed suddenly: two on each side agree, so one spike is no jump.

    Args:
        level: values without their median slope.
        deviation: of the changes, one a row.
    """
    found = np.zeros(level.shape, bool)
    if level.shape[1] >= 4:
        before = np.stack([level[:, :-3], level[:, 1:-2]])
        after = np.stack([level[:, 2:-1], level[:, 3:]])
        least = JUMP_DEVIATIONS * deviation[:, None]
        rose = after.min(axis=0) - before.max(axis=0) > least
        fell = before.min(axis=0) - after.max(axis=0) > least
        found[:, 2:-1] = rose | fell
    return found


def spikes(level: Floats, deviation: Floats) -> Flags:
    """Return the single samples that leave both neighbours in one direction; the newest one is held against the two before."""
    found = np.zeros(level.shape, bool)
    if level.shape[1] >= 3:
        least = SPIKE_DEVIATIONS * deviation[:, None]
        others = np.concatenate([level[:, 2:], level[:, -3:-2]], axis=1)
        left, right = level[:, 1:] - level[:, :-1], level[:, 1:] - others
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
    F is divided by (1 + r) / (1 - r) with r the autocorrelation of the residuals of the two lines: a random walk has
    no change of slope, however well lines fit it.
    """
    count = np.count_nonzero(~np.isnan(values), axis=1)
    width = values.shape[1]
    if width < 2 * LEAST_SIDE:
        return np.full(len(values), -1)
    known = ~np.isnan(values)
    x = np.where(known, times / -np.nanmin(times, axis=1, initial=-1e-9)[:, None], 0.0)
    y = np.where(known, values, 0.0)
    sums = np.cumsum(np.stack([known, x, x * x, y, x * y, y * y]).astype(float), axis=2)
    left, right = sums[:, :, :-1], sums[:, :, -1:] - sums[:, :, :-1]
    enough = (left[0] >= LEAST_SIDE) & (right[0] >= LEAST_SIDE)
    both = np.where(enough, _line_rss(left) + _line_rss(right), np.inf)
    place = np.argmin(both, axis=1)
    rows = np.arange(len(values))
    fitted, inflation = _two_lines(x, y, known, place)
    parabola = _parabola_rss(x, y, known)
    floor = count * (1e-9 * np.max(np.abs(y), axis=1)) ** 2 + np.finfo(float).tiny
    f = (parabola - fitted) / 2 / ((fitted + floor) / np.maximum(count - 5, 1)) / inflation
    return np.where(np.isfinite(both[rows, place]) & (f > SLOPE_F), place + 1, -1)


def _line_rss(sums: Floats) -> Floats:
    """Return the residual sum of squares of a straight line, from the sums of 1, x, x², y, xy, y²."""
    n, x, xx, y, xy, yy = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        sxx, sxy, syy = xx - x * x / n, xy - x * y / n, yy - y * y / n
        return np.asarray(np.maximum(syy - sxy * sxy / sxx, 0.0))


def _two_lines(x: Floats, y: Floats, known: Flags, place: Integers) -> tuple[Floats, Floats]:
    """Return the residual sum of squares of lines up to and after a column, and the residuals' autocorrelation."""
    residuals = np.zeros(x.shape)
    after = np.arange(x.shape[1])[None, :] > place[:, None]
    for side in (known & after, known & ~after):
        n = np.maximum(side.sum(axis=1, keepdims=True), 1)
        mean_x, mean_y = (np.where(side, each, 0).sum(axis=1, keepdims=True) / n for each in (x, y))
        dx, dy = np.where(side, x - mean_x, 0.0), np.where(side, y - mean_y, 0.0)
        slope = (dx * dy).sum(axis=1, keepdims=True) / np.maximum((dx * dx).sum(axis=1, keepdims=True), 1e-300)
        residuals += dy - slope * dx
    square = (residuals**2).sum(axis=1)
    return square, _inflation(residuals, square)


def _inflation(residuals: Floats, square: Floats) -> Floats:
    """Return by how much autocorrelation inflates F: the larger one of the AR(1) and the Newey-West factor."""
    lags = max(1, int(np.sqrt(residuals.shape[1])))
    lagged = [(residuals[:, lag:] * residuals[:, :-lag]).sum(axis=1) for lag in range(1, lags + 1)]
    correlation = np.stack(lagged) / np.maximum(square, np.finfo(float).tiny)
    first = np.clip(correlation[0], 0.0, 0.99)
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    return np.maximum((1 + first) / (1 - first), 1 + 2 * weights @ correlation)


def _parabola_rss(x: Floats, y: Floats, known: Flags) -> Floats:
    basis = np.where(known[:, :, None], np.polynomial.legendre.legvander(2 * x + 1, 2), 0.0)
    normal = basis.transpose(0, 2, 1) @ basis
    normal[known.sum(axis=1) < 3] = np.eye(3)
    coefficients = np.linalg.solve(normal, basis.transpose(0, 2, 1) @ y[:, :, None])
    return np.asarray(((y - (basis @ coefficients)[:, :, 0]) ** 2).sum(axis=1))

"""What the derivatives of many series say: trend, projection, time to a limit.

The one entry is `analyse`; what it returns is documented at `Trends`. An acceleration that an alert may rest on is what
`accelerates` says: it wants the threshold, the significance and two successive windows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from nomade_pipeline.analysis.breaks import begin_anew
from nomade_pipeline.analysis.local_fit import Fit, fit, products
from nomade_pipeline.analysis.projection import WITHIN_DAYS, crossings, p_value, project
from nomade_pipeline.analysis.series import DAY_SECONDS, Flags, Floats, Integers, SeriesBatch
from nomade_pipeline.tables.derived import HORIZON_DAYS, SIGNIFICANT_P

# Series are worked on in parts that fit into the processor's cache.
BLOCK = 512
# Of two successive windows the earlier one ends this part of a window before the later one.
EARLIER_SHARE = 0.25


class Trend(IntEnum):
    """In which way a series moves, as far as that is significant."""

    UNKNOWN = 0
    STABLE = 1
    GROWING = 2
    DECLINING = 3
    ACCELERATING = 4
    DECELERATING = 5

    @property
    def word(self) -> str:
        """The word that people read."""
        return self.name.lower()


@dataclass(frozen=True)
class Trends:
    """What is known of each series at its newest sample: arrays with one entry a series.

    NaN means not known: too few samples since the fit began anew. Times to a limit are in days from the newest sample:
    NaN is "not within a year" (or no limit), and for the end of an interval infinity is "no end within a year".

    Attributes:
        time: newest sample, seconds since 1970 UTC.
        points: samples that the fit rests on, without outliers.
        span_days: time that they cover.
        value, value_error: fitted value at the newest sample and its standard error.
        rate, rate_error, rate_p: first derivative a day, standard error, two-sided p of "it is zero".
        acceleration, acceleration_error, acceleration_p: second derivative a day squared; likewise.
        trend: codes of `Trend`.
        projected, projected_low, projected_high: value after `HORIZON_DAYS` (second axis) with its 90 % prediction
            interval.
        limit_days, limit_low_days, limit_high_days: first crossing of the limit within 365 days, with the 90 %
            interval; 0 where the limit is reached. NaN also where neither derivative is significant.
        limit_if_rate_holds: the crossing lies beyond twice the time that was fitted.
        rate_limit_days: when the limit is reached at the present rate.
        acceleration_limit_days: when at the present acceleration; NaN where that is not significant.
        jump: newest sudden change of level within the window, signed; NaN where there is none.
        jump_time: first sample after it, seconds since 1970 UTC.
        restart_time: first sample of the fit where it began anew within the window (jump, reset, clean-up, gap, change
            of slope); NaN where it did not.
        fits: what `curve` needs.
    """

    time: Floats
    points: Integers
    span_days: Floats
    value: Floats
    value_error: Floats
    rate: Floats
    rate_error: Floats
    rate_p: Floats
    acceleration: Floats
    acceleration_error: Floats
    acceleration_p: Floats
    trend: Integers
    projected: Floats
    projected_low: Floats
    projected_high: Floats
    limit_days: Floats
    limit_low_days: Floats
    limit_high_days: Floats
    limit_if_rate_holds: Flags
    rate_limit_days: Floats
    acceleration_limit_days: Floats
    jump: Floats
    jump_time: Floats
    restart_time: Floats
    fits: tuple[Fit, ...] = field(repr=False)

    def word(self, index: int) -> str:
        """Return the trend word of one series."""
        return Trend(int(self.trend[index])).word

    def curve(self, days: Floats) -> tuple[Floats, Floats, Floats]:
        """Return value, low and high (series x days) at any number of days ahead, for plots."""
        parts = [project(fit, days) for fit in self.fits]
        mean, low, high = (np.concatenate(each) for each in zip(*parts, strict=True))
        return mean, low, high


def analyse(
    series: SeriesBatch,
    window_seconds: float,
    limit: Floats | float | None = None,
    *,
    falling: bool = False,
) -> Trends:
    """Analyse each series over the window before its newest sample.

    Args:
        series: any number of series; samples before the window are ignored.
        window_seconds: how far back the fit looks at most. It begins later after a jump, a reset, a clean-up, a gap
            or a change of slope.
        limit: what the series must not reach, one for all or one each; NaN or None: no limit.
        falling: the limit is a floor: it is reached from above.
    """
    limits = np.broadcast_to(np.asarray(np.nan if limit is None else limit, float), (len(series),))
    window = series.last(window_seconds)
    sign = -1.0 if falling else 1.0

    blocks = (slice(first, first + BLOCK) for first in range(0, max(len(series), 1), BLOCK))
    parts = [_analyse_block(window.rows(rows), window_seconds, limits[rows], sign) for rows in blocks]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Trends.__dataclass_fields__
        if name != "fits"
    }
    return Trends(**arrays, fits=tuple(fit for part in parts for fit in part.fits))


def _analyse_block(series: SeriesBatch, window_seconds: float, limit: Floats, sign: float) -> Trends:
    kept, breaks = begin_anew(series, window_seconds)
    days = (kept.times - kept.newest()[:, None]) / DAY_SECONDS
    chosen, acceleration, acceleration_error, acceleration_p = _fit(days, kept.values)
    value, value_error = chosen.derivative(0)
    rate, rate_error = chosen.derivative(1)
    rate_p = p_value(rate, rate_error, chosen.freedom)
    curved = acceleration_p < SIGNIFICANT_P
    trend = _trend(rate, rate_p < SIGNIFICANT_P, acceleration, curved)
    mean, low, high = project(chosen, np.array(HORIZON_DAYS, float))
    moves = (trend != Trend.STABLE) & (trend != Trend.UNKNOWN)
    limit_days, first_days, last_days = crossings(chosen, limit, sign)
    limit_days = np.where(np.isfinite(limit_days) & (moves | (limit_days == 0)), limit_days, np.nan)
    at_rate = _days_at(rate, limit - value, sign)
    return Trends(
        time=kept.newest(),
        points=np.count_nonzero(~np.isnan(days), axis=1),
        span_days=-np.nanmin(days, axis=1, initial=0.0),
        value=value,
        value_error=value_error,
        rate=rate,
        rate_error=rate_error,
        rate_p=rate_p,
        acceleration=acceleration,
        acceleration_error=acceleration_error,
        acceleration_p=acceleration_p,
        trend=trend,
        projected=mean,
        projected_low=low,
        projected_high=high,
        limit_days=limit_days,
        limit_low_days=first_days,
        limit_high_days=last_days,
        limit_if_rate_holds=limit_days > 2 * chosen.span,
        rate_limit_days=np.where(curved, at_rate, limit_days),
        acceleration_limit_days=np.where(curved, limit_days, np.nan),
        jump=breaks.jump,
        jump_time=breaks.jump_time,
        restart_time=breaks.restart_time,
        fits=(chosen,),
    )


def _fit(days: Floats, values: Floats) -> tuple[Fit, Floats, Floats, Floats]:
    """Return the fit that holds, a parabola where it is significantly one, else a line; and the acceleration."""
    sums = products(days, values)
    parabola = fit(sums, np.ones(len(days), bool))
    acceleration, error = parabola.derivative(2)
    p = p_value(acceleration, error, parabola.freedom)
    return fit(sums, p < SIGNIFICANT_P), acceleration, error, p


def _trend(rate: Floats, moves: Flags, acceleration: Floats, curved: Flags) -> Integers:
    """Return the codes of `Trend`: acceleration and deceleration are told of growth."""
    falls = moves & (rate < 0)
    return np.select(
        [np.isnan(rate), falls, curved & (acceleration > 0), curved, moves],
        [Trend.UNKNOWN, Trend.DECLINING, Trend.ACCELERATING, Trend.DECELERATING, Trend.GROWING],
        Trend.STABLE,
    ).astype(np.int64)


def _days_at(rate: Floats, left: Floats, sign: float) -> Floats:
    """Return the days in which a rate uses up what is left; NaN beyond `WITHIN_DAYS`, or where it never does."""
    with np.errstate(divide="ignore", invalid="ignore"):
        days = np.where(sign * left <= 0, 0.0, left / rate)
    return np.where((days >= 0) & (days <= WITHIN_DAYS), days, np.nan)


def accelerates(series: SeriesBatch, window_seconds: float, now: Trends, threshold: Floats | float) -> Flags:
    """Return which series accelerate beyond a threshold in two successive windows, significantly in both.

    The window before ends a quarter of the window earlier; it is analysed only where the present one accelerates.

    Args:
        series: what ``now`` was made of, reaching back one and a quarter windows.
        window_seconds: of ``now``.
        now: `analyse` of them.
        threshold: units a day squared; for each series or one for all.
    """
    thresholds = np.broadcast_to(np.asarray(threshold, float), (len(series),))
    found = _steep(now, thresholds)
    rows = np.flatnonzero(found)
    if len(rows):
        chosen = series.rows(rows)
        before = analyse(chosen.before(chosen.newest() - EARLIER_SHARE * window_seconds), window_seconds)
        found[rows] = _steep(before, thresholds[rows])
    return found


def _steep(trends: Trends, threshold: Floats) -> Flags:
    return (trends.acceleration >= threshold) & (trends.acceleration_p < SIGNIFICANT_P)

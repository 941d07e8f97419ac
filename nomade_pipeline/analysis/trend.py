"""What the derivatives of many series say: trend, projection, time to a limit.

The one entry is `analyse`; what it returns is documented at `Trends`. An acceleration that an alert may rest on is what
`accelerates` says: it wants the threshold, the significance and two successive windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from nomade_pipeline.analysis.series import DAY_SECONDS, Flags, Floats, Integers, SeriesBatch

# Of a derivative that is called different from zero; two-sided.
SIGNIFICANT_P = 0.005
# Projections are made for so many days ahead.
HORIZON_DAYS = (1.0, 7.0)
WITHIN_DAYS = 365.0


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

    def word(self, index: int) -> str:
        """Return the trend word of one series."""
        return Trend(int(self.trend[index])).word

    def curve(self, days: Floats) -> tuple[Floats, Floats, Floats]:
        """Return value, low and high (series x days) at any number of days ahead, for plots."""
        raise NotImplementedError


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
    raise NotImplementedError


def accelerates(now: Trends, before: Trends, threshold: Floats | float) -> Flags:
    """Return which series accelerate beyond a threshold in two successive windows, significantly in both.

    Args:
        now: of the window that ends with the newest sample.
        before: of the window before: `analyse(series.before(newest - step), ...)` with step a quarter of the window.
        threshold: units a day squared, above zero.
    """
    found = np.ones(len(now.time), bool)
    for trends in (now, before):
        found &= (trends.acceleration >= threshold) & (trends.acceleration_p < SIGNIFICANT_P)
    return found

"""Verdicts of the rules that look back over a series: aggregates, growth, acceleration, forecast, jump."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Callable, Sequence

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.alerts import words
from nomade_pipeline.alerts.evidence import Sample
from nomade_pipeline.alerts.judge import judge_value, level_of, verdict_of
from nomade_pipeline.alerts.phrases import column_of, label, phrase_of
from nomade_pipeline.alerts.policy import DAY
from nomade_pipeline.alerts.rule import ACCELERATION, FORECAST, GROWTH, JUMP, UNITS_OF_TIME, Rule
from nomade_pipeline.alerts.verdict import BETWEEN, FINE, Verdict
from nomade_pipeline.alerts.windows import aggregated
from nomade_pipeline.analysis.series import Floats, SeriesBatch
from nomade_pipeline.analysis.trend import Trend, Trends, accelerates, analyse
from nomade_pipeline.tables.derived import SIGNIFICANT_P

# Points of a projection in a plot.
_AHEAD_POINTS = 24

_MOVES = {
    Trend.UNKNOWN: "has too few samples",
    Trend.STABLE: "is stable",
    Trend.GROWING: "grows",
    Trend.DECLINING: "declines",
    Trend.ACCELERATING: "grows faster and faster",
    Trend.DECELERATING: "grows more and more slowly",
}


@dataclass(frozen=True)
class _Look:
    """What the judgement of one rule works on; arrays have one entry a sample."""

    rule: Rule
    series: SeriesBatch
    trends: Trends
    limits: Floats
    plots: bool

    def limit(self, index: int) -> float | None:
        """Return the limit of one sample, None without one."""
        return None if math.isnan(self.limits[index]) else float(self.limits[index])


def judge_series(rule: Rule, samples: Sequence[Sample], series: SeriesBatch, *, plots: bool = True) -> list[Verdict]:
    """Return the verdicts on samples by their series; those with too few samples get none.

    Args:
        rule: one that needs series.
        samples: the newest of each subject.
        series: row i is the series of sample i.
        plots: whether verdicts that are not fine carry their series.
    """
    if rule.kind not in _JUDGES:
        values = aggregated(series, rule.aggregate, rule.window_seconds)
        return [
            judge_value(rule, sample, float(value))
            for sample, value in zip(samples, values, strict=True)
            if not math.isnan(value)
        ]
    limits = np.array([_limit_of(rule, sample) for sample in samples], float)
    trends = analyse(series, rule.window_seconds, limits, falling=rule.below)
    look = _Look(rule, series, trends, limits, plots)
    return _JUDGES[rule.kind](look, samples)


def _limit_of(rule: Rule, sample: Sample) -> float:
    if not isinstance(rule.limit, str):
        return math.nan if rule.limit is None else rule.limit
    parts = [sample.row.get(name) for name in rule.limit_columns]
    return math.nan if None in parts else math.fsum(float(part) for part in parts if part is not None)


def _growth(look: _Look, samples: Sequence[Sample]) -> list[Verdict]:
    rule, per = look.rule, UNITS_OF_TIME[look.rule.per] / DAY
    verdicts = []
    for index, sample in enumerate(samples):
        rate = float(look.trends.rate[index]) * per
        if math.isnan(rate):
            continue
        level = level_of(rule, rate)
        if look.trends.rate_p[index] >= SIGNIFICANT_P:
            level = _unproven(level)
        by = words.quantity(abs(rate), column_of(rule).unit)
        text = f"{_now(look, index, sample)}; {phrase_of(rule).noun} {_moves(look, index)} by {by}/{rule.per}"
        verdicts.append(_verdict(look, index, sample, level, rate, text))
    return verdicts


def _unproven(level: str) -> str:
    """Return the level of a value that is not significant: it begins no alert, and ends none that it would begin."""
    return FINE if level == FINE else BETWEEN


def _acceleration(look: _Look, samples: Sequence[Sample]) -> list[Verdict]:
    """Return the verdicts on second derivatives: threshold, significance, and two successive windows."""
    rule, per = look.rule, (UNITS_OF_TIME[look.rule.per] / DAY) ** 2
    steep = {
        severity: accelerates(look.series, rule.window_seconds, look.trends, threshold / per)
        for severity, threshold in rule.levels.items()
    }
    verdicts = []
    for index, sample in enumerate(samples):
        acceleration = float(look.trends.acceleration[index]) * per
        if math.isnan(acceleration):
            continue
        proven = next((severity for severity in reversed(steep) if steep[severity][index]), None)
        level = proven or _unproven(level_of(rule, acceleration))
        text = f"{_now(look, index, sample)}; {_acceleration_words(look, index, acceleration)}{_when(look, index)}"
        verdicts.append(_verdict(look, index, sample, level, acceleration, text))
    return verdicts


def _acceleration_words(look: _Look, index: int, acceleration: float) -> str:
    rule, noun = look.rule, phrase_of(look.rule).noun
    if look.trends.acceleration_p[index] >= SIGNIFICANT_P:
        return f"{noun} {_moves(look, index)}"
    if acceleration < 0 and rule.ok_word:
        return rule.ok_word
    by = words.quantity(acceleration, column_of(rule).unit)
    return f"{noun} accelerates by {by}/{rule.per}²"


def _forecast(look: _Look, samples: Sequence[Sample]) -> list[Verdict]:
    """Return the verdicts on the time until the limit.

    An alert begins when the later end of its 90 % interval lies within the threshold, and is over when the time itself
    does not. None begins further ahead than was looked back: on its first day a daily wave looks like a disk that
    fills.
    """
    rule, per = look.rule, UNITS_OF_TIME[look.rule.per] / DAY
    known_days = _known_days(look.series.last(rule.window_seconds))
    verdicts = []
    for index, sample in enumerate(samples):
        if look.limit(index) is None or math.isnan(look.trends.rate[index]):
            continue
        latest = float(look.trends.limit_high_days[index])
        first = float(look.trends.limit_days[index])
        sure = first <= known_days[index] and math.isfinite(latest)
        level = next((each for each, days in reversed(rule.levels.items()) if sure and latest <= days * per), None)
        if level is None:
            level = BETWEEN if first <= max(rule.levels.values()) * per else FINE
        text = f"{_now(look, index, sample)}{_when(look, index)}"
        verdicts.append(_verdict(look, index, sample, level, None if math.isnan(first) else first / per, text))
    return verdicts


def _known_days(series: SeriesBatch) -> Floats:
    """Return how long each series has been known; NaN of one without samples."""
    oldest: Floats = np.fmin.reduce(series.times, axis=1)
    return (series.newest() - oldest) / DAY


def _now(look: _Look, index: int, sample: Sample) -> str:
    """Return what the subject has now, and of how much."""
    rule, phrase, limit = look.rule, phrase_of(look.rule), look.limit(index)
    newest = sample.row.get(rule.column)
    value = float(look.trends.value[index] if newest is None else newest)
    about, told = label(rule, sample), words.quantity(value, column_of(rule).unit)
    if not limit or column_of(rule).unit == "percent":
        return about + phrase.value.format(told)
    share, whole = f"{100 * value / limit:.1f} %", words.quantity(limit, column_of(rule).unit)
    if phrase.share:
        return f"{about}{phrase.share.format(share)} ({told} of {whole})"
    return about + phrase.value.format(f"{told} of {whole} ({share})")


def _jump(look: _Look, samples: Sequence[Sample]) -> list[Verdict]:
    """Return the verdicts on sudden changes of level within the window."""
    rule, unit = look.rule, column_of(look.rule).unit
    sign = -1.0 if rule.below else 1.0
    verdicts = []
    for index, sample in enumerate(samples):
        if look.trends.points[index] == 0:
            continue
        jump = float(look.trends.jump[index])
        known = not math.isnan(jump) and sign * jump > 0
        level = level_of(rule, jump) if known else FINE
        text = f"{_now(look, index, sample)}; no sudden change"
        if known:
            at = clock.to_text(clock.from_epoch(float(look.trends.jump_time[index])))
            moved = f"it {'rose' if jump > 0 else 'fell'} at once by {words.quantity(abs(jump), unit)}"
            text = f"{_now(look, index, sample)}; {moved} at {at}"
        verdicts.append(_verdict(look, index, sample, level, jump if known else 0.0, text))
    return verdicts


def _moves(look: _Look, index: int) -> str:
    return _MOVES[Trend(int(look.trends.trend[index]))]


def _when(look: _Look, index: int) -> str:
    """Return when the limit is reached, in both ways where the acceleration is significant."""
    if look.limit(index) is None:
        return ""
    reached = phrase_of(look.rule).reached
    rate, bent = float(look.trends.rate_limit_days[index]), float(look.trends.acceleration_limit_days[index])
    if look.trends.limit_days[index] == 0:
        return f", {reached} now"
    if math.isnan(rate) and math.isnan(bent):
        return f", not {reached} within a year at this pace"
    if math.isnan(bent):
        holds = " if the rate holds" if look.trends.limit_if_rate_holds[index] else ""
        return f", {reached} in {words.in_days(rate)}{holds}"
    later = "not within a year" if math.isnan(rate) else words.in_days(rate)
    return f", {reached} in {words.in_days(bent)} at this acceleration, {later} at the present rate"


def _verdict(look: _Look, index: int, sample: Sample, level: str, value: float | None, summary: str) -> Verdict:
    rule = look.rule
    details: dict[str, Any] = {
        "trend": look.trends.word(index),
        "unit": column_of(rule).unit,
        "limit": look.limit(index),
        "limit_days": _finite(look.trends.limit_days[index]),
        "rate_limit_days": _finite(look.trends.rate_limit_days[index]),
        "acceleration_limit_days": _finite(look.trends.acceleration_limit_days[index]),
    }
    if look.plots and level != FINE:
        details["series"] = _plot(look, index)
    ok_word = rule.ok_word if level == FINE and _gets_better(look, index) else ""
    return verdict_of(rule, sample, level, value, summary, ok_word=ok_word, **details)


def _gets_better(look: _Look, index: int) -> bool:
    """Whether the series moves in the good direction."""
    good = (Trend.GROWING, Trend.ACCELERATING) if look.rule.below else (Trend.DECLINING, Trend.DECELERATING)
    return Trend(int(look.trends.trend[index])) in good


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plot(look: _Look, index: int) -> dict[str, Any]:
    """Return the series with its projection up to the limit, or a quarter of the window ahead."""
    days = _finite(look.trends.limit_days[index]) or look.rule.window_seconds / DAY / 4
    ahead = np.linspace(0.0, days, _AHEAD_POINTS)
    chosen = analyse(look.series.rows(np.array([index])), look.rule.window_seconds, look.limits[index])
    mean, low, high = (part[0].tolist() for part in chosen.curve(ahead))
    newest = clock.from_epoch(float(look.trends.time[index]))
    known = ~np.isnan(look.series.times[index])
    return {
        "times": [clock.to_text(clock.from_epoch(moment)) for moment in look.series.times[index][known].tolist()],
        "values": look.series.values[index][known].tolist(),
        "limit": look.limit(index),
        "projection": {
            "times": [clock.to_text(newest + timedelta(days=each)) for each in ahead.tolist()],
            "values": mean,
            "low": low,
            "high": high,
        },
    }


_JUDGES: dict[str, Callable[[_Look, Sequence[Sample]], list[Verdict]]] = {
    GROWTH: _growth,
    ACCELERATION: _acceleration,
    FORECAST: _forecast,
    JUMP: _jump,
}

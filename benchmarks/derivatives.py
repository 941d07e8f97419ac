"""How often derivatives raise a false alarm, how wrong a date is, and how often an interval holds.

``python -m benchmarks derivatives``: simulated disks of 1 TB, read every 15 minutes for a week. Beside ours: ordinary
least squares over the week, and Prometheus' ``predict_linear`` over 6 hours, as node_exporter's alert
NodeFilesystemSpaceFillingUp has it (its formula is the line of least squares, read at the moment of evaluation).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

import numpy as np

from benchmarks.report import Report
from nomade_pipeline.analysis.series import DAY_SECONDS, Floats, SeriesBatch
from nomade_pipeline.analysis.trend import Trends, accelerates, analyse

SERIES, SEED = 400, 20261124
PER_DAY, WINDOW_DAYS, AHEAD_DAYS = 96, 7.0, 60.0
LIMIT = 1000.0  # GB
# An acceleration alarm: [alerts.derivatives] disk_acceleration_warning; a forecast alarm: full within so many days.
ACCELERATION, SOON_DAYS = 1.0, 3.0
PREDICT_LINEAR_DAYS, NEVER = 0.25, 365.0

DAYS = np.arange(-int(WINDOW_DAYS * PER_DAY), int(AHEAD_DAYS * PER_DAY) + 1) / PER_DAY
PAST = int(WINDOW_DAYS * PER_DAY) + 1
SEEN = DAYS[:PAST]


@dataclass(frozen=True)
class Scenario:
    """Simulated series, and what they are without the noise of reading (where they are full is read off there)."""

    values: Floats
    course: Floats


@dataclass(frozen=True)
class Method:
    """What a method says of a scenario: accelerates, days to full, interval after 1 and 7 days."""

    accelerating: Floats
    full_days: Floats
    soon: Floats
    low: Floats | None = None
    high: Floats | None = None


def run() -> list[Report]:
    """Simulate, let each method judge the same samples, and compare."""
    random = np.random.default_rng(SEED)
    flat = {name: make(random) for name, make in FLAT.items()}
    full = {name: make(random) for name, make in FILLING.items()}
    values = {**flat, **{name: scenario.values for name, scenario in full.items()}}
    return [_alarms(flat), _found(full), _dates(full), _coverage(values), _speed(random)]


def _noise(random: np.random.Generator, deviation: float) -> Floats:
    return deviation * random.standard_normal((SERIES, len(DAYS)))


def _walk(random: np.random.Generator, deviation: float) -> Floats:
    walk = np.cumsum(_noise(random, deviation), axis=1)
    return walk - walk[:, PAST - 1 : PAST]


def _wave(random: np.random.Generator, size: float) -> Floats:
    return size * np.sin(2 * np.pi * (DAYS + random.uniform(0, 1, (SERIES, 1))))


def _office(random: np.random.Generator, size: float) -> Floats:
    """Return a load in office hours, five days of seven."""
    moment = DAYS + random.uniform(0, 7, (SERIES, 1)) + 14
    return size * ((moment % 7 < 5) & (moment % 1 > 1 / 3) & (moment % 1 < 3 / 4))


def _lasting(random: np.random.Generator, deviation: float, hours: float) -> Floats:
    """Return noise whose correlation falls to 1/e within so many hours."""
    keep = np.exp(-24 / hours / PER_DAY)
    noise = _noise(random, deviation * np.sqrt(1 - keep**2))
    noise[:, 0] = deviation * random.standard_normal(SERIES)
    for place in range(1, noise.shape[1]):
        noise[:, place] += keep * noise[:, place - 1]
    return noise


def _sawtooth(random: np.random.Generator) -> Scenario:
    """Return growth of 30 GB/day with a clean-up every 2.3 days, the last one at least 6 hours ago; none to come."""
    phase = random.uniform(0.25, 2.3, (SERIES, 1))
    course = 700 + 30 * np.where(DAYS > 0, DAYS + phase, (DAYS + phase) % 2.3)
    return Scenario(course + _noise(random, 0.2), course)


def _spikes(random: np.random.Generator) -> Floats:
    return 60.0 * (random.uniform(0, 1, (SERIES, len(DAYS))) < 0.02)


def _filling(course: Floats, noise: Floats) -> Scenario:
    return Scenario(course + noise, np.broadcast_to(course, noise.shape))


def _walking(random: np.random.Generator) -> Scenario:
    course = 800 + 10 * DAYS + _walk(random, 0.5)
    return Scenario(course, course)


def _rounded(random: np.random.Generator) -> Scenario:
    course = 800 + 10 * DAYS + _noise(random, 0.2)
    return Scenario(10 * np.round(course / 10), course)


Make = Callable[[np.random.Generator], Floats]
FLAT: dict[str, Make] = {
    "flat, noise 0.02 %": lambda random: 850 + _noise(random, 0.17),
    "flat, noise 2 %": lambda random: 850 + _noise(random, 17.0),
    "flat, lasting noise (3 h)": lambda random: 850 + _lasting(random, 5.0, 3.0),
    "flat, read in whole per cent": lambda random: 10 * np.round((853 + _noise(random, 3.0)) / 10),
    "daily wave": lambda random: 850 + _wave(random, 20.0) + _noise(random, 2.0),
    "office hours": lambda random: 850 + _office(random, 30.0) + _noise(random, 2.0),
    "random walk": lambda random: 850 + _walk(random, 0.5),
}

_TEN = 800 + 10 * DAYS
FILLING: dict[str, Callable[[np.random.Generator], Scenario]] = {
    "linear, noise 0.02 %": lambda random: _filling(510 + 10 * DAYS, _noise(random, 0.1)),
    "linear, noise 0.5 %": lambda random: _filling(_TEN, _noise(random, 4.0)),
    "linear, lasting noise (3 h)": lambda random: _filling(_TEN, _lasting(random, 4.0, 3.0)),
    "linear and random walk": _walking,
    "linear and daily wave": lambda random: _filling(_TEN, _wave(random, 5.0) + _noise(random, 0.5)),
    "linear with spikes (2 %)": lambda random: _filling(_TEN, _noise(random, 0.1) + _spikes(random)),
    "linear, read in whole per cent": _rounded,
    "quadratic": lambda random: _filling(600 + 15 * DAYS + 1.5 * DAYS**2, _noise(random, 0.5)),
    "exponential, doubles in 4 days": lambda random: _filling(300 * np.exp2(DAYS / 4), _noise(random, 0.3)),
    "saw-tooth (clean-ups)": _sawtooth,
    "flat, then 40 GB/day for 2 days": lambda random: _filling(
        500 + 40 * (DAYS + 2).clip(0, None), _noise(random, 0.5)
    ),
}


def ours(values: Floats) -> tuple[Method, Trends]:
    """Judge by `analysis.trend`."""
    series = SeriesBatch(np.tile(SEEN * DAY_SECONDS, (len(values), 1)), values[:, :PAST])
    window = WINDOW_DAYS * DAY_SECONDS
    now = analyse(series, window, LIMIT)
    method = Method(
        accelerates(series, window, now, ACCELERATION),
        np.where(np.isnan(now.limit_days), NEVER, now.limit_days),
        now.limit_high_days <= SOON_DAYS,
        now.projected_low,
        now.projected_high,
    )
    return method, now


def least_squares(values: Floats, days: float) -> Method:
    """Judge by ordinary least squares over the last days, with the interval of the textbooks."""
    from scipy.special import stdtrit

    used = days >= -SEEN
    x, y = SEEN[used], values[:, :PAST][:, used].T
    (slope, now), residuals, *_ = np.polyfit(x, y, 1, full=True)
    with np.errstate(divide="ignore"):
        full = np.where(now >= LIMIT, 0.0, (LIMIT - now) / slope)
    full = np.where((full >= 0) & (full <= NEVER), full, NEVER)
    ahead = np.array([1.0, 7.0])
    factor = 1 + 1 / len(x) + (ahead - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    width = stdtrit(len(x) - 2, 0.95) * np.sqrt(residuals[:, None] / (len(x) - 2) * factor)
    mean = now[:, None] + slope[:, None] * ahead
    accelerating = 2 * np.polyfit(x, y, 2)[0] >= ACCELERATION
    return Method(accelerating, full, full <= SOON_DAYS, mean - width, mean + width)


def _alarms(scenarios: dict[str, Floats]) -> Report:
    report = Report(
        f"False alarms, % of {SERIES} evaluations of series that do not fill",
        ("series", "acceleration: ours", "parabola of OLS", "full soon: ours", "OLS 7 d", "predict_linear 6 h"),
    )
    for name, values in scenarios.items():
        mine, week, short = ours(values)[0], least_squares(values, WINDOW_DAYS), _predict_linear(values)
        alarms = (mine.accelerating, week.accelerating, mine.soon, week.soon, short.soon)
        report.add(name, *(100 * float(np.mean(each)) for each in alarms))
    report.notes.append(
        f"An acceleration alarm: ≥ {ACCELERATION:g} GB/day²; ours besides p < .005 in two successive windows. Full "
        f"soon: within {SOON_DAYS:g} days; ours at 90 % confidence, the others by their line."
    )
    return report


def _found(scenarios: dict[str, Scenario]) -> Report:
    report = Report("Acceleration alarms on series that accelerate, %", ("series", "GB/day² now", "ours"))
    for name, now in (("quadratic", 3.0), ("exponential, doubles in 4 days", 300 * (np.log(2) / 4) ** 2)):
        report.add(name, now, 100 * float(np.mean(ours(scenarios[name].values)[0].accelerating)))
    return report


def _predict_linear(values: Floats) -> Method:
    return least_squares(values, PREDICT_LINEAR_DAYS)


def _dates(scenarios: dict[str, Scenario]) -> Report:
    report = Report(
        "Error of the day on which the disk is full, days: median (90 % quantile)",
        ("series", "truth", "ours", "interval holds, %", "OLS 7 d", "predict_linear 6 h", "OLS / ours", "p_l / ours"),
    )
    for name, scenario in scenarios.items():
        values = scenario.values
        truth = DAYS[PAST:][np.argmax(scenario.course[:, PAST:] >= LIMIT, axis=1)]
        mine, trends = ours(values)
        methods = (mine, least_squares(values, WINDOW_DAYS), _predict_linear(values))
        errors = [np.abs(method.full_days - truth) for method in methods]
        medians = [float(np.median(error)) for error in errors]
        told = [f"{np.median(error):.3g} ({np.quantile(error, 0.9):.3g})" for error in errors]
        holds = 100 * float(np.mean((trends.limit_low_days <= truth) & (trends.limit_high_days >= truth)))
        ratios = (medians[1] / medians[0], medians[2] / medians[0])
        report.add(name, float(np.median(truth)), told[0], holds, *told[1:], *ratios)
    return report


def _coverage(scenarios: dict[str, Floats]) -> Report:
    report = Report(
        "Share of samples that the 90 % prediction interval holds, %, and its median width, GB",
        ("series", "ours, 1 day", "7 days", "widths", "OLS 7 d, 1 day", "7 days", "widths"),
    )
    ahead = [PAST - 1 + PER_DAY, PAST - 1 + 7 * PER_DAY]
    for name, values in scenarios.items():
        cells: list[object] = []
        for method in (ours(values)[0], least_squares(values, WINDOW_DAYS)):
            known = ~np.isnan(method.low[:, 0])
            inside = ((values[:, ahead] >= method.low) & (values[:, ahead] <= method.high))[known]
            widths = np.nanmedian(method.high - method.low, axis=0)
            cells += [*(100 * inside.mean(axis=0)), f"{widths[0]:.3g}, {widths[1]:.3g}"]
        report.add(name, *cells)
    return report


def _speed(random: np.random.Generator) -> Report:
    report = Report("10,000 series of 101 samples", ("what", "seconds", "CPU seconds"))
    times = np.tile(np.linspace(0, WINDOW_DAYS * DAY_SECONDS, 101), (10_000, 1))
    series = SeriesBatch(times, 850 + 0.2 * random.standard_normal(times.shape))
    for name, limit in (("with a limit", LIMIT), ("without", None)):
        began, spent = time.perf_counter(), time.process_time()
        analyse(series, WINDOW_DAYS * DAY_SECONDS, limit)
        report.add(name, time.perf_counter() - began, time.process_time() - spent)
    return report


if __name__ == "__main__":
    for each in run():
        print(each.markdown())

"""How good the cloud is beside other generators, what it costs, and how well anomalies and drift are found.

``python -m benchmarks simulation``: planted jobs of eight profiles with atoms, correlations and nulls
(`tests/support/profiles.py`). Streams for drift follow
the hours of a real cluster: which profile a job has depends on its hour.
"""

from __future__ import annotations

import resource
import time
from datetime import date, timedelta
from typing import Callable, Iterator

import numpy as np

from benchmarks.report import Report
from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.config.analysis_settings import DriftSettings
from nomade_pipeline.features.vectors import Scaler, restored
from nomade_pipeline.simulation.anomalies import ODD_P, Yardstick, widened
from nomade_pipeline.simulation.cloud import Cloud
from nomade_pipeline.simulation.drift import DRIFTED, JOBS_PER_CELL, WATCH, Stream, find_drift
from nomade_pipeline.simulation.validation import copies, two_sample_auc
from nomade_pipeline.tables.features import VECTOR
from tests.support.profiles import PROFILES, changed, of_kinds, planted

JOBS, SEEDS = 8_000, 3
PER_DAY, LOOK_BACK, QUARTER = 150, 7, 90
QUARTERS, DRIFTS, DRIFTING_DAYS = 2, 30, 5
# Jobs that ended in each hour of the day (UTC): the trace of Mason.
ENDS = np.array(
    [
        [378, 341, 411, 424, 1655, 1470, 602, 306, 301, 205, 131, 109],
        [130, 164, 331, 361, 403, 516, 727, 662, 586, 672, 589, 536],
    ]
).ravel()
FIRST = date(2026, 1, 1)


def run() -> list[Report]:
    """Measure all, one table each."""
    return [_resemblance(), _cost(), _anomalies(), _drift()]


def _scaler(*rows: Floats) -> Scaler:
    return Scaler.fit(np.concatenate(rows), VECTOR, 5.0)


def _cells(train: Floats, seed: int, labels: Integers | None = None) -> Cloud:
    return Cloud.fit(train, _scaler(train), seed=seed, labels=labels)


def _ours(train: Floats, kinds: Integers, seed: int) -> Floats:
    del kinds
    return _cells(train, seed).sample(len(train), seed)[0]


def _by_profile(train: Floats, kinds: Integers, seed: int) -> Floats:
    return _cells(train, seed, kinds).sample(len(train), seed)[0]


def _independent(train: Floats, kinds: Integers, seed: int) -> Floats:
    """Each quantity drawn by itself."""
    del kinds
    random = np.random.default_rng(seed)
    return np.stack([random.choice(column, len(column)) for column in train.T], axis=1)


def _global_copula(train: Floats, kinds: Integers, seed: int) -> Floats:
    """One Gaussian copula over all jobs: ranks with nulls at random, empirical quantiles."""
    del kinds
    from scipy.special import ndtr, ndtri

    random = np.random.default_rng(seed)
    order = np.lexsort((random.random(train.T.shape), train.T), axis=1)
    ranks = np.argsort(order, axis=1).T
    factor = np.linalg.cholesky(np.corrcoef(ndtri((ranks + 0.5) / len(train)).T) + 1e-6 * np.eye(train.shape[1]))
    shares = ndtr(random.standard_normal(train.shape) @ factor.T)
    places = np.minimum((shares * len(train)).astype(int), len(train) - 1)
    return np.take_along_axis(np.sort(train, axis=0), places, axis=0)


def _mixture(train: Floats, kinds: Integers, seed: int) -> Floats:
    """A mixture of Gaussians on the normalised vectors; nulls are their mean, drawn apart as patterns."""
    del kinds
    from sklearn.mixture import GaussianMixture

    scaler = _scaler(train)
    vectors = scaler.apply(train)[0]
    model = GaussianMixture(2 * PROFILES, reg_covar=1e-4, random_state=seed).fit(vectors)
    drawn = restored(model.sample(len(train))[0] * scaler.spread + scaler.mean, VECTOR)
    nulls = np.isnan(train)[np.random.default_rng(seed).permutation(len(train))]
    return np.where(nulls, np.nan, drawn)


GENERATORS: dict[str, Callable[[Floats, Integers, int], Floats]] = {
    "cloud (cells by k-means)": _ours,
    "cloud (cells: the true profiles)": _by_profile,
    "independent marginals": _independent,
    "one Gaussian copula": _global_copula,
    "mixture of Gaussians": _mixture,
    "real against real (floor)": lambda *given: given[0],
}


def _resemblance() -> Report:
    report = Report(
        f"Simulated jobs against fresh real ones: {JOBS:,} jobs x {len(VECTOR)} quantities, {SEEDS} seeds",
        ("generator", "C2ST AUC: mean (range)", "goal", "near copies of a training job", "of fresh real jobs", "CPU s"),
    )
    for name, generate in GENERATORS.items():
        scores, copied, fresh_copied, seconds = [], [], [], 0.0
        for seed in range(SEEDS):
            (train, kinds), (fresh, _) = planted(JOBS, 100 + seed), planted(JOBS, 200 + seed)
            begin = time.process_time()
            drawn = generate(train, kinds, seed)
            seconds += time.process_time() - begin
            scores.append(two_sample_auc(drawn, fresh, seed).value)
            copied.append(copies(drawn, train, _scaler(train)))
            fresh_copied.append(copies(fresh, train, _scaler(train)))
        goal = "<= .55" if name.startswith("cloud") else ""
        told = f"{np.mean(scores):.3f} ({min(scores):.3f} to {max(scores):.3f})"
        shares = (f"{np.mean(copied):.2%}", f"{np.mean(fresh_copied):.2%}")
        report.add(name, told, goal, *shares, seconds / SEEDS)
    report.notes.append(
        "A copy: normalised, within a hundredth of a deviation a quantity. The floor is the training jobs themselves."
    )
    return report


def _cost() -> Report:
    report = Report("What the cloud costs, one process, one thread", ("step", "CPU s", "goal"))
    train = planted(JOBS, 1)[0]
    _cells(train[:500], 1)  # imports count for nobody
    begin = time.process_time()
    cloud = _cells(train, 1)
    report.add(f"fit to {JOBS:,} jobs", time.process_time() - begin, "")
    for count, goal in ((JOBS, ""), (10_000, "<= .5"), (1_000_000, "<= 30")):
        begin = time.process_time()
        cloud.sample(count, 1)
        report.add(f"draw {count:,} jobs", time.process_time() - begin, goal)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    report.notes.append(
        f"Peak memory of the process: {peak:.2f} GB; the model as JSON: {len(cloud.as_json()):,} bytes."
    )
    return report


def _anomalies() -> Report:
    report = Report("Ordinary jobs called odd, at p <= .01", ("held-out jobs", "false rate: mean (range)", "goal"))
    rates = []
    for seed in range(5):
        train, held, fresh = (planted(JOBS, base + seed)[0] for base in (100, 200, 300))
        scaler = widened(_scaler(train, held))
        cloud = scaler.apply(_cells(train, seed).sample(JOBS, seed)[0])[0]
        scored = Yardstick.of(cloud, scaler.apply(held)[0], seed).score(scaler.apply(fresh)[0])
        rates.append(100 * float((scored.p <= ODD_P).mean()))
    told = f"{np.mean(rates):.2f} % ({min(rates):.2f} to {max(rates):.2f})"
    report.add(f"{JOBS:,}, 5 seeds", told, "1 % +- .2")
    report.notes.append(f"Two random samples of {JOBS:,}: the rate of one seed has a standard error of .16 %.")
    return report


def _jobs_of_day(random: np.random.Generator) -> Floats:
    """Return the jobs of a day: by night other profiles than by day, and a user's whim that day doubles one profile."""
    base = np.arange(PROFILES, 0, -1.0)
    base[random.integers(PROFILES)] *= 2.0
    tilt = np.cos(2 * np.pi * np.arange(PROFILES) / PROFILES)
    kinds = np.empty(PER_DAY, np.int64)
    for number, hour in enumerate(random.choice(24, PER_DAY, p=ENDS / ENDS.sum())):
        weights = base * np.exp(0.7 * tilt * np.sin(2 * np.pi * hour / 24))
        kinds[number] = random.choice(PROFILES, p=weights / weights.sum())
    return of_kinds(kinds, random)


def _window(random: np.random.Generator, days: int) -> tuple[Cloud, Floats]:
    """Return the model of one half of a window of days, and the other half."""
    raw = random.permutation(np.concatenate([_jobs_of_day(random) for _ in range(days)]))
    half = len(raw) // 2
    scaler = _scaler(raw)
    return Cloud.fit(raw[:half], scaler, seed=1, jobs_per_cell=JOBS_PER_CELL), raw[half:]


def _levels(window: tuple[Cloud, Floats], days: list[Floats], random: np.random.Generator) -> Iterator[set[str]]:
    """Yield the levels of the findings at the end of each day that has a whole look-back."""
    for last in range(LOOK_BACK, len(days) + 1):
        dates = [FIRST + timedelta(days=last - LOOK_BACK + n) for n in range(LOOK_BACK) for _ in range(PER_DAY)]
        stream = Stream(np.concatenate(days[last - LOOK_BACK : last]), dates)
        yield {finding.level for finding in find_drift(*window, stream, DriftSettings(), random)}


def _drift() -> Report:
    report = Report(
        f"Drift of 10 % of the jobs; {PER_DAY} jobs a day, judged once a day over {LOOK_BACK} days, window of 30 days",
        ("what", "drift", "watch", "goal"),
    )
    quiet = {DRIFTED: 0, WATCH: 0}
    for quarter in range(QUARTERS):
        random = np.random.default_rng(1000 + quarter)
        window = _window(random, 30)
        for levels in _levels(window, [_jobs_of_day(random) for _ in range(QUARTER + LOOK_BACK - 1)], random):
            quiet[DRIFTED] += DRIFTED in levels
            quiet[WATCH] += bool(levels & {WATCH, DRIFTED})
    report.add(
        f"false days a quarter ({QUARTERS * QUARTER} days)", *(quiet[k] / QUARTERS for k in (DRIFTED, WATCH)), "<= 1"
    )
    delays = {DRIFTED: [], WATCH: []}
    for seed in range(DRIFTS):
        random = np.random.default_rng(2000 + seed)
        window = _window(random, 30)
        days = [_jobs_of_day(random) for _ in range(LOOK_BACK - 1)]
        days += [changed(_jobs_of_day(random), random, 0.1) for _ in range(DRIFTING_DAYS)]
        found = list(_levels(window, days, random))
        for level, wanted in ((DRIFTED, {DRIFTED}), (WATCH, {WATCH, DRIFTED})):
            first = next((number for number, levels in enumerate(found) if levels & wanted), DRIFTING_DAYS)
            delays[level].append((first + 1) * PER_DAY)
    for name, q in (("median", 50), ("90 % quantile", 90)):
        shown = (float(np.percentile(delays[k], q)) for k in (DRIFTED, WATCH))
        report.add(f"jobs until it is found, {name} ({DRIFTS} streams)", *shown, "<= 500")
    within = (f"{np.mean(np.array(delays[k]) <= 500):.0%}" for k in (DRIFTED, WATCH))
    report.add("found within 500 jobs", *within, "")
    report.notes.append(
        "The change: four times the memory, eight times the writes, a third of the busy cores and of the CPU "
        f"efficiency. A day counts whole: {PER_DAY} jobs are the least. Jobs end in the hours in which those of Mason "
        "(Indiana University, October and November 2017) did; their profiles follow the hour, and each day one of them "
        "is twice as frequent."
    )
    return report

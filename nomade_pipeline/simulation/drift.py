"""Whether jobs have changed against a window: per quantity, and all together.

Each job is compared with the held-out jobs of its own cell, so that more of one kind at night or at the end of the
month is no drift; other values within a kind, or a new kind, are. Evidence is counted as in `betting`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.config.analysis_settings import DriftSettings
from nomade_pipeline.simulation.betting import best_bet, log_evidence, sequential_shares, two_sided
from nomade_pipeline.simulation.cloud import Cloud
from nomade_pipeline.simulation.neighbours import distance_to
from nomade_pipeline.tables.simulation import ALL, DRIFT_LEVELS

STABLE, WATCH, DRIFTED = DRIFT_LEVELS
# Of fewer measured jobs nothing is said.
LEAST_MEASURED_JOBS = 30
# Larger cells than the cloud's own: a rank among few jobs says little.
JOBS_PER_CELL = 250
# Simulated jobs to which distances are measured.
POINTS = 10_000
HIGHER, LOWER, WIDER = "higher", "lower", "more extreme"
_DIRECTIONS = (HIGHER, LOWER, WIDER)


@dataclass(frozen=True)
class Stream:
    """Jobs from after a window.

    Attributes:
        raw: n × d, quantities in their units, day by day; within a day in random order, so that the daily pattern is no
            change. NaN is null.
        days: UTC day of each job, ascending.
    """

    raw: Floats
    days: Sequence[date]

    @property
    def starts(self) -> Integers:
        """Place of the first job of each day."""
        places: Integers = np.unique(np.array(self.days), return_index=True)[1].astype(np.int64)
        return places


@dataclass(frozen=True)
class Finding:
    """What the stream says of a quantity.

    Attributes:
        quantity: its name, or `ALL`.
        jobs: jobs of the stream in which it was measured.
        distance: largest difference between the ranks of the jobs since ``since`` and those of the window, 0 to 1:
            about the share of jobs that have changed.
        p: probability that bets on all quantities ever come to such evidence by chance.
        level: one of `DRIFT_LEVELS`.
        since: UTC day on which the change most likely began; None when stable.
        direction: higher, lower or more extreme.
    """

    quantity: str
    jobs: int
    distance: float
    p: float
    level: str
    since: date | None
    direction: str

    @property
    def words(self) -> str:
        """The finding as a sentence."""
        if self.since is None:
            return "as in the window"
        share = f"about {self.distance:.0%} of the jobs since {self.since}"
        chance = f"by chance once in {1 / self.p:,.0f} days" if self.p > 1e-9 else "not by chance"
        if self.quantity == ALL:
            return f"{share} are unlike those of the window; {chance}"
        return f"{self.quantity} is {self.direction} for {share}; {chance}"


def find_drift(
    cloud: Cloud, held: Floats, stream: Stream, settings: DriftSettings, random: np.random.Generator
) -> list[Finding]:
    """Return what has changed, all quantities together first; a quantity without a say is left out.

    Args:
        cloud: model of one half of the window, with cells of `JOBS_PER_CELL`.
        held: m × d, the other half.
        stream: jobs since.
        settings: how often a false alarm is borne.
        random: draws from the cloud, and breaks ties.
    """
    scaler = cloud.scaler
    points = cloud.sample(POINTS, int(random.integers(2**32)))[0]
    before, after, among = (scaler.apply(rows)[0] for rows in (held, stream.raw, points))
    cells = cloud.cells_of(before), cloud.cells_of(after)
    tested = [number for number in np.flatnonzero(scaler.informative) if _says_something(stream.raw[:, number])]
    joint = _ranks(distance_to(before, among), distance_to(after, among), cells, random)
    # Only a larger distance to the cloud is a change.
    shares = {ALL: (joint, (1.0 - joint)[None])}
    for number in tested:
        ranks = _ranks(held[:, number], stream.raw[:, number], cells, random)
        shares[scaler.dimensions[number]] = ranks, two_sided(ranks)
    return [_finding(name, *each, stream, len(shares), settings) for name, each in shares.items()]


def _says_something(values: Floats) -> bool:
    return int((~np.isnan(values)).sum()) >= LEAST_MEASURED_JOBS


def _ranks(before: Floats, after: Floats, cells: tuple[Integers, Integers], random: np.random.Generator) -> Floats:
    """Return the sequential rank of each job among earlier ones of its cell; NaN where it was not measured."""
    ranks, known = np.full(len(after), np.nan), ~np.isnan(before)
    measured = ~np.isnan(after)
    for cell in np.unique(cells[1]):
        own = (cells[1] == cell) & measured
        ranks[own] = sequential_shares(before[(cells[0] == cell) & known], after[own], random)
    return ranks


def _finding(name: str, ranks: Floats, p: Floats, stream: Stream, tests: int, settings: DriftSettings) -> Finding:
    measured = ~np.isnan(ranks)
    starts = np.unique(np.searchsorted(np.flatnonzero(measured), stream.starts))
    starts = starts[starts < measured.sum()]
    rows = p[:, measured]
    evidence = float(log_evidence(rows, starts).max())
    chance = min(1.0, tests * float(np.exp(-evidence)))
    row, start = best_bet(rows, starts)
    level = level_of(chance, settings)
    since = None if level == STABLE else stream.days[int(np.flatnonzero(measured)[start])]
    changed = ranks[measured][start:]
    return Finding(name, int(measured.sum()), _distance(changed, name), chance, level, since, _DIRECTIONS[row])


def _distance(ranks: Floats, name: str) -> float:
    """Return Kolmogorov's distance of ranks (n) from an even spread; of `ALL` only towards larger ones."""
    ordered, count = np.sort(ranks), len(ranks)
    below = float((ordered - np.arange(count) / count).max())
    above = float((np.arange(1, count + 1) / count - ordered).max())
    return max(0.0, below if name == ALL else max(below, above))


def level_of(p: float, settings: DriftSettings) -> str:
    """Return the level of a p-value that counts all quantities of a day."""
    if p <= 1.0 / settings.drift_days:
        return DRIFTED
    return WATCH if p <= 1.0 / settings.watch_days else STABLE


def one_of_each_array(job_ids: Iterable[str], random: np.random.Generator) -> Integers:
    """Return the places of jobs, in random order, of which each array has one: its tasks are one decision of one user.

    Args:
        job_ids: numbers as people write them: ``123``, ``123_4`` for a task of an array.
        random: which task, and the order.
    """
    arrays = np.array([job_id.partition("_")[0] for job_id in job_ids], dtype=object)
    order = random.permutation(len(arrays))
    first: Integers = order[np.sort(np.unique(arrays[order].astype(str), return_index=True)[1])]
    return first


@dataclass(frozen=True)
class Retraining:
    """Whether models are to be trained anew, and why or why not."""

    due: bool
    reason: str


def retraining_due(
    rows: Iterable[Mapping[str, Any]], last_trained: datetime | None, now: datetime, interval_days: int
) -> Retraining:
    """Decide whether the models of a cluster are to be trained anew.

    Args:
        rows: rows of the table `drift`, of any days; those from before the last training say nothing.
        last_trained: when models were trained last; None: there are none.
        now: the present time.
        interval_days: `[prediction] retrain_interval_days`.
    """
    if last_trained is None:
        return Retraining(False, "no model has been trained yet")
    day = clock.start_of(last_trained.date())
    drifted = sorted({row["quantity"] for row in rows if row["level"] == DRIFTED and row["sample_time"] > day})
    if drifted:
        return Retraining(True, f"drift since the last training: {', '.join(drifted)}")
    age = (now - last_trained).days
    if age >= interval_days:
        return Retraining(True, f"the last training is {age} days old; {interval_days} are allowed")
    return Retraining(False, f"trained {age} days ago, and no drift since")

"""What the jobs of a day are compared with: those of the days before, one half to learn from and one half held out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.features.vectors import Scaler, raw_matrix
from nomade_pipeline.features.window import window_of
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.features import LEAST_MEASURED

if TYPE_CHECKING:
    import polars

SEED = 20261124
# Of fewer jobs neither a cloud nor a p-value of 1 % can be told.
LEAST_JOBS = 400


class TooLittle(Exception):
    """There is too little to simulate from; the message says what is missing."""


@dataclass(frozen=True)
class Basis:
    """A window of jobs in two halves; rows are jobs in random order, columns the scaler's quantities in their units.

    Attributes:
        scaler: of the whole window.
        fitted: n × d, jobs that the cloud is fitted to.
        held: m × d, jobs that it has not seen: fresh ones from the same days.
        jobs: rows of `job_features`, those of ``fitted`` first.
        last_day: of the window.
        days: its length.
    """

    scaler: Scaler
    fitted: Floats
    held: Floats
    jobs: polars.DataFrame
    last_day: date
    days: int

    @property
    def first_day(self) -> date:
        """First UTC day of the window."""
        return self.last_day - timedelta(days=self.days - 1)


def basis_of(lake: Lake, cluster: str, last_day: date, days: int, scaler_of: ScalerSettings) -> Basis:
    """Return the basis of the window that ends with a UTC day.

    Raises:
        TooLittle: too few jobs, or too few quantities that are measured and vary.
        LakeError: a stored file cannot be read.
    """
    jobs = window_of(lake, cluster, last_day, days)
    raw = raw_matrix(jobs, scaler_of.dimensions)
    scaler = Scaler.fit(raw, scaler_of.dimensions, scaler_of.clip)
    informative = int(scaler.informative.sum())
    if informative < LEAST_MEASURED:
        raise TooLittle(f"{informative} of {len(scaler.dimensions)} quantities are measured and vary")
    rows = np.flatnonzero(enough_measured(raw, scaler))
    if len(rows) < LEAST_JOBS:
        raise TooLittle(f"{len(rows)} jobs with {LEAST_MEASURED} measured quantities; {LEAST_JOBS} are needed")
    order = np.random.default_rng(SEED).permutation(rows)
    half = len(order) // 2
    return Basis(scaler, raw[order[:half]], raw[order[half:]], jobs[order], last_day, days)


@dataclass(frozen=True)
class ScalerSettings:
    """Which quantities are looked at, and at how many standard deviations they are clipped."""

    dimensions: tuple[str, ...]
    clip: float


def enough_measured(raw: Floats, scaler: Scaler) -> np.ndarray:
    """Return which jobs (n × d) have enough measured, varying quantities to be compared."""
    enough: np.ndarray = scaler.apply(raw)[1].sum(axis=1) >= LEAST_MEASURED
    return enough

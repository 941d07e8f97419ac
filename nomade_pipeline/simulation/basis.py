"""What the jobs of a day are compared with: those of the days before, one half to learn from and one half held out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Sequence

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
    """A window of jobs in two halves, in random order; columns are the scaler's quantities in their units.

    Attributes:
        scaler: of the whole window.
        fitted: n × d, jobs that the cloud is fitted to; NaN is null.
        held: m × d, jobs that it has not seen: fresh ones from the same days.
        jobs: their rows of `job_features`, those of ``fitted`` first.
        last_day: of the window.
    """

    scaler: Scaler
    fitted: Floats
    held: Floats
    jobs: polars.DataFrame
    last_day: date

    @property
    def held_jobs(self) -> polars.DataFrame:
        """The rows of ``held``."""
        return self.jobs[len(self.fitted) :]


def basis_of(lake: Lake, cluster: str, last_day: date, days: int, dimensions: Sequence[str], clip: float) -> Basis:
    """Return the basis of the window that ends with a UTC day.

    Args:
        lake: where `job_features` lies.
        cluster: whose jobs.
        last_day: last day of the window.
        days: its length.
        dimensions: names of the quantities.
        clip: see `Scaler`.

    Raises:
        TooLittle: too few jobs, or too few quantities that are measured and vary.
        LakeError: a stored file cannot be read.
    """
    window = window_of(lake, cluster, last_day, days)
    if window.is_empty():
        raise TooLittle(f"no job ended in the {days} days up to {last_day}, with which others could be compared")
    scaler = Scaler.fit(raw_matrix(window, dimensions), dimensions, clip)
    informative = int(scaler.informative.sum())
    if informative < LEAST_MEASURED:
        raise TooLittle(f"{informative} of {len(dimensions)} quantities are measured and vary")
    jobs, raw = comparable(window, scaler)
    if len(raw) < LEAST_JOBS:
        raise TooLittle(f"{len(raw)} jobs with {LEAST_MEASURED} measured quantities; {LEAST_JOBS} are needed")
    order = np.random.default_rng(SEED).permutation(len(raw))
    half = len(order) // 2
    return Basis(scaler, raw[order[:half]], raw[order[half:]], jobs[order], last_day)


def comparable(jobs: polars.DataFrame, scaler: Scaler) -> tuple[polars.DataFrame, Floats]:
    """Return the jobs that have enough measured, varying quantities, and these (n × d, in their units)."""
    raw = raw_matrix(jobs, scaler.dimensions)
    enough = np.flatnonzero(scaler.apply(raw)[1].sum(axis=1) >= LEAST_MEASURED)
    return jobs[enough], raw[enough]

"""The jobs of a window: those of which network, simulation and drift of a UTC day speak."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from nomade_pipeline import clock
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.features import JOB_FEATURES

if TYPE_CHECKING:
    import polars


def window_of(lake: Lake, cluster: str, day: date, days: int) -> polars.DataFrame:
    """Return the rows of `job_features` of the days that end with a UTC day, sorted by key.

    Args:
        lake: where they lie.
        cluster: whose jobs.
        day: last day of the window.
        days: its length.

    Raises:
        LakeError: a stored file cannot be read.
    """
    end = clock.start_of(day + timedelta(days=1))
    return lake.read(JOB_FEATURES, end - timedelta(days=days), end, clusters=[cluster])

"""The picture of each simulation table of a cluster and UTC day, from what was stored."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Callable, Mapping

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.vectors import raw_matrix
from nomade_pipeline.simulation import plot
from nomade_pipeline.simulation.day import simulated
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.features import JOB_FEATURES
from nomade_pipeline.tables.simulation import DRIFT, SIMULATION_ANOMALIES, SIMULATION_COVERAGE, SIMULATION_VALIDATION

# Days of drift side by side.
DRIFT_DAYS = 14

# Draws a PNG of (lake, config, cluster, day); None where there is nothing to see.
Draw = Callable[[Lake, Config, str, date], "bytes | None"]


def cloud(lake: Lake, config: Config, cluster: str, day: date) -> bytes | None:
    """Return real jobs and the cloud."""
    found = simulated(lake, config, cluster, day)
    return plot.cloud_picture(found.basis.held, found.jobs, found.basis.scaler)


def anomalies(lake: Lake, config: Config, cluster: str, day: date) -> bytes | None:
    """Return real jobs and the cloud, with the odd jobs of the day marked."""
    import polars as pl

    found = simulated(lake, config, cluster, day)
    odd = lake.read_day(SIMULATION_ANOMALIES, cluster, day)["job_id_raw"].to_list()
    jobs = lake.read_day(JOB_FEATURES, cluster, day).filter(pl.col("job_id_raw").is_in(odd))
    return plot.cloud_picture(found.basis.held, found.jobs, found.basis.scaler, raw_matrix(jobs))


def validation(lake: Lake, config: Config, cluster: str, day: date) -> bytes | None:
    """Return how the cloud differs from real jobs."""
    del config
    return plot.validation_picture(lake.read_day(SIMULATION_VALIDATION, cluster, day))


def coverage(lake: Lake, config: Config, cluster: str, day: date) -> bytes | None:
    """Return how much of the real jobs the cloud reaches."""
    del config
    return plot.coverage_picture(lake.read_day(SIMULATION_COVERAGE, cluster, day))


def drift(lake: Lake, config: Config, cluster: str, day: date) -> bytes | None:
    """Return what has changed on the last days."""
    del config
    end = clock.start_of(day + timedelta(days=1))
    rows = lake.read(DRIFT, end - timedelta(days=DRIFT_DAYS), end, clusters=[cluster])
    return plot.drift_picture(rows) if rows.height else None


# By the subject of the asset.
PICTURES: Mapping[str, Draw] = {
    "cloud": cloud,
    "validation": validation,
    "coverage": coverage,
    "anomalies": anomalies,
    "drift": drift,
}

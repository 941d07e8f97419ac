"""Rows of `job_features` to start from: jobs of a few profiles, with quantities around those of their profile."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from support.rows import CLUSTER, DAY, T0, frame_of, row_of

from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.features import JOB_FEATURES, QUANTITIES, VECTOR

if TYPE_CHECKING:
    import polars


def features_of(jobs: int, profiles: int = 4, seed: int = 0, end: datetime = T0, **values: object) -> polars.DataFrame:
    """Return jobs that ended a second apart up to a moment; ``job_id_raw`` counts from 1000."""
    random = np.random.default_rng(seed)
    centres = random.uniform(0.2, 0.8, (profiles, len(VECTOR)))
    rows = []
    for job in range(jobs):
        profile = job % profiles
        measured = np.clip(centres[profile] + 0.05 * random.standard_normal(len(VECTOR)), 0, 1)
        own = {
            **{quantity.name: None for quantity in QUANTITIES},
            **dict(zip(VECTOR, map(float, measured), strict=True)),
            "job_id_raw": str(1000 + job),
            "job_id": str(1000 + job),
            "submit_time": T0 - timedelta(days=1),
            "sample_time": end - timedelta(seconds=jobs - 1 - job),
            "failure_class": 0 if profile else 3,
            "measured": len(VECTOR),
        }
        rows.append(row_of(JOB_FEATURES, **{**own, **values}))
    return frame_of(JOB_FEATURES, rows)


def store_with(root: Path, frame: polars.DataFrame) -> Store:
    """Return a store whose lake holds features, each on the day on which its job ended."""
    import polars as pl

    store = Store.at(root)
    for (day,), rows in frame.group_by(pl.col("sample_time").dt.date()):
        store.lake.replace(JOB_FEATURES, CLUSTER, day, rows)
    return store


__all__ = ["CLUSTER", "DAY", "features_of", "store_with"]

"""A lake with planted jobs, so many a day, and optionally a drift from a day on."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Iterable

import numpy as np
from support.profiles import changed, planted
from support.rows import CLUSTER, DAY, frame_of, value_of

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.features import JOB_FEATURES, VECTOR


def job_rows(raw: Floats, day: date, first: int = 1) -> Iterable[dict[str, object]]:
    """Yield rows of `job_features` with some quantities (n × 17; NaN is null), one a minute of a UTC day."""
    start = clock.start_of(day)
    plain = {column.name: None if column.nullable else value_of(column) for column in JOB_FEATURES.columns}
    for number, job in enumerate(raw):
        moment = start + timedelta(seconds=80 * number)
        known = {name: None if np.isnan(value) else float(value) for name, value in zip(VECTOR, job, strict=True)}
        about = {"job_id_raw": f"{first + number}", "job_id": f"{first + number}", "cluster": CLUSTER}
        counted = int((~np.isnan(job)).sum())
        yield {**plain, **about, **known, "submit_time": moment, "sample_time": moment, "measured": counted}


def fill_lake(root: Path, *, days: int = 12, jobs: int = 150, drift_days: int = 0, share: float = 0.3) -> Store:
    """Write planted jobs of the days that end with `support.rows.DAY`; in the last ones a share of them drifted."""
    store, random = Store.at(root), np.random.default_rng(5)
    raw, _ = planted(days * jobs, 11)
    for number in range(days):
        day = DAY - timedelta(days=days - 1 - number)
        own = raw[number * jobs : (number + 1) * jobs]
        if number >= days - drift_days:
            own = changed(own, random, share)
        store.lake.replace(JOB_FEATURES, CLUSTER, day, frame_of(JOB_FEATURES, job_rows(own, day, 1 + number * jobs)))
    return store

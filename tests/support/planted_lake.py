"""A window of planted jobs in a lake, with the similarity graph that belongs to them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
from support.planted import Planted

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.day import similarity_of_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.features import JOB_FEATURES, VECTOR

CLUSTER = "planted"
PARTITIONS = ("cpu", "gpu")


SUBMITTED = datetime(2026, 2, 28, 18, tzinfo=UTC)


def fill_window(
    store: Store, day: date, planted: Planted, classes: Integers, first_job: int = 0, config: Config | None = None
) -> None:
    """Write the features of planted jobs that ended on a day, and their similarity graph.

    A job is the same one on whatever day it is written. Without a configuration the default one holds.
    """
    jobs = len(classes)
    end = clock.start_of(day) + timedelta(hours=12)
    frame = pl.DataFrame(
        {
            "job_id_raw": [f"{first_job + i:07d}" for i in range(jobs)],
            "submit_time": [SUBMITTED + timedelta(minutes=(first_job + i) % 60) for i in range(jobs)],
            "sample_time": end,
            "failure_class": classes.astype(np.int32),
            "user": [f"user{number:02d}" for number in planted.user],
            "partition": [PARTITIONS[number] for number in planted.partition],
            "node_list": [f"{PARTITIONS[number]}[1-2]" for number in planted.partition],
            **dict(zip(VECTOR, planted.raw.T, strict=True)),
        }
    )
    _put(store, day, frame)
    similarity_of_day(store, config or Config(), day)


def fill_window_without_graph(store: Store, day: date, jobs: int = 40) -> None:
    """Write jobs of which one quantity is known, as a public trace has them."""
    end = clock.start_of(day) + timedelta(hours=12)
    frame = pl.DataFrame(
        {
            "job_id_raw": [str(i) for i in range(jobs)],
            "submit_time": end - timedelta(hours=1),
            "sample_time": end,
            "failure_class": pl.Series([i % 4 // 3 * 3 for i in range(jobs)], dtype=pl.Int32),
            "partition": "batch",
            "runtime_minutes": [float(i) for i in range(jobs)],
        }
    )
    _put(store, day, frame)
    similarity_of_day(store, Config(), day)


def _put(store: Store, day: date, frame: pl.DataFrame) -> None:
    """Write features; of what may not be null and does not matter here any value."""
    table = JOB_FEATURES
    fill = {"text": "", "bool": False, "time": clock.start_of(day)}
    missing = [column for column in table.columns if not column.nullable and column.name not in frame.columns]
    full = frame.with_columns(pl.lit(fill.get(column.type, 0)).alias(column.name) for column in missing)
    store.lake.replace(table, CLUSTER, day, conform(full.with_columns(cluster=pl.lit(CLUSTER)), table))

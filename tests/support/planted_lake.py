"""A window of planted jobs in a lake, with the similarity graph that belongs to them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
from support.planted import Planted, nearest_edges

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import conform
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.features import JOB_FEATURES, VECTOR
from nomade_pipeline.tables.graph import SIMILARITY_EDGES, SIMILARITY_JOBS, SIMILARITY_WINDOWS

CLUSTER = "planted"
PARTITIONS = ("cpu", "gpu")


SUBMITTED = datetime(2026, 2, 28, 18, tzinfo=UTC)


def fill_window(store: Store, day: date, planted: Planted, classes: Integers, first_job: int = 0) -> None:
    """Write the features of planted jobs that ended on a day, and their similarity graph.

    A job is the same one on whatever day it is written.
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
    _put(store, JOB_FEATURES, day, frame)
    edges = nearest_edges(planted.vectors.values)
    own = frame.select("job_id_raw", "submit_time", "failure_class", node=pl.arange(jobs, dtype=pl.Int32))
    _put(store, SIMILARITY_JOBS, day, own)
    _put(
        store,
        SIMILARITY_EDGES,
        day,
        pl.DataFrame({"first": edges.first, "second": edges.second, "weight": edges.weight}),
    )
    _put(store, SIMILARITY_WINDOWS, day, _window(planted, jobs, len(edges.first)))


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
    _put(store, JOB_FEATURES, day, frame)
    _put(store, SIMILARITY_JOBS, day, frame.select("job_id_raw", "submit_time", "failure_class"))
    planted = Planted(np.full((jobs, len(VECTOR)), np.nan), *np.zeros((3, jobs), np.int64))
    note = {"nodes": None, "edges": None, "note": "1 of 17 quantities measured"}
    _put(store, SIMILARITY_EDGES, day, pl.DataFrame())
    _put(
        store,
        SIMILARITY_WINDOWS,
        day,
        _window(planted, jobs, 0).with_columns(**{k: pl.lit(v) for k, v in note.items()}),
    )


def _window(planted: Planted, jobs: int, edges: int) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "nodes": jobs,
                "edges": edges,
                "jobs": jobs,
                "eligible_jobs": jobs,
                "threshold": 0.7,
                "neighbours": 30,
                "clip": 5.0,
                "dimensions": json.dumps(VECTOR),
                "scaler": json.dumps(planted.vectors.scaler.as_dict()),
            }
        ]
    )


def _put(store: Store, table: Table, day: date, frame: pl.DataFrame) -> None:
    """Write rows; what is missing and may not be null is zero, empty or false."""
    given = frame.with_columns(cluster=pl.lit(CLUSTER)) if frame.width else frame
    if "sample_time" not in given.columns:
        given = given.with_columns(sample_time=pl.lit(clock.start_of(day)))
    fill = {"text": "", "bool": False, "time": clock.start_of(day)}
    missing = [column for column in table.columns if not column.nullable and column.name not in given.columns]
    given = given.with_columns(pl.lit(fill.get(column.type, 0)).alias(column.name) for column in missing)
    rows = conform(given if frame.width else given.clear(), table)
    store.lake.replace(table, CLUSTER, day, rows)

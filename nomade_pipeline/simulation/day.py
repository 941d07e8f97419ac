"""The simulation tables of a UTC day: read what they are made of, compute, write.

Each function writes its tables for all clusters anew and returns figures that a person can read, under the cluster's
name. The cloud of a day is made of the window that ends the day before.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.vectors import raw_matrix
from nomade_pipeline.simulation.anomalies import ODD_P, Yardstick, reasons, widened
from nomade_pipeline.simulation.basis import SEED, Basis, TooLittle, basis_of, comparable
from nomade_pipeline.simulation.cloud import Cloud
from nomade_pipeline.simulation.coverage import coverage
from nomade_pipeline.simulation.drift import (
    JOBS_PER_CELL,
    LEAST_MEASURED_JOBS,
    STABLE,
    Stream,
    find_drift,
    one_of_each_array,
    retraining_due,
)
from nomade_pipeline.simulation.neighbours import LARGEST
from nomade_pipeline.simulation.validation import validate
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.features import JOB_FEATURES, VECTOR
from nomade_pipeline.tables.simulation import (
    CLOUD_MODEL,
    DRIFT,
    DRIFT_LEVELS,
    INSIDE,
    PLAUSIBLE,
    SIMULATION_ANOMALIES,
    SIMULATION_CLOUD,
    SIMULATION_COVERAGE,
    SIMULATION_VALIDATION,
)

if TYPE_CHECKING:
    import polars

Figures = dict[str, Any]
# So many of the oddest jobs of a day are told.
MOST_ANOMALIES = 500


@dataclass(frozen=True)
class Simulated:
    """The cloud of a day as it was stored, and the window that it was made of.

    Attributes:
        jobs: n × d, simulated jobs in their units; NaN is null.
    """

    basis: Basis
    cloud: Cloud
    jobs: Floats


def clusters_of(lake: Lake, day: date, days: int) -> list[str]:
    """Return the clusters of which jobs ended on a UTC day or in the days before."""
    first = day - timedelta(days=days)
    return [
        name for name in lake.clusters(JOB_FEATURES) if any(first <= d <= day for d in lake.days(JOB_FEATURES, name))
    ]


def cloud_of_day(store: Store, config: Config, day: date) -> Figures:
    """Fit the cloud of a UTC day to the window before it, draw from it, and write both.

    Raises:
        LakeError: a stored file cannot be read or written.
    """
    return _of_clusters(store, config, day, SIMULATION_CLOUD, _simulate)


def validation_of_day(store: Store, config: Config, day: date) -> Figures:
    """Write how well the cloud of a UTC day resembles real jobs; see `cloud_of_day`."""
    return _of_clusters(store, config, day, SIMULATION_VALIDATION, _validate)


def coverage_of_day(store: Store, config: Config, day: date) -> Figures:
    """Write how much of the real jobs the cloud of a UTC day reaches; see `cloud_of_day`."""
    return _of_clusters(store, config, day, SIMULATION_COVERAGE, _cover)


def anomalies_of_day(store: Store, config: Config, day: date) -> Figures:
    """Write the jobs of a UTC day that lie outside of its cloud; see `cloud_of_day`."""
    return _of_clusters(store, config, day, SIMULATION_ANOMALIES, _anomalies)


def drift_of_day(store: Store, config: Config, day: date) -> Figures:
    """Write what has changed in the days that end with a UTC day against the window before them; see `cloud_of_day`."""
    return _of_clusters(store, config, day, DRIFT, _drift)


def _of_clusters(
    store: Store, config: Config, day: date, table: Table, compute: Callable[[Lake, Config, str, date], Figures]
) -> Figures:
    """Return the figures of each cluster; where there is too little a note, and the table's day is empty."""
    figures: Figures = {}
    for name in clusters_of(store.lake, day, config.simulation.window_days + config.drift.look_back_days):
        try:
            figures[name] = compute(store.lake, config, name, day)
        except TooLittle as missing:
            _put(store.lake, table, name, day, [])
            figures[name] = {"note": str(missing)}
    return figures


def _simulate(lake: Lake, config: Config, cluster: str, day: date) -> Figures:
    days, last = config.simulation.window_days, day - timedelta(days=1)
    about = {"first_day": last - timedelta(days=days - 1), "last_day": last}
    try:
        basis = basis_of(lake, cluster, last, days, VECTOR, config.similarity.clip)
    except TooLittle as missing:
        _put(lake, CLOUD_MODEL, cluster, day, [{**about, "jobs": 0, "fitted": 0, "cells": 0, "note": str(missing)}])
        raise
    cloud = Cloud.fit(basis.fitted, basis.scaler, seed=SEED)
    figures = {"jobs": basis.jobs.height, "fitted": len(basis.fitted), "cells": len(cloud.cells)}
    _put(lake, CLOUD_MODEL, cluster, day, [{**about, **figures, "model": cloud.as_json()}])
    raw, cells = cloud.sample(config.simulation.jobs, SEED)
    _put(lake, SIMULATION_CLOUD, cluster, day, _cloud_frame(raw, cells))
    return {**figures, "simulated": len(raw), "window": f"{about['first_day']} to {last}"}


def _cloud_frame(raw: Floats, cells: np.ndarray) -> polars.DataFrame:
    import polars as pl

    quantities = pl.DataFrame(raw, schema=list(VECTOR)).fill_nan(None)
    return quantities.with_columns(number=pl.int_range(len(raw)), cell=pl.Series(cells))


def simulated(lake: Lake, config: Config, cluster: str, day: date) -> Simulated:
    """Return the cloud of a cluster and UTC day as it was stored.

    Raises:
        TooLittle: there is none; the message says why.
        LakeError: a stored file cannot be read.
    """
    model = lake.read_day(CLOUD_MODEL, cluster, day).to_dicts()
    if not model:
        raise TooLittle(f"no cloud of {day}")
    if model[0]["model"] is None:
        raise TooLittle(model[0]["note"])
    first, last = model[0]["first_day"], model[0]["last_day"]
    basis = basis_of(lake, cluster, last, (last - first).days + 1, VECTOR, config.similarity.clip)
    jobs = raw_matrix(lake.read_day(SIMULATION_CLOUD, cluster, day))
    return Simulated(basis, Cloud.from_json(model[0]["model"]), jobs)


def _validate(lake: Lake, config: Config, cluster: str, day: date) -> Figures:
    found = simulated(lake, config, cluster, day)
    figures = validate(found.jobs, found.basis.fitted, found.basis.held, found.basis.scaler, SEED)
    _put(lake, SIMULATION_VALIDATION, cluster, day, [_flat(asdict(figure)) for figure in figures])
    named = {figure.measure: figure for figure in figures if not figure.quantity}
    return {
        **{name: round(figure.estimate.value, 4) for name, figure in named.items()},
        **{f"{name}_floor": round(figure.floor, 4) for name, figure in named.items()},
        "differing": ", ".join(figure.quantity for figure in figures if figure.significant),
    }


def _cover(lake: Lake, config: Config, cluster: str, day: date) -> Figures:
    found = simulated(lake, config, cluster, day)
    jobs, fitted, held = (
        found.basis.scaler.apply(rows)[0] for rows in (found.jobs, found.basis.fitted, found.basis.held)
    )
    shares = coverage(jobs, fitted, held, SEED)
    told = ((INSIDE, shares.inside, shares.inside_floor), (PLAUSIBLE, shares.plausible, shares.plausible_floor))
    rows = [{"measure": name, **asdict(share), "floor": floor, "jobs": shares.jobs} for name, share, floor in told]
    _put(lake, SIMULATION_COVERAGE, cluster, day, rows)
    return {name: f"{share.value:.3f} (floor {floor:.3f})" for name, share, floor in told}


def _anomalies(lake: Lake, config: Config, cluster: str, day: date) -> Figures:
    found = simulated(lake, config, cluster, day)
    scaler = widened(found.basis.scaler)
    jobs, raw = comparable(lake.read_day(JOB_FEATURES, cluster, day), scaler)
    yardstick = Yardstick.of(scaler.apply(found.jobs)[0], scaler.apply(found.basis.held)[0], SEED)
    scored = yardstick.score(scaler.apply(raw)[0])
    odd = np.flatnonzero(scored.p <= ODD_P)
    top = odd[np.argsort(-scored.distance[odd], kind="stable")][:MOST_ANOMALIES]
    names = ("job_id_raw", "submit_time", "job_id", "sample_time", "failure_class")
    rows = [
        {**row, "distance": distance, "p": p, "sure": bool(sure), "words": words}
        for row, distance, p, sure, words in zip(
            jobs[top].select(names).to_dicts(),
            *(values[top] for values in (scored.distance, scored.p, scored.sure)),
            reasons(raw[top], scaler, found.jobs),
            strict=True,
        )
    ]
    _put(lake, SIMULATION_ANOMALIES, cluster, day, rows)
    return {"jobs": len(raw), "odd": len(odd), "sure": int(scored.sure.sum())}


def _drift(lake: Lake, config: Config, cluster: str, day: date) -> Figures:
    last = day - timedelta(days=config.drift.look_back_days)
    basis = basis_of(lake, cluster, last, config.simulation.window_days, VECTOR, config.similarity.clip)
    cloud = Cloud.fit(basis.fitted, basis.scaler, seed=SEED, jobs_per_cell=JOBS_PER_CELL)
    random = np.random.default_rng(SEED + day.toordinal())
    stream = _stream(lake, cluster, basis, day, random)
    if len(stream.days) < LEAST_MEASURED_JOBS:
        raise TooLittle(f"{len(stream.days)} jobs since {last}; {LEAST_MEASURED_JOBS} are needed")
    alone = one_of_each_array(basis.held_jobs["job_id"], random)[:LARGEST]
    found = find_drift(cloud, basis.held[alone], stream, config.drift, random)
    rows = [{**asdict(finding), "words": finding.words} for finding in found]
    for row in rows:
        del row["direction"]
    _put(lake, DRIFT, cluster, day, rows)
    told = [finding.words for finding in found if finding.level != STABLE]
    # No model has been trained yet in this version; the models' registry will tell when.
    retraining = retraining_due(rows, None, clock.now(), config.prediction.retrain_interval_days)
    return {
        "jobs": len(stream.days),
        "changed": "; ".join(told) or "nothing",
        "level": max((finding.level for finding in found), key=DRIFT_LEVELS.index),
        "retraining_due": retraining.due,
        "retraining": retraining.reason,
    }


def _stream(lake: Lake, cluster: str, basis: Basis, day: date, random: np.random.Generator) -> Stream:
    """Return the jobs of the days from the end of a window to a UTC day, of each array one a day."""
    count = (day - basis.last_day).days
    parts, days = [], []
    for number in range(count):
        each = basis.last_day + timedelta(days=number + 1)
        jobs, raw = comparable(lake.read_day(JOB_FEATURES, cluster, each), basis.scaler)
        chosen = one_of_each_array(jobs["job_id"], random)[: LARGEST // count]
        parts.append(raw[chosen])
        days += [each] * len(chosen)
    return Stream(np.concatenate(parts), days)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its estimate as three columns; NaN as null."""
    plain = {name: value for name, value in row.items() if name != "estimate"} | row["estimate"]
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in plain.items()}


def _put(
    lake: Lake, table: Table, cluster: str, day: date, rows: polars.DataFrame | Iterable[Mapping[str, Any]]
) -> None:
    """Put rows in the place of a day of a table; they lack cluster and day, and what is null."""
    import polars as pl

    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(list(rows), infer_schema_length=None)
    if not frame.height:
        if lake.has(table, cluster, day):
            lake.replace(table, cluster, day, pl.DataFrame(schema=polars_schema(table)))
        return
    fixed = {"cluster": cluster, "sample_time": clock.start_of(day)}
    frame = frame.with_columns(pl.lit(value).alias(name) for name, value in fixed.items() if name not in frame.columns)
    missing = [name for name in table.column_names if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None).alias(name) for name in missing)
    lake.replace(
        table, cluster, day, frame.select(pl.col(name).cast(kind) for name, kind in polars_schema(table).items())
    )

"""Correlation and variance of a window: against plain NumPy, and honest about what was not measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.rows import CLUSTER, DAY, T0, frame_of, row_of

from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.correlation import NAMES, correlation_table, correlations
from nomade_pipeline.features.of_window import correlation_of_day, variance_of_day
from nomade_pipeline.features.variance import components, variance_table
from nomade_pipeline.features.vectors import vectors_of
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.features import FEATURE_CORRELATION, FEATURE_VARIANCE, JOB_FEATURES, VECTOR

RANDOM = np.random.default_rng(20261124)


def jobs(height: int, **columns: object) -> pl.DataFrame:
    """Return jobs with some quantities; the others are null."""
    schema = polars_schema(JOB_FEATURES)
    return pl.DataFrame({name: columns.get(name, [None] * height) for name in NAMES}, strict=False).cast(
        {name: schema[name] for name in NAMES}
    )


def pair(table: pl.DataFrame, first: str, second: str) -> dict[str, object]:
    return table.filter((pl.col("quantity") == first) & (pl.col("other") == second)).row(0, named=True)


@given(
    arrays(float, st.tuples(st.integers(3, 30), st.just(3)), elements=st.floats(-100, 100).map(lambda x: round(x, 3))),
    st.data(),
)
def test_correlations_are_those_of_numpy_over_the_rows_that_have_both(values, data):
    gaps = data.draw(arrays(bool, values.shape))
    values = np.where(gaps, np.nan, values)
    found, count = correlations(values)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = ~np.isnan(values[:, [first, second]]).any(axis=1)
        assert count[first, second] == both.sum()
        kept = values[both][:, [first, second]]
        if both.sum() >= 3 and np.ptp(kept, axis=0).min() > 0.01:
            assert found[first, second] == pytest.approx(np.corrcoef(kept.T)[0, 1], abs=1e-6)


def test_too_few_jobs_and_constant_quantities_have_no_correlation():
    table = correlation_table(
        jobs(4, cpu_efficiency=[0.1, 0.5, None, None], runtime_minutes=[1, 2, 3, 4], avg_iowait=[7, 7, 7, 7]),
        CLUSTER,
        DAY,
    )
    assert table.height == len(NAMES) * (len(NAMES) - 1) // 2
    assert pair(table, "cpu_efficiency", "runtime_minutes")["pearson"] is None
    assert pair(table, "runtime_minutes", "avg_iowait")["pearson"] is None
    assert pair(table, "nfs_ratio", "runtime_minutes")["jobs"] == 0
    assert not table["redundant"].any()


def test_two_quantities_that_say_the_same_are_redundant_whatever_their_scale():
    values = RANDOM.uniform(0, 100, 200)
    table = correlation_table(
        jobs(
            200,
            avg_core_busy=values,
            max_core_busy=np.minimum(100, values**0.5 * 10),
            avg_iowait=RANDOM.uniform(0, 9, 200),
        ),
        CLUSTER,
        DAY,
    )
    assert table.filter("redundant").select("quantity", "other").rows() == [("avg_core_busy", "max_core_busy")]
    assert pair(table, "avg_core_busy", "max_core_busy")["spearman"] == pytest.approx(1)


def test_components_are_those_of_the_covariance_and_their_shares_make_one():
    shared = RANDOM.normal(size=500)
    found = vectors_of(
        jobs(
            500,
            avg_core_busy=shared,
            avg_iowait=shared + RANDOM.normal(size=500) / 100,
            device_util=RANDOM.normal(size=500),
        )
    )
    shares, loadings = components(found)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(2 / 3, abs=0.03)
    largest = np.abs(loadings[:, 0])
    assert {VECTOR[place] for place in np.argsort(largest)[-2:]} == {"avg_core_busy", "avg_iowait"}


def test_the_spread_of_a_quantity_leaves_out_what_was_not_measured():
    table = variance_table(
        jobs(5, runtime_minutes=[1, 2, 3, None, None], avg_iowait=[4, 4, 4, 4, 4]), CLUSTER, DAY, VECTOR, 5.0
    )
    runtime = table.filter(pl.col("quantity") == "runtime_minutes").row(0, named=True)
    assert (runtime["measured_jobs"], runtime["measured_ratio"], runtime["p50"]) == (3, 0.6, 2.0)
    assert runtime["variance_ratio"] == pytest.approx(1.0)
    assert table.filter("constant")["quantity"].to_list() == ["avg_iowait"]
    unmeasured = table.filter(pl.col("quantity") == "nfs_ratio").row(0, named=True)
    assert unmeasured["measured_ratio"] == 0.0
    assert unmeasured["mean"] is unmeasured["p50"] is unmeasured["variance_ratio"] is None


def site(root: Path, days: int) -> Store:
    """Return a store with three jobs a day; their run time grows with their age."""
    store = Store.at(root)
    for back in range(days):
        end = T0 - timedelta(days=back)
        rows = [
            row_of(JOB_FEATURES, job_id_raw=f"{back}.{number}", sample_time=end, runtime_minutes=back + number)
            for number in range(3)
        ]
        keys = [{name: row[name] for name in JOB_FEATURES.column_names} for row in rows]
        store.lake.replace(JOB_FEATURES, CLUSTER, end.date(), frame_of(JOB_FEATURES, keys))
    return store


@pytest.mark.parametrize(("days", "seen"), [(1, 3), (3, 9), (30, 12)])
def test_the_window_has_as_many_days_as_is_configured(tmp_path, days, seen):
    store = site(tmp_path, days=4)
    config = Config(similarity=replace(Config().similarity, window_days=days))
    figures = variance_of_day(store, config, DAY)
    table = store.lake.read_day(FEATURE_VARIANCE, CLUSTER, DAY)
    assert set(table["jobs"]) == {seen}
    assert figures["measured"] == f"{CLUSTER}: 17 of 17 measured"
    correlation_of_day(store, config, DAY)
    assert store.lake.read_day(FEATURE_CORRELATION, CLUSTER, DAY)["jobs"].max() == seen


def test_a_window_without_jobs_empties_what_was_there(tmp_path):
    store = site(tmp_path, days=1)
    for of_day, table in ((correlation_of_day, FEATURE_CORRELATION), (variance_of_day, FEATURE_VARIANCE)):
        assert of_day(store, Config(), DAY)["rows"] > 0
        assert of_day(store, Config(), DAY + timedelta(days=400))["rows"] == 0
        store.lake.remove(JOB_FEATURES, CLUSTER, DAY) if table is FEATURE_VARIANCE else None
    assert variance_of_day(store, Config(), DAY)["rows"] == 0
    assert store.lake.read_day(FEATURE_VARIANCE, CLUSTER, DAY).is_empty()

"""The newest-data check of tables of which a collector may rightly give no row."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.rows import DAY, T0, at, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.quality.freshness import newest_data
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_RESERVATION, SLURM_SCHEDULER

HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
def store(tmp_path):
    return Store.at(tmp_path)


def log(store, collector, outcome, moment=T0):
    values = {"collector": collector, "outcome": outcome, "category": None, "message": None}
    spool(store.spool, reading_of(COLLECTION_LOG, moment, data_of(COLLECTION_LOG, **values)))


def verdict(store, table, now, day=DAY):
    with clock.set_to(now):
        return newest_data(store, table, day, HALF_AN_HOUR)


@pytest.mark.parametrize(("table", "collector"), [(SLURM_RESERVATION, "slurm"), (JOB_METRICS, "job_metrics")])
def test_a_table_that_may_be_empty_is_fresh_while_its_collector_succeeds(store, table, collector):
    log(store, collector, "success")
    assert verdict(store, table, at(10)).passed
    assert not verdict(store, table, at(45)).passed


def test_a_failing_collector_leaves_a_table_that_may_be_empty_stale(store):
    log(store, "slurm", "failed")
    assert not verdict(store, SLURM_RESERVATION, at(10)).passed


def test_a_success_without_the_rows_that_are_always_there_is_no_fresh_data(store):
    log(store, "slurm", "success")
    assert not verdict(store, SLURM_SCHEDULER, at(10)).passed


def test_a_past_day_of_a_table_that_may_be_empty_needs_one_success(store):
    log(store, "slurm", "success")
    tomorrow = T0 + timedelta(days=1)
    assert not verdict(store, SLURM_RESERVATION, tomorrow).passed
    with clock.set_to(at(10)):
        publish_day(store, COLLECTION_LOG, DAY)
    assert verdict(store, SLURM_RESERVATION, tomorrow).passed

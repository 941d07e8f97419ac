"""Answers of Slurm's commands that disagree with each other are found; those that only differ in time are not."""

from __future__ import annotations

import pytest
from support.rows import DAY, T0, at, data_of, reading_of, spool
from support.slurm import ended_job, partition_row, queued_job, running_job

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import event_readings
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.quality.slurm_checks import empty_answers, jobs_without_record
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB, SLURM_PARTITION, SLURM_QUEUE, WHOLE_CLUSTER


@pytest.fixture
def store(tmp_path):
    return Store.at(tmp_path)


def found(store, compare):
    with clock.set_to(at(60)):
        for table in RAW_TABLES:
            if table.collector in ("slurm", "job_metrics"):
                publish_day(store, table, DAY)
        return compare(store, DAY)


def leave(store, *numbers, minutes=10.0):
    """Let jobs run and leave the queue, and one be cancelled while it waited."""
    running = [running_job(number, T0) for number in numbers]
    gone = [running_job(number, T0, kind="gone") for number in numbers]
    spool(store.spool, reading_of(SLURM_JOB, T0, *running, queued_job("99", T0)), host="head")
    spool(store.spool, reading_of(SLURM_JOB, at(minutes), *gone, queued_job("99", T0, kind="gone")), host="head")


def end(store, *numbers):
    jobs = event_readings(JOB_METRICS, [ended_job(number, at(9)) for number in numbers])
    spool(store.spool, *jobs, host="head")


def test_a_job_that_left_the_queue_without_a_record_is_named(store):
    leave(store, "1", "2")
    end(store, "1")
    missing = found(store, jobs_without_record)
    assert missing.count == 1
    assert "does not know their end: 2;" in missing.message


def test_jobs_that_are_accounted_for_or_never_ran_or_left_just_now_are_fine(store):
    leave(store, "1")
    end(store, "1")
    leave(store, "2", minutes=55)
    assert found(store, jobs_without_record).count == 0


@pytest.mark.parametrize(("allocated", "readings", "count"), [(32, 4, 4), (0, 4, 0), (32, 2, 0)])
def test_an_empty_queue_on_busy_nodes_is_an_empty_answer_unless_it_was_a_moment(store, allocated, readings, count):
    empty = dict.fromkeys(("running_jobs", "pending_jobs", "completing_jobs"), 0)
    for minute in range(readings):
        row = data_of(SLURM_PARTITION, partition="standard", cpus_allocated=allocated)
        spool(store.spool, reading_of(SLURM_QUEUE, at(minute), partition_row(WHOLE_CLUSTER, **empty)), host="head")
        spool(store.spool, reading_of(SLURM_PARTITION, at(minute), row), host="head")
    assert found(store, empty_answers).count == count

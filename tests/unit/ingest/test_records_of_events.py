"""Ended jobs are told many times, by any host, long after they ended: each is one row of the day of its end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.rows import CLUSTER, DAY, T0, at, data_of, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import event_readings
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.late import find_late_days
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store import merge
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

YESTERDAY = DAY - timedelta(days=1)


@pytest.fixture
def store(tmp_path):
    return Store.at(tmp_path)


def job(number, end, **values):
    return data_of(JOB_METRICS, job_id_raw=str(number), submit_time=end - timedelta(hours=1), end_time=end, **values)


def tell(store, *jobs, host="head1", minutes=30):
    with clock.set_to(at(minutes)):
        SpoolWriter(store.spool, CLUSTER, host).append(event_readings(JOB_METRICS, jobs))


def publish(store, day=DAY, minutes=40):
    with clock.set_to(at(minutes)):
        publish_day(store, JOB_METRICS, day)
    return store.lake.read_day(JOB_METRICS, "alpha", day)


def test_a_job_belongs_to_the_hour_and_day_of_its_end(store):
    tell(store, job(1, at(-90)), job(2, at(5)), job(3, T0 - timedelta(hours=20)))
    today = publish(store)
    assert today["job_id_raw"].to_list() == ["1", "2"]
    assert today["sample_time"].to_list() == [at(-90), at(5)]
    assert publish(store, YESTERDAY)["job_id_raw"].to_list() == ["3"]


def test_a_job_of_a_closed_day_is_late_data_of_that_day(store):
    tell(store, job(3, T0 - timedelta(hours=20)))
    assert find_late_days(store, DAY) == {YESTERDAY: 1}


def test_two_hosts_that_tell_one_job_make_one_row(store):
    tell(store, job(1, at(5)), host="head1")
    tell(store, job(1, at(5)), host="head2")
    assert publish(store).height == 1


def test_a_requeued_job_is_another_row(store):
    tell(store, job(1, at(5)))
    tell(store, {**job(1, at(6)), "submit_time": at(5.5)})
    assert publish(store)["submit_time"].to_list() == [at(-55), at(5.5)]


def test_the_same_told_again_changes_no_byte_and_a_correction_replaces_it(store):
    folder = store.lake.partition(JOB_METRICS, "alpha", DAY)
    tell(store, job(1, at(5)))
    publish(store)
    before = (folder / "hour-10.parquet").read_bytes()
    with clock.set_to(at(50)):
        again = row_of(JOB_METRICS, **job(1, at(5)), sample_time=at(5), interval_seconds=0.0, host="head1")
        store.lake.publish(JOB_METRICS, "alpha", DAY, frame_of(JOB_METRICS, [{**again, "received_time": at(50)}]))
    assert (folder / "hour-10.parquet").read_bytes() == before
    tell(store, job(1, at(5), account="corrected"), minutes=60)
    assert publish(store, minutes=61)["account"].to_list() == ["corrected"]


def test_a_row_without_its_own_time_is_refused_with_the_reason(store):
    tell(store, job(1, at(5)))
    (file,) = (store.spool / "job_metrics").rglob("*.ndjson")
    file.write_text(file.read_text().replace('"end_time":["2026', '"end_time":["yesterday 2026'))
    with clock.set_to(at(40)):
        report = publish_day(store, JOB_METRICS, DAY)
    assert dict(report.refused) == {"end_time is missing or no time": 1}


def test_a_day_of_jobs_is_merged_in_parts_by_their_number(store, monkeypatch):
    monkeypatch.setattr(merge, "MERGE_ROWS", 2)
    tell(store, *(job(number, at(number)) for number in range(9)))
    publish(store)
    with clock.set_to(at(60 * 24)):
        assert store.lake.close_day(JOB_METRICS, "alpha", DAY)
    assert store.lake.read_day(JOB_METRICS, "alpha", DAY)["job_id_raw"].to_list() == [str(n) for n in range(9)]


def test_no_latest_row_is_kept_of_each_job(store):
    tell(store, job(1, at(5)))
    publish(store)
    roll_up_day(store, DAY)
    assert store.rollups.rows("SELECT * FROM latest") == []

"""From the lake to the database: replaced and never added, exact from hours to days, the newest row kept."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import CLUSTER, DAY, HOST, T0, at, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.system import DISK, IOSTAT_CPU

NOW = at(300)
CPU = "table_name = 'iostat_cpu' AND metric = 'user_percent'"


@pytest.fixture
def store(tmp_path):
    with clock.set_to(NOW):
        yield Store.at(tmp_path)


def fill(store: Store, *minutes: float, percent: float = 10.0, interval: float = 60.0, **values) -> None:
    row = data_of(IOSTAT_CPU, user_percent=percent)
    spool(store.spool, *(reading_of(IOSTAT_CPU, at(m), row, interval=interval) for m in minutes), **values)


def ingest(store: Store, **options):
    for table in (IOSTAT_CPU, DISK, COLLECTION_LOG):
        publish_day(store, table, DAY, **options)
    return roll_up_day(store, DAY)


def hourly(store: Store) -> list[dict]:
    return store.rollups.rows(f"SELECT * FROM hourly WHERE {CPU} ORDER BY host, hour")


def daily(store: Store) -> dict:
    (row,) = store.rollups.rows(f"SELECT * FROM daily WHERE {CPU}")
    return row


def everything(store: Store) -> list:
    names = ("series", "hourly_rollup", "daily_rollup", "latest", "collection_log", "ledger", "sources")
    return [sorted(tuple(row.values()) for row in store.rollups.rows(f"SELECT * FROM {name}")) for name in names]


def test_hours_and_the_day_carry_count_sum_extremes_and_last(store):
    fill(store, 1, 2, percent=10.0)
    fill(store, 61, percent=40.0)
    ingest(store)
    first, second = hourly(store)
    assert (first["count"], first["sum"], first["min"], first["max"], first["last"]) == (2, 20.0, 10.0, 10.0, 10.0)
    assert (first["hour"], second["hour"]) == ("2026-03-05T10:00:00.000Z", "2026-03-05T11:00:00.000Z")
    day = daily(store)
    assert (day["date"], day["count"], day["sum"], day["min"], day["max"], day["last"]) == (
        "2026-03-05",
        3,
        60.0,
        10.0,
        40.0,
        40.0,
    )


def test_the_mean_of_the_views_is_weighted_by_time(store):
    fill(store, 10, percent=50.0, interval=600.0)
    fill(store, 11, percent=10.0, interval=60.0)
    fill(store, 70, percent=0.0, interval=540.0)
    ingest(store)
    assert hourly(store)[0]["mean"] == pytest.approx(30600 / 660)
    assert daily(store)["mean"] == pytest.approx(30600 / 1200)


def test_a_reading_of_a_moment_without_length_has_a_plain_mean(store):
    fill(store, 1, percent=10.0, interval=0.0)
    fill(store, 2, percent=20.0, interval=0.0)
    ingest(store)
    assert hourly(store)[0]["mean"] == 15.0
    assert daily(store)["mean"] == 15.0


def test_rolling_up_again_reads_nothing_and_changes_nothing(store):
    fill(store, 1, 2, 61)
    assert ingest(store).hours["iostat_cpu"] == 2
    before = everything(store)
    assert ingest(store).hours["iostat_cpu"] == 0
    assert everything(store) == before


def test_re_ingest_replaces_and_never_adds(store):
    fill(store, 1, 2, 61)
    ingest(store)
    before = everything(store)
    for table in (IOSTAT_CPU, COLLECTION_LOG):
        publish_day(store, table, DAY, everything=True)
    report = roll_up_day(store, DAY, everything=True)
    assert report.hours["iostat_cpu"] == 2
    assert everything(store) == before
    assert report.rows["daily"] == 4


def test_a_late_reading_changes_its_hour_and_its_day_only(store):
    fill(store, 1, 61)
    ingest(store)
    untouched = hourly(store)[1]
    fill(store, 5, percent=30.0, host=HOST)
    assert ingest(store).hours["iostat_cpu"] == 1
    assert hourly(store)[0]["count"] == 2
    assert hourly(store)[1] == untouched
    assert daily(store)["sum"] == 50.0


def test_a_corrected_reading_replaces_its_aggregate(store):
    fill(store, 1, percent=10.0)
    ingest(store)
    with clock.set_to(at(50)):
        correction = reading_of(IOSTAT_CPU, at(1), data_of(IOSTAT_CPU, user_percent=5.0))
        SpoolWriter(store.spool, CLUSTER, HOST, "monitor").append([correction])
    ingest(store)
    assert [(row["count"], row["sum"], row["last"]) for row in hourly(store)] == [(1, 5.0, 5.0)]


@settings(max_examples=3)
@given(
    st.lists(st.tuples(st.integers(0, 239), st.integers(0, 10_000)), min_size=1, max_size=20, unique_by=lambda s: s[0]),
    st.data(),
)
def test_any_order_of_ingests_gives_the_rollups_of_one_ingest(tmp_path_factory, samples, data):
    with clock.set_to(NOW):
        at_once, in_parts = (Store.at(tmp_path_factory.mktemp("store")) for _ in range(2))
        for minute, hundredths in samples:
            fill(at_once, minute, percent=hundredths / 100)
        ingest(at_once)
        shuffled = data.draw(st.permutations(samples))
        cut = data.draw(st.integers(0, len(shuffled)))
        for part in (shuffled[:cut], shuffled[cut:]):
            for minute, hundredths in part:
                fill(in_parts, minute, percent=hundredths / 100)
            ingest(in_parts)
        assert [{**row, "sum": 0, "integral": 0, "mean": 0} for row in hourly(in_parts)] == [
            {**row, "sum": 0, "integral": 0, "mean": 0} for row in hourly(at_once)
        ]
        day = daily(at_once)
        assert day["sum"] == pytest.approx(sum(hundredths for _, hundredths in samples) / 100)
        assert daily(in_parts)["integral"] == pytest.approx(day["integral"])
        assert (day["count"], day["last"]) == (len(samples), max(samples)[1] / 100)


def test_the_newest_row_of_each_thing_is_kept(store):
    fill(store, 61, percent=12.34)
    ingest(store)
    fill(store, 5, percent=99.0)
    ingest(store)
    (latest,) = store.rollups.rows("SELECT * FROM latest WHERE table_name = 'iostat_cpu'")
    row = json.loads(latest["row"])
    assert (latest["host"], latest["subject"], latest["sample_time"]) == (HOST, "", "2026-03-05T11:01:00.000Z")
    assert row["user_percent"] == 12.34
    assert row["sample_time"] == "2026-03-05T11:01:00.000Z"


def test_a_file_system_of_several_hosts_is_one_series(store):
    row = data_of(DISK, path="/home", filesystem_id="server:/home", used_percent=40.0)
    for host in ("node1", "node2"):
        spool(store.spool, reading_of(DISK, at(1), row, {**row, "path": "/home/groups"}), host=host)
    ingest(store)
    (found,) = store.rollups.rows("SELECT * FROM daily WHERE table_name = 'disk' AND metric = 'used_percent'")
    assert (found["host"], found["subject"], found["count"], found["mean"]) == ("", "server:/home", 2, 40.0)


def log_row(**values) -> dict:
    return data_of(
        COLLECTION_LOG,
        **{
            "collector": "iostat",
            "writer": "agent",
            "started_time": T0,
            "outcome": "success",
            "category": None,
            "message": None,
            "quarantined": 0,
            **values,
        },
    )


def test_collector_runs_are_copied_and_counted_in_the_ledger(store):
    runs = [
        reading_of(COLLECTION_LOG, at(minute), log_row(started_time=clock.to_text(at(minute - 1)), rows=1, seconds=0.1))
        for minute in range(1, 60)
    ]
    spool(store.spool, *runs)
    with clock.set_to(at(60)):
        report = ingest(store)
    (entry,) = store.rollups.rows("SELECT * FROM ledger WHERE collector = 'iostat'")
    assert (entry["expected"], entry["received"], entry["rows"]) == (59, 59, 59)
    assert report.rows["collection_log"] == 59
    (copied,) = store.rollups.rows("SELECT seconds FROM collection_log LIMIT 1")
    assert copied == {"seconds": 0.1}


def test_what_the_ingest_refused_is_in_the_ledger_of_its_collector(store):
    spool(store.spool, reading_of(COLLECTION_LOG, at(1), log_row(started_time=clock.to_text(T0))))
    fill(store, 1)
    with (store.spool / "iostat_cpu" / HOST / "2026-03-05T10.agent.ndjson").open("ab") as end:
        end.write(b"garbage\n")
    ingest(store)
    ingest(store)
    (entry,) = store.rollups.rows(
        "SELECT * FROM ledger WHERE collector = 'iostat' AND hour = '2026-03-05T10:00:00.000Z'"
    )
    assert (entry["cluster"], entry["quarantined"], json.loads(entry["reasons"])) == (CLUSTER, 1, {"not JSON": 1})


def test_an_hour_published_while_it_is_rolled_up_is_rolled_up_again(store):
    """The hash that is noted is the one read before the lake, not the one of the newer content."""
    fill(store, 1)
    publish_day(store, IOSTAT_CPU, DAY)
    ((cluster, hour, before),) = store.rollups.hours_to_roll_up(DAY)["iostat_cpu"]
    rows = store.lake.read_day(IOSTAT_CPU, cluster, DAY, hour)
    fill(store, 2)
    publish_day(store, IOSTAT_CPU, DAY)
    from nomade_pipeline.analysis.aggregate import hourly_aggregates

    store.rollups.replace_hour("iostat_cpu", cluster, hour, before, hourly_aggregates(rows, IOSTAT_CPU))
    assert hourly(store)[0]["count"] == 1
    assert roll_up_day(store, DAY).hours["iostat_cpu"] == 1
    assert hourly(store)[0]["count"] == 2


def test_a_day_without_data_has_empty_rollups(store):
    report = roll_up_day(store, DAY)
    assert set(report.rows.values()) == {0}
    assert set(report.hours.values()) == {0}


def test_clusters_do_not_mix(store):
    fill(store, 1, percent=10.0)
    fill(store, 1, percent=90.0, cluster="beta")
    ingest(store)
    found = store.rollups.rows(f"SELECT cluster, last FROM daily WHERE {CPU} ORDER BY cluster")
    assert found == [{"cluster": CLUSTER, "last": 10.0}, {"cluster": "beta", "last": 90.0}]


def test_the_day_before_is_left_alone(store):
    fill(store, 1)
    ingest(store)
    before = everything(store)
    roll_up_day(store, DAY - timedelta(days=1), everything=True)
    assert everything(store) == before

"""Rollup arithmetic against a naive computation, and its rules for nulls, intervals and shared things."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import CLUSTER, HOST, T0, at, cpu_rows, frame_of, row_of

from nomade_pipeline.analysis.aggregate import exact_rows, hourly_aggregates, latest_rows
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.system import DISK, IOSTAT, IOSTAT_CPU, VMSTAT


def naive(rows: list[dict], metric: str) -> dict:
    """Aggregate one quantity of ``iostat`` rows with plain Python."""
    series = defaultdict(list)
    for row in rows:
        if row[metric] is not None:
            hour = row["sample_time"].replace(minute=0, second=0, microsecond=0)
            series[row["cluster"], row["host"], row["device"], hour].append(row)
    return {
        key: {
            "count": len(found),
            "seconds": sum(row["interval_seconds"] for row in found),
            "sum": sum(row[metric] for row in found),
            "integral": sum(row[metric] * row["interval_seconds"] for row in found),
            "min": min(row[metric] for row in found),
            "max": max(row[metric] for row in found),
            "last": max(found, key=lambda row: row["sample_time"])[metric],
        }
        for key, found in series.items()
    }


samples = st.lists(
    st.tuples(
        st.sampled_from(["alpha", "beta"]),
        st.sampled_from(["node1", "node2"]),
        st.sampled_from(["sda", "sdb"]),
        st.integers(0, 200),
        st.one_of(st.none(), st.integers(0, 10**6).map(lambda n: n / 100)),
        st.integers(1, 7_200_000).map(lambda n: n / 1000),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda sample: sample[:4],
)


@settings(max_examples=50)
@given(samples)
def test_aggregates_are_those_of_a_naive_computation(drawn):
    rows = [
        row_of(
            IOSTAT,
            cluster=cluster,
            host=host,
            device=device,
            sample_time=at(minute),
            queue_length=value,
            interval_seconds=seconds,
        )
        for cluster, host, device, minute, value, seconds in drawn
    ]
    found = {
        (row["cluster"], row["host"], row["subject"], row["hour"]): row
        for row in hourly_aggregates(frame_of(IOSTAT, rows), IOSTAT).to_dicts()
        if row["metric"] == "queue_length"
    }
    wanted = naive(rows, "queue_length")
    assert found.keys() == wanted.keys()
    for key, numbers in wanted.items():
        for name, number in numbers.items():
            # Intervals are 32-bit floats with three decimals in the lake.
            assert math.isclose(found[key][name], number, rel_tol=1e-6, abs_tol=1e-9), (key, name)


def only(frame, metric: str) -> dict:
    (row,) = [row for row in frame.to_dicts() if row["metric"] == metric]
    return row


def test_the_integral_weights_by_the_interval():
    rows = [
        row_of(IOSTAT_CPU, sample_time=at(10), interval_seconds=600.0, user_percent=50.0),
        row_of(IOSTAT_CPU, sample_time=at(11), interval_seconds=60.0, user_percent=10.0),
    ]
    found = only(hourly_aggregates(frame_of(IOSTAT_CPU, rows), IOSTAT_CPU), "user_percent")
    assert found["integral"] / found["seconds"] == pytest.approx((600 * 50 + 60 * 10) / 660)
    assert (found["count"], found["sum"], found["last"]) == (2, 60.0, 10.0)


def test_a_null_is_not_counted_and_its_time_is_not_covered():
    rows = [row_of(VMSTAT, sample_time=at(m), free_bytes=value) for m, value in ((1, 10), (2, None), (3, 20))]
    found = only(hourly_aggregates(frame_of(VMSTAT, rows), VMSTAT), "free_bytes")
    assert (found["count"], found["seconds"], found["sum"], found["min"]) == (2, 120.0, 30.0, 10.0)


def test_a_series_of_nulls_only_has_no_aggregate():
    frame = hourly_aggregates(frame_of(VMSTAT, [row_of(VMSTAT, free_bytes=None)]), VMSTAT)
    assert "free_bytes" not in frame["metric"].to_list()


def test_values_are_the_stored_decimals_not_their_nearest_32_bit_floats():
    found = only(hourly_aggregates(frame_of(IOSTAT_CPU, cpu_rows([1], user_percent=12.34)), IOSTAT_CPU), "user_percent")
    assert (found["min"], found["last"]) == (12.34, 12.34)
    odd = [row_of(IOSTAT_CPU, interval_seconds=60.001)]
    assert only(hourly_aggregates(frame_of(IOSTAT_CPU, odd), IOSTAT_CPU), "user_percent")["seconds"] == 60.001


def test_the_end_of_the_interval_decides_the_hour():
    frame = hourly_aggregates(frame_of(IOSTAT_CPU, cpu_rows([59.999, 60])), IOSTAT_CPU)
    assert frame.filter(metric="user_percent")["hour"].to_list() == [T0, at(60)]


def network(path: str, host: str = HOST, minute: float = 0, **values) -> dict:
    return row_of(DISK, path=path, host=host, sample_time=at(minute), filesystem_id="server:/export", **values)


def test_a_file_system_seen_by_several_hosts_is_one_series():
    rows = [network("/home", host, used_percent=percent) for host, percent in (("node1", 40.0), ("node2", 42.0))]
    found = only(hourly_aggregates(frame_of(DISK, rows), DISK), "used_percent")
    assert (found["host"], found["subject"], found["count"]) == ("", "server:/export", 2)
    assert (found["min"], found["max"]) == (40.0, 42.0)


def test_two_paths_on_one_file_system_are_counted_once():
    rows = [network(path, used_percent=40.0) for path in ("/home", "/home/groups")]
    found = only(hourly_aggregates(frame_of(DISK, rows), DISK), "used_percent")
    assert (found["count"], found["sum"]) == (1, 40.0)


def test_a_path_without_figures_does_not_hide_another_of_its_file_system():
    rows = [network("/a", used_percent=None, status="hung"), network("/b", used_percent=40.0)]
    assert only(hourly_aggregates(frame_of(DISK, rows), DISK), "used_percent")["sum"] == 40.0


def test_an_absent_path_belongs_to_no_series():
    rows = [row_of(DISK, filesystem_id=None, status="absent")]
    assert hourly_aggregates(frame_of(DISK, rows), DISK).is_empty()


def test_a_table_without_measures_has_no_aggregates():
    frame = hourly_aggregates(frame_of(COLLECTION_LOG, [row_of(COLLECTION_LOG)]), COLLECTION_LOG)
    assert frame.is_empty()
    assert frame.columns[:5] == ["cluster", "host", "subject", "metric", "hour"]


def test_no_rows_give_no_aggregates():
    assert hourly_aggregates(frame_of(IOSTAT, []), IOSTAT).is_empty()


def test_the_latest_row_of_each_subject_is_the_newest():
    rows = [row_of(IOSTAT, device=d, sample_time=at(m), queue_length=m) for m in (3, 1, 2) for d in ("sda", "sdb")]
    found = latest_rows(frame_of(IOSTAT, rows), IOSTAT)
    assert found.select("subject", "queue_length").rows() == [("sda", 3.0), ("sdb", 3.0)]


def test_a_subject_of_several_columns_is_joined():
    row = row_of(COLLECTION_LOG, collector="disk", writer="agent")
    assert latest_rows(frame_of(COLLECTION_LOG, [row]), COLLECTION_LOG)["subject"].to_list() == ["disk/agent"]


def test_exact_rows_hold_the_decimals_that_were_stored():
    rows = exact_rows(frame_of(IOSTAT_CPU, cpu_rows([1], user_percent=0.1)), IOSTAT_CPU)
    assert rows["user_percent"].to_list() == [0.1]
    assert rows["host"].to_list() == [HOST]
    assert rows["cluster"].to_list() == [CLUSTER]

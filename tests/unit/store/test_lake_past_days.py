"""Publishing a day that is over as one closed file: what imports and backfills do."""

from __future__ import annotations

import pytest
from support.rows import CLUSTER, DAY, T0, at, cpu_rows, frame_of

from nomade_pipeline.store import lake as module
from nomade_pipeline.store.lake import Lake, LakeError
from nomade_pipeline.tables.system import IOSTAT_CPU


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def publish_over(lake: Lake, rows: list):
    return lake.publish_over(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, rows))


def files(lake: Lake) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in lake.partition(IOSTAT_CPU, CLUSTER, DAY).iterdir()}


def test_a_new_day_is_one_file_and_its_hours_are_told(lake):
    published = publish_over(lake, cpu_rows([1, 2, 61]))
    assert (published.rows, published.added) == (3, 3)
    assert {hour: count for hour, (_, count) in published.hours.items()} == {T0: 2, at(60): 1}
    assert lake.is_closed(IOSTAT_CPU, CLUSTER, DAY)
    assert list(files(lake)) == ["day.parquet"]


def test_it_gives_the_bytes_that_hours_that_are_closed_give(lake, tmp_path):
    publish_over(lake, cpu_rows(range(0, 180, 7)))
    other = Lake(tmp_path / "other")
    other.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows(range(0, 180, 7))))
    other.close_day(IOSTAT_CPU, CLUSTER, DAY)
    assert files(lake) == files(other)


@pytest.mark.parametrize("closed", [True, False])
def test_what_the_day_holds_already_stays(lake, closed):
    lake.publish(IOSTAT_CPU, CLUSTER, DAY, frame_of(IOSTAT_CPU, cpu_rows(range(90))))
    if closed:
        lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    published = publish_over(lake, cpu_rows([1, 30.5]))
    assert (published.rows, published.added) == (91, 1)
    assert list(files(lake)) == ["day.parquet"]


def test_the_same_rows_again_touch_no_file(lake):
    first = publish_over(lake, cpu_rows([1, 2]))
    path = lake.partition(IOSTAT_CPU, CLUSTER, DAY) / "day.parquet"
    before = path.stat()
    again = publish_over(lake, cpu_rows([2, 1]))
    assert (again.added, again.hours) == (0, first.hours)
    assert path.stat().st_ino == before.st_ino


def test_a_change_of_one_hour_is_told_of_every_hour(lake):
    before = publish_over(lake, cpu_rows([1, 61]))
    after = publish_over(lake, cpu_rows([62]))
    assert all(before.hours[hour][0] != after.hours[hour][0] for hour in before.hours)


def test_a_day_too_large_for_memory_is_joined_in_parts(lake, monkeypatch):
    monkeypatch.setattr(module, "MERGE_ROWS", 3)
    rows = [row for host in ("node1", "node2", "node3") for row in cpu_rows(range(4), host=host)]
    first = publish_over(lake, rows)
    assert first.rows == 12
    before = files(lake)
    assert publish_over(lake, rows).hours == first.hours
    assert files(lake) == before


def test_a_cluster_that_cannot_be_a_folder_is_refused(lake):
    with pytest.raises(LakeError, match="folder"):
        lake.publish_over(IOSTAT_CPU, "../x", DAY, frame_of(IOSTAT_CPU, cpu_rows([1])))

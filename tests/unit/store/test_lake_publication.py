"""Publishing: nothing stored is lost, the order does not matter, and the last received reading wins."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import CLUSTER, DAY, HOST, T0, at, cpu_rows, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.store.lake import Lake, LakeError
from nomade_pipeline.store.parquet import winners
from nomade_pipeline.tables.system import IOSTAT, IOSTAT_CPU

END = T0 + timedelta(days=2)


def publish(lake: Lake, rows: list, table=IOSTAT_CPU, cluster: str = CLUSTER):
    return lake.publish(table, cluster, DAY, frame_of(table, rows))


def stored(lake: Lake, table=IOSTAT_CPU) -> pl.DataFrame:
    return lake.read(table, T0 - timedelta(days=2), END)


def digests(lake: Lake) -> dict[str, str]:
    files = sorted(file for file in (lake.root / "raw").rglob("*") if file.is_file())
    return {str(file.relative_to(lake.root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def test_rows_are_read_back_as_they_were_published(lake):
    rows = [row_of(IOSTAT, device=name, device_id=None, sample_time=at(m)) for name in ("sda", "sdb") for m in (1, 2)]
    published = publish(lake, rows, IOSTAT)
    assert stored(lake, IOSTAT).equals(frame_of(IOSTAT, rows))
    assert (published.rows, published.added, list(published.hours)) == (4, 4, [T0])


def test_a_late_row_does_not_erase_an_hour_whose_spool_is_gone(lake):
    publish(lake, cpu_rows(range(60)))
    published = publish(lake, cpu_rows([30.5]))
    assert (published.rows, published.added) == (61, 1)
    assert stored(lake).height == 61


def test_a_late_row_does_not_erase_a_closed_day(lake):
    publish(lake, cpu_rows(range(120)))
    lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    published = publish(lake, cpu_rows([30.5]))
    assert (published.rows, published.added, published.hours[T0][1]) == (121, 1, 61)
    assert lake.is_closed(IOSTAT_CPU, CLUSTER, DAY)


@pytest.mark.parametrize("newer_first", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_the_reading_received_last_wins_in_whatever_order_they_come(lake, newer_first, closed):
    older = cpu_rows([1], user_percent=10.0)
    newer = cpu_rows([1], user_percent=20.0, received_time=at(50))
    first, second = (newer, older) if newer_first else (older, newer)
    publish(lake, first)
    if closed:
        lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    assert publish(lake, second).added == 0
    assert stored(lake)["user_percent"].to_list() == [20.0]


def rows_drawn(drawn: list) -> list[dict]:
    return [
        row_of(IOSTAT, device=device, sample_time=at(30 * step), received_time=at(200 + late), queue_length=float(load))
        for step, device, late, load in drawn
    ]


drawn_rows = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["sda", "sdb"]), st.integers(0, 2), st.integers(0, 2)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=50)
@given(drawn_rows, st.randoms(use_true_random=False))
def test_the_winners_of_any_rows_do_not_depend_on_their_order(drawn, random):
    rows = rows_drawn(drawn)
    wanted = winners(IOSTAT, [frame_of(IOSTAT, rows)])
    random.shuffle(rows)
    cut = random.randint(0, len(rows))
    first = winners(IOSTAT, [frame_of(IOSTAT, rows[:cut])])
    assert winners(IOSTAT, [first, frame_of(IOSTAT, rows[cut:])]).equals(wanted)
    best: dict = {}
    for row in rows:
        key = tuple(row[name] for name in IOSTAT.key)
        best[key] = max(best.get(key, ()), (row["received_time"], row["queue_length"]))
    assert {row[:-2]: row[-2:] for row in wanted.select(*IOSTAT.key, "received_time", "queue_length").rows()} == best


@settings(max_examples=6)
@given(drawn_rows, st.randoms(use_true_random=False), st.booleans())
def test_any_partition_of_rows_in_any_order_gives_byte_identical_files(tmp_path_factory, drawn, random, closes):
    rows = rows_drawn(drawn)
    lakes = [Lake(tmp_path_factory.mktemp("lake")) for _ in range(2)]
    publish(lakes[0], rows, IOSTAT)
    random.shuffle(rows)
    while rows:
        part = [rows.pop() for _ in range(random.randint(1, len(rows)))]
        publish(lakes[1], part, IOSTAT)
        if closes and random.random() < 0.3:
            lakes[1].close_day(IOSTAT, CLUSTER, DAY)
    for lake in lakes:
        lake.close_day(IOSTAT, CLUSTER, DAY)
    assert digests(lakes[0]) == digests(lakes[1])


def test_the_same_rows_give_the_same_bytes(tmp_path):
    lakes = [Lake(tmp_path / name) for name in ("one", "two")]
    for lake in lakes:
        publish(lake, cpu_rows(range(90)))
    assert digests(lakes[0]) == digests(lakes[1])
    assert len(digests(lakes[0])) == 2


def test_publishing_the_same_rows_again_changes_nothing(lake):
    for _ in range(2):
        publish(lake, cpu_rows(range(90)))
        lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
        before = digests(lake)
        published = publish(lake, cpu_rows(range(90)))
        assert digests(lake) == before
        assert published.added == 0


def test_closing_a_day_keeps_its_rows_in_one_file(lake):
    publish(lake, cpu_rows(range(0, 300, 7)))
    before = stored(lake)
    assert lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    assert [file.name for file in lake.partition(IOSTAT_CPU, CLUSTER, DAY).iterdir()] == ["day.parquet"]
    assert stored(lake).equals(before)
    assert lake.count(IOSTAT_CPU, CLUSTER, DAY) == before.height


def test_closing_a_closed_or_an_empty_day_does_nothing(lake):
    assert not lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    publish(lake, cpu_rows([1]))
    assert lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    assert not lake.close_day(IOSTAT_CPU, CLUSTER, DAY)


def test_a_dataset_folder_holds_published_files_only(lake):
    publish(lake, cpu_rows(range(0, 300, 7)))
    lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    publish(lake, cpu_rows([0.5]))
    found = [str(file.relative_to(lake.root / "raw")) for file in (lake.root / "raw").rglob("*") if file.is_file()]
    assert found == [f"iostat_cpu/cluster={CLUSTER}/date=2026-03-05/day.parquet"]
    assert list((lake.root / ".staging").iterdir()) == []
    assert list((lake.root / ".trash").iterdir()) == []


@pytest.mark.parametrize("cluster", ["../x", "", "a/b", "a@b", "[a]*", "a\0b", ".hidden", "x" * 65])
def test_a_cluster_that_cannot_be_a_folder_is_refused(lake, cluster):
    with pytest.raises(LakeError, match="folder's name"):
        publish(lake, cpu_rows([1], cluster=cluster), cluster=cluster)
    assert not lake.root.exists()


def test_an_interval_is_half_open_and_columns_and_clusters_can_be_chosen(lake):
    publish(lake, cpu_rows(range(5)))
    publish(lake, cpu_rows(range(5), cluster="beta"), cluster="beta")
    rows = lake.read(IOSTAT_CPU, at(1), at(3), clusters=["beta"], columns=["cluster", "sample_time"])
    assert rows.rows() == [("beta", at(1)), ("beta", at(2))]
    assert lake.read(IOSTAT_CPU, at(1), at(3)).height == 4
    assert lake.clusters(IOSTAT_CPU) == [CLUSTER, "beta"]


def test_a_day_holds_its_first_moment_and_not_the_next_days(lake):
    first, last = clock.start_of(DAY), clock.start_of(DAY + timedelta(days=1))
    publish(
        lake, [row_of(IOSTAT_CPU, sample_time=first), row_of(IOSTAT_CPU, sample_time=last - timedelta(milliseconds=1))]
    )
    lake.publish(IOSTAT_CPU, CLUSTER, last.date(), frame_of(IOSTAT_CPU, [row_of(IOSTAT_CPU, sample_time=last)]))
    assert lake.read(IOSTAT_CPU, first, last).height == 2
    assert lake.read(IOSTAT_CPU, last, END).height == 1


def test_one_hour_of_an_open_or_a_closed_day_can_be_read(lake):
    publish(lake, cpu_rows([59, 60, 61, 119, 120]))
    open_hour = lake.read_day(IOSTAT_CPU, CLUSTER, DAY, at(60))
    assert open_hour["sample_time"].to_list() == [at(60), at(61), at(119)]
    lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    assert lake.read_day(IOSTAT_CPU, CLUSTER, DAY, at(60)).equals(open_hour)


def test_an_empty_lake_has_nothing_and_is_not_made_by_looking(lake):
    assert lake.clusters(IOSTAT_CPU) == []
    assert lake.days(IOSTAT_CPU, CLUSTER) == []
    assert not lake.has(IOSTAT_CPU, CLUSTER, DAY)
    assert lake.newest(IOSTAT_CPU, CLUSTER, DAY) is None
    assert stored(lake).schema == frame_of(IOSTAT_CPU, []).schema
    assert not lake.root.exists()


def test_folders_that_are_no_days_are_passed_over(lake):
    publish(lake, cpu_rows([1]))
    (lake.root / "raw" / "iostat_cpu" / f"cluster={CLUSTER}" / "date=old-copy").mkdir()
    (lake.partition(IOSTAT_CPU, CLUSTER, DAY) / "hour-10.parquet.bak").write_bytes(b"x")
    assert lake.days(IOSTAT_CPU, CLUSTER) == [DAY]
    assert stored(lake).height == 1


def test_a_removed_day_is_gone_and_leaves_nothing_behind(lake):
    publish(lake, cpu_rows([1]))
    lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    lake.remove(IOSTAT_CPU, CLUSTER, DAY)
    assert lake.days(IOSTAT_CPU, CLUSTER) == []
    assert stored(lake).is_empty()
    lake.recover()
    assert stored(lake).is_empty()
    assert list((lake.root / ".staging").iterdir()) == []


def test_a_day_in_the_trash_is_read_from_there_until_it_is_put_back(lake):
    """A swap that was cut off between its two renames leaves the day in the trash alone."""
    publish(lake, cpu_rows(range(90)))
    before = stored(lake)
    trash = lake.root / ".trash" / f"iostat_cpu@{CLUSTER}@{DAY.isoformat()}@0123"
    trash.parent.mkdir()
    lake.partition(IOSTAT_CPU, CLUSTER, DAY).rename(trash)
    assert stored(lake).equals(before)
    assert lake.days(IOSTAT_CPU, CLUSTER) == [DAY]
    lake.recover()
    assert not trash.exists()
    assert stored(lake).equals(before)


def test_a_publication_puts_a_day_back_before_it_adds_to_it(lake):
    publish(lake, cpu_rows(range(90)))
    trash = lake.root / ".trash" / f"iostat_cpu@{CLUSTER}@{DAY.isoformat()}@0123"
    trash.parent.mkdir()
    lake.partition(IOSTAT_CPU, CLUSTER, DAY).rename(trash)
    assert publish(lake, cpu_rows([0.5])).rows == 91


def test_recovery_clears_old_leftovers_and_spares_the_work_of_others(lake):
    publish(lake, cpu_rows([1]))
    leftovers = lake.root / ".staging"
    (leftovers / "file").write_bytes(b"half")
    (leftovers / "folder").mkdir()
    lake.recover()
    assert len(list(leftovers.iterdir())) == 2
    with clock.set_to(clock.now() + timedelta(hours=2)):
        lake.recover()
    assert list(leftovers.iterdir()) == []


def test_hosts_and_subjects_do_not_mix(lake):
    publish(
        lake,
        [row_of(IOSTAT, host=host, device=device) for host in (HOST, "node2") for device in ("sda", "sdb")],
        IOSTAT,
    )
    assert stored(lake, IOSTAT).height == 4


def test_the_files_lie_where_hive_readers_look(lake):
    publish(lake, cpu_rows([1]))
    files = list(digests(lake))
    assert files == [str(Path("raw/iostat_cpu") / f"cluster={CLUSTER}" / "date=2026-03-05" / "hour-10.parquet")]


def test_a_day_merged_a_few_hosts_at_a_time_is_the_one_merged_at_once(tmp_path, monkeypatch):
    """Large days are merged by ranges of hosts and written in several row groups; nobody may see that."""
    hosts = [f"node{number}" for number in range(12)]
    rows = [row for host in hosts for row in cpu_rows(range(0, 180, 20), host=host)]
    late = [
        row for host in hosts[3:7] for row in cpu_rows([5, 20], host=host, received_time=at(250), user_percent=99.0)
    ]
    lakes = []
    for name, merge_rows, group_rows in (("at once", 10**6, 10**5), ("in parts", 20, 7)):
        monkeypatch.setattr("nomade_pipeline.store.merge.MERGE_ROWS", merge_rows)
        monkeypatch.setattr("nomade_pipeline.store.parquet.ROW_GROUP_ROWS", group_rows)
        lake = Lake(tmp_path / name)
        publish(lake, rows)
        lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
        published = publish(lake, late)
        lakes.append((stored(lake), published))
    assert lakes[0][0].equals(lakes[1][0])
    assert (lakes[0][1].rows, lakes[0][1].added) == (lakes[1][1].rows, lakes[1][1].added)
    assert lakes[0][0].height == len(rows) + 4
    assert lakes[0][0].filter(user_percent=99.0).height == 8

"""From the spool to the lake: idempotent, whole, with everything that is refused kept and counted once."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta

import pytest
from support.rows import CLUSTER, DAY, HOST, T0, at, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.ingest.day import MIN_REFUSED, TooManyRefused, publish_day
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import DISK, IOSTAT_CPU

LATER = at(300)


@pytest.fixture
def store(tmp_path):
    with clock.set_to(LATER):
        yield Store.at(tmp_path)


def fill(store: Store, *minutes: float, **values) -> object:
    return spool(store.spool, *(reading_of(IOSTAT_CPU, at(minute)) for minute in minutes), **values)


def stored(store: Store, table=IOSTAT_CPU):
    return store.lake.read(table, T0 - timedelta(days=1), T0 + timedelta(days=2))


def files(store: Store) -> dict:
    return {path: path.read_bytes() for path in sorted((store.lake.root / "raw").rglob("*.parquet"))}


def book(store: Store) -> list[dict]:
    return store.rollups.rows("SELECT * FROM ingested_files ORDER BY path")


def test_the_readings_of_the_spool_are_published(store):
    fill(store, 0, 1, 60)
    fill(store, 0, host="node2")
    report = publish_day(store, IOSTAT_CPU, DAY)
    assert (report.files, report.rows, report.added, report.clusters, report.newest) == (3, 4, 4, [CLUSTER], at(60))
    assert stored(store).select("host", "sample_time").rows() == [
        (HOST, at(0)),
        (HOST, at(1)),
        (HOST, at(60)),
        ("node2", at(0)),
    ]


def test_only_the_day_that_is_asked_for_is_published(store):
    midnight = clock.start_of(DAY + timedelta(days=1))
    spool(store.spool, *(reading_of(IOSTAT_CPU, midnight + timedelta(seconds=s)) for s in (-0.001, 0)))
    with clock.set_to(midnight + timedelta(hours=1)):
        assert publish_day(store, IOSTAT_CPU, DAY).rows == 1
        assert publish_day(store, IOSTAT_CPU, DAY + timedelta(days=1)).rows == 1


def test_publishing_twice_reads_nothing_and_changes_nothing(store):
    fill(store, 0, 1, 60)
    publish_day(store, IOSTAT_CPU, DAY)
    before, books = files(store), book(store)
    report = publish_day(store, IOSTAT_CPU, DAY)
    assert (report.files, report.rows, report.added) == (0, 3, 0)
    assert files(store) == before
    assert book(store) == books


def test_reading_everything_again_changes_nothing(store):
    fill(store, 0, 1, 60)
    publish_day(store, IOSTAT_CPU, DAY)
    before, hours = files(store), store.rollups.rows("SELECT * FROM lake_hours")
    report = publish_day(store, IOSTAT_CPU, DAY, everything=True)
    assert (report.files, report.rows, report.added) == (2, 3, 0)
    assert files(store) == before
    assert store.rollups.rows("SELECT * FROM lake_hours") == hours


def test_the_growth_of_the_current_hour_is_taken_and_no_other_file_is_read(store):
    fill(store, 0, 60)
    publish_day(store, IOSTAT_CPU, DAY)
    fill(store, 61)
    report = publish_day(store, IOSTAT_CPU, DAY)
    assert (report.files, report.rows, report.added) == (1, 3, 1)


def test_a_line_that_is_being_written_waits_for_its_end(store):
    file = fill(store, 0, 1)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert publish_day(store, IOSTAT_CPU, DAY).rows == 1
    assert list(store.quarantine.entries()) == []
    file.write_bytes(whole)
    assert publish_day(store, IOSTAT_CPU, DAY).rows == 2
    assert book(store)[0]["quarantined"] == 0


def test_a_torn_line_is_quarantined_with_its_content_and_spoils_no_other(store):
    file = fill(store, 0)
    with file.open("ab") as end:
        end.write(b'{"v":1,"table":"iost')
    fill(store, 1)
    report = publish_day(store, IOSTAT_CPU, DAY)
    assert (report.rows, dict(report.refused)) == (2, {"not JSON": 1})
    ((path, refused),) = store.quarantine.entries()
    assert (refused.reason, refused.content) == ("not JSON", '{"v":1,"table":"iost')
    assert path.name == f"{HOST}.2026-03-05T10.agent.ndjson"


def spoil(store: Store, *contents: dict | bytes, minute: float = 0.5) -> None:
    """Append lines to the spool: a good one with changes, or bytes as they are."""
    file = fill(store, minute)
    good = json.loads(file.read_bytes().splitlines()[-1])
    with file.open("ab") as end:
        for content in contents:
            end.write(content if isinstance(content, bytes) else json.dumps({**good, **content}).encode())
            end.write(b"\n")


HOSTILE = {
    "other table": ({"table": "vmstat", "data": {}}, "a reading of table vmstat in a file of iostat_cpu"),
    "other host": ({"host": "node9"}, "a reading of host node9 in a file of node1"),
    "other hour": ({"sample_time": "2026-03-05T11:00:00Z"}, "sample_time is not in the hour of the file"),
    "other cluster folder": ({"cluster": "../../x"}, "cannot be a folder's name"),
    "huge rows": ({"rows": 10**15, "data": {}}, "rows is not the length of any column"),
    "negative rows": ({"rows": -5}, "rows is not the length of any column"),
    "mismatch": ({"rows": 3}, "has not 3 values"),
    "wrong type": ({"data": {"user_percent": ["many"]}}, "user_percent holds str"),
    "out of range": ({"data": {"user_percent": [101]}}, "user_percent is above 100"),
    "a column left out": ({"data": {}}, "user_percent is missing"),
    "an endless table": ({"table": "x" * 10_000}, "no raw table"),
    "nested": (b"[" * 100_000, "not JSON"),
    "nested object": (b'{"v":' * 50_000, "not JSON"),
    "ten megabytes": (b'{"v": "' + b"x" * 10_000_000 + b'"}', "spool format 'xxx"),
    "ten megabytes of garbage": (b"x" * 10_000_000, "not JSON"),
    "a number beyond floats": (b'{"v": 1e999}', "not JSON"),
    "bytes that are no text": (bytes(range(128, 256)), "not JSON"),
    "nothing but nul": (b"\0" * 4096, "not JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_is_refused_with_the_reason_and_counted_once(store, name):
    content, reason = HOSTILE[name]
    spoil(store, content)
    for _ in range(2):
        report = publish_day(store, IOSTAT_CPU, DAY, everything=True)
        assert report.rows == 1
        ((found, count),) = report.refused.items()
        assert reason in found
        assert len(found) < 500
        assert count == 1
        assert [(row["readings"] >= 1, row["rows"], row["quarantined"]) for row in book(store)] == [(True, 1, 1)]
        assert len(list(store.quarantine.entries())) == 1
    assert not (store.paths.root.parent / "x").exists()


def test_of_duplicate_keys_in_a_line_the_last_counts(store):
    file = fill(store, 0)
    line = file.read_bytes().replace(b'"rows":1', b'"rows":7,"rows":1')
    file.write_bytes(line)
    assert publish_day(store, IOSTAT_CPU, DAY).rows == 1


def test_a_number_too_large_for_its_column_is_refused(store):
    file = spool(store.spool, reading_of(DISK, at(0), data_of(DISK)))
    for number in (2**63, -(2**63) - 1, 2**64):
        with file.open("ab") as end:
            end.write(
                file.read_bytes().splitlines()[0].replace(b'"total_bytes":[1]', b'"total_bytes":[%d]' % number) + b"\n"
            )
    report = publish_day(store, DISK, DAY)
    assert report.rows == 1
    assert report.refused.total() == 3


def test_a_sample_of_the_future_is_refused_until_its_time_has_come(store):
    file = fill(store, 0, 30)
    with clock.set_to(at(10)):
        report = publish_day(store, IOSTAT_CPU, DAY)
        assert (report.rows, list(report.refused)) == (1, ["sample_time is in the future; is the host's clock right?"])
    fill(store, 31)
    assert publish_day(store, IOSTAT_CPU, DAY).rows == 3
    assert list(store.quarantine.entries()) == []
    assert file.exists()


def test_a_single_bad_row_of_a_reading_is_refused_and_the_others_are_published(store):
    rows = [data_of(DISK, path="/good"), data_of(DISK, path="/bad", used_percent=100.5)]
    spool(store.spool, reading_of(DISK, at(0), *rows))
    report = publish_day(store, DISK, DAY)
    assert (report.rows, dict(report.refused)) == (1, {"used_percent is above 100": 1})
    ((_, refused),) = store.quarantine.entries()
    assert json.loads(refused.content)["path"] == "/bad"


def test_too_many_refused_rows_keep_the_old_file_and_say_why(store):
    fill(store, 0)
    publish_day(store, IOSTAT_CPU, DAY)
    before, books = files(store), book(store)
    spoil(store, *[b"a new format"] * MIN_REFUSED, minute=1)
    with pytest.raises(TooManyRefused, match=f"{MIN_REFUSED} of {MIN_REFUSED + 2} rows are refused.*'not JSON'"):
        publish_day(store, IOSTAT_CPU, DAY)
    assert files(store) == before
    assert book(store) == books


def test_one_bad_hour_does_not_keep_the_other_hours_from_being_published(store):
    spoil(store, *[b"a new format"] * MIN_REFUSED)
    fill(store, -30, 60, 120)
    with pytest.raises(TooManyRefused, match="hour 2026-03-05T10"):
        publish_day(store, IOSTAT_CPU, DAY)
    assert stored(store)["sample_time"].to_list() == [at(-30), at(60), at(120)]


def test_the_good_rows_are_published_when_a_person_accepts_the_loss(store):
    spoil(store, *[b"a new format"] * MIN_REFUSED)
    report = publish_day(store, IOSTAT_CPU, DAY, limit_percent=100)
    assert (report.rows, report.refused.total()) == (1, MIN_REFUSED)


def test_five_percent_refused_is_the_limit_and_not_above_it(store):
    good = 19 * MIN_REFUSED
    rows = [data_of(DISK, path=str(number)) for number in range(good)]
    file = spool(store.spool, reading_of(DISK, at(0), *rows))
    with file.open("ab") as end:
        end.write(b"bad\n" * MIN_REFUSED)
    assert publish_day(store, DISK, DAY).rows == good
    with file.open("ab") as end:
        end.write(b"bad\n")
    with pytest.raises(TooManyRefused):
        publish_day(store, DISK, DAY)


def test_a_lost_database_is_made_again_from_lake_and_spool(store):
    fill(store, 0, 1, 60)
    publish_day(store, IOSTAT_CPU, DAY)
    hours = store.rollups.booked_hours("iostat_cpu", DAY)
    store.paths.database.unlink()
    fresh = Store.at(store.paths.root)
    report = publish_day(fresh, IOSTAT_CPU, DAY)
    assert (report.rows, report.added) == (3, 0)
    assert fresh.rollups.booked_hours("iostat_cpu", DAY) == hours


def test_a_lost_database_is_made_again_from_the_lake_alone(store):
    fill(store, 0, 1, 60)
    publish_day(store, IOSTAT_CPU, DAY)
    hours = store.rollups.rows("SELECT cluster, table_name, hour, rows, content_hash FROM lake_hours")
    store.paths.database.unlink()
    shutil.rmtree(store.spool)
    fresh = Store.at(store.paths.root)
    publish_day(fresh, IOSTAT_CPU, DAY)
    assert fresh.rollups.rows("SELECT cluster, table_name, hour, rows, content_hash FROM lake_hours") == hours


def test_an_old_copy_of_the_database_learns_the_hours_that_it_lacks(store):
    fill(store, 0)
    publish_day(store, IOSTAT_CPU, DAY)
    copy = store.paths.database.read_bytes()
    fill(store, 60, 61)
    publish_day(store, IOSTAT_CPU, DAY)
    hours = store.rollups.booked_hours("iostat_cpu", DAY)
    store.rollups.execute("PRAGMA user_version")
    for leftover in store.paths.root.glob("nomade.db-*"):
        leftover.unlink()
    store.paths.database.write_bytes(copy)
    shutil.rmtree(store.spool)
    publish_day(store, IOSTAT_CPU, DAY)
    assert store.rollups.booked_hours("iostat_cpu", DAY) == hours


def test_a_lost_lake_is_made_again_from_the_spool(store):
    fill(store, 0, 1, 60)
    publish_day(store, IOSTAT_CPU, DAY)
    before = files(store)
    shutil.rmtree(store.lake.root)
    assert publish_day(store, IOSTAT_CPU, DAY, everything=True).rows == 3
    assert files(store) == before


def test_a_crash_between_the_lake_and_the_books_is_made_good(store):
    """The books are put back to what they were before, as if the process had died in between."""
    fill(store, 0)
    publish_day(store, IOSTAT_CPU, DAY)
    fill(store, 1)
    books = store.rollups.rows("SELECT * FROM ingested_files"), store.rollups.rows("SELECT * FROM lake_hours")
    publish_day(store, IOSTAT_CPU, DAY)
    after = files(store), store.rollups.booked_hours("iostat_cpu", DAY)
    for table, rows in zip(("ingested_files", "lake_hours"), books, strict=True):
        store.rollups.execute(f"DELETE FROM {table}")
        for row in rows:
            marks = ", ".join("?" * len(row))
            store.rollups.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(row.values()))
    report = publish_day(store, IOSTAT_CPU, DAY)
    assert (report.files, report.added) == (1, 0)
    assert (files(store), store.rollups.booked_hours("iostat_cpu", DAY)) == after


def test_a_late_row_after_the_spool_was_deleted_joins_the_closed_day(store):
    file = fill(store, *range(10))
    publish_day(store, IOSTAT_CPU, DAY)
    store.lake.close_day(IOSTAT_CPU, CLUSTER, DAY)
    file.unlink()
    fill(store, 10)
    report = publish_day(store, IOSTAT_CPU, DAY)
    assert (report.rows, report.added) == (11, 1)


def test_a_file_that_shrank_is_read_again_and_nothing_is_lost(store):
    """A host's disk was restored from a backup: its spool file is an older one."""
    file = fill(store, 0, 1, 2)
    publish_day(store, IOSTAT_CPU, DAY)
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    assert publish_day(store, IOSTAT_CPU, DAY).rows == 3


def test_several_clusters_in_one_spool_are_published_apart(store):
    fill(store, 0)
    fill(store, 1, cluster="beta", host="node2")
    report = publish_day(store, IOSTAT_CPU, DAY)
    assert (report.clusters, report.rows) == ([CLUSTER, "beta"], 2)
    assert store.lake.count(IOSTAT_CPU, "beta", DAY) == 1


def test_an_empty_spool_publishes_nothing(store):
    report = publish_day(store, IOSTAT_CPU, DAY)
    assert (report.files, report.rows, report.clusters, report.newest) == (0, 0, [], None)


def test_names_of_any_bytes_come_through_to_the_lake(store):
    names = [
        os.fsdecode(b"/mnt/\xff\xfe"),
        "/mnt/\ud800",
        "/mnt/new\nline",
        '/mnt/"quote"',
        "/mnt/nul\0",
        "/mnt/\x1f",
        "/mnt/ø",
    ]
    spool(store.spool, reading_of(DISK, at(0), *(data_of(DISK, path=name) for name in names)))
    assert publish_day(store, DISK, DAY).rows == len(names)
    assert set(stored(store, DISK)["path"]) == {"/mnt/\\xff\\xfe", "/mnt/\\ud800", *names[2:]}

"""Retention and forgetting: what goes, and above all what stays."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.installation import cycle, disk_row, fill_spool, ingest
from support.rows import CLUSTER, DAY, T0, at, frame_of, reading_of, row_of, spool

from nomade_pipeline import clock
from nomade_pipeline.config.settings import RetentionSettings
from nomade_pipeline.forgetting import forget, known_clusters
from nomade_pipeline.ingest.day import publish_day
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.retention import (
    CHANGED,
    NOT_IN_LAKE,
    OPEN,
    TOO_YOUNG,
    TORN,
    UNKNOWN,
    Booked,
    Removed,
    RetentionError,
    apply,
    expired_partitions,
    why_kept,
)
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import spool_files
from nomade_pipeline.tables.derived import TREND_SCORES
from nomade_pipeline.tables.system import DISK

# Not the defaults, which may change: hours of the spool, then days of raw, hourly, daily, runs, ledger, quarantine.
SETTINGS = RetentionSettings(72, 400, 1100, 0, 90, 400, 90, 30)
FOREVER = RetentionSettings(0, 0, 0, 0, 0, 0, 0, 0, 0)
LATER = T0 + timedelta(hours=80)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes of one host, ingested; each test works on a copy."""
    root = tmp_path_factory.mktemp("template")
    fill_spool(root, minutes=2)
    ingest(root, minutes=2)
    return root


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Store:
    shutil.copytree(template, tmp_path / "data")
    return Store.at(tmp_path / "data")


def retain(store: Store, moment: datetime, settings: RetentionSettings = SETTINGS, *, dry_run: bool = False) -> Removed:
    with clock.set_to(moment):
        return apply(store, settings, dry_run=dry_run)


def spooled(store: Store) -> int:
    return len(list(spool_files(store.spool)))


# Spool files.


def booked(length: int = 10, sha256: str = "a", ingested: datetime = T0) -> Booked:
    return Booked(length, sha256, ingested)


@pytest.mark.parametrize(
    ("entry", "length", "moment", "reason"),
    [
        (booked(), 10, at(59), OPEN),
        (None, 10, LATER, UNKNOWN),
        (booked(), 10, T0 + timedelta(hours=72, minutes=59), TOO_YOUNG),
        (booked(), 10, T0 + timedelta(hours=73), None),
        (booked(ingested=T0 + timedelta(hours=5)), 10, T0 + timedelta(hours=76), TOO_YOUNG),
        (booked(), 11, LATER, CHANGED),
        (booked(sha256="b"), 10, LATER, CHANGED),
    ],
)
def test_a_spool_file_stays_until_everything_is_certain(
    entry: Booked | None, length: int, moment: datetime, reason: str | None
) -> None:
    assert why_kept(T0, entry, length, "a", moment, 72) == reason


def test_zero_hours_keep_the_spool_for_ever() -> None:
    assert why_kept(T0, booked(), 10, "a", T0 + timedelta(days=9999), 0) == TOO_YOUNG


def test_ingested_spool_files_go_after_72_hours_and_not_before(store: Store) -> None:
    before = spooled(store)
    assert retain(store, T0 + timedelta(hours=70)).spool_files == 0
    assert spooled(store) == before
    removed = retain(store, LATER)
    assert (removed.spool_files, spooled(store), dict(removed.kept)) == (before, 0, {})
    assert store.lake.count(DISK, CLUSTER, DAY) == 3


def test_a_dry_run_says_the_same_and_deletes_nothing(store: Store) -> None:
    before = spooled(store)
    planned = retain(store, LATER, dry_run=True)
    assert spooled(store) == before
    assert retain(store, LATER).summary() == planned.summary()


def test_a_file_that_was_never_ingested_stays(store: Store) -> None:
    late = spool(store.spool, reading_of(DISK, at(-120), disk_row()))
    removed = retain(store, LATER)
    assert late.exists()
    assert removed.kept == {UNKNOWN: 1}


def test_a_file_that_has_grown_since_it_was_ingested_stays(store: Store) -> None:
    path = spool(store.spool, reading_of(DISK, at(0.5), disk_row()))
    removed = retain(store, LATER)
    assert path.exists()
    assert removed.kept == {CHANGED: 1}


def test_a_file_of_the_same_length_with_other_content_stays(store: Store) -> None:
    path = next(file.path for file in spool_files(store.spool, "disk"))
    path.write_bytes(path.read_bytes().replace(b"alpha", b"omega"))
    assert retain(store, LATER).kept == {CHANGED: 1}
    assert path.exists()


def test_a_file_whose_rows_the_lake_has_lost_stays(store: Store) -> None:
    store.lake.remove(DISK, CLUSTER, DAY)
    removed = retain(store, LATER)
    files = list(spool_files(store.spool))
    assert {file.table for file in files} == {"disk"}
    assert removed.kept == {NOT_IN_LAKE: len(files)}


def test_a_file_stays_when_only_one_of_its_rows_is_missing_from_the_lake(tmp_path: Path) -> None:
    fill_spool(tmp_path, minutes=0)
    store = ingest(tmp_path, minutes=0)
    (path,) = (file.path for file in spool_files(store.spool, "disk"))
    spool(store.spool, reading_of(DISK, at(1), disk_row()))
    data = path.read_bytes()
    with clock.set_to(at(2)):
        store.rollups.execute(
            "UPDATE ingested_files SET bytes = ?, sha256 = ? WHERE table_name = 'disk'",
            (len(data), hashlib.sha256(data).hexdigest()),
        )
    assert retain(store, LATER).kept == {NOT_IN_LAKE: 1}
    assert path.exists()


def test_a_file_whose_lake_cannot_be_read_stays_and_is_reported(store: Store) -> None:
    next(store.lake.partition(DISK, CLUSTER, DAY).glob("*.parquet")).write_bytes(b"PAR1 broken")
    removed = retain(store, LATER)
    assert {file.table for file in spool_files(store.spool)} == {"disk"}
    assert removed.problems


def test_duplicate_readings_do_not_keep_a_file_for_ever(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for _ in range(2):
        spool(store.spool, *cycle(T0))
    ingest(tmp_path, minutes=0)
    retain(store, LATER)
    assert spooled(store) == 0


def test_a_torn_last_line_is_closed_quarantined_and_then_goes(store: Store) -> None:
    path = next(file.path for file in spool_files(store.spool, "disk"))
    with path.open("ab") as file:
        file.write(b'{"v":1,"table":"di')
    assert retain(store, LATER).kept == {TORN: 1}
    with clock.set_to(LATER):
        assert publish_day(store, DISK, path_day(path)).refused.total() == 1
    assert retain(store, LATER + timedelta(hours=71)).kept == {TOO_YOUNG: 1}
    assert retain(store, LATER + timedelta(hours=73)).spool_files == 1
    assert [entry.content for _, entry in store.quarantine.entries()] == ['{"v":1,"table":"di']


def path_day(path: Path):
    return datetime.fromisoformat(path.name[:10]).date()


# The lake.


def test_the_age_of_a_partition_counts_from_its_ingest_and_only_live_clusters_age() -> None:
    old, new = T0 - timedelta(days=500), T0 - timedelta(days=1)
    day = old.date()
    published = {("live", day): old, ("imported", day): old, ("live", day - timedelta(days=9)): new}
    assert expired_partitions(published, ["live"], T0 - timedelta(days=400)) == [("live", day)]
    assert expired_partitions(published, ["live"], None) == []


def test_old_days_leave_the_lake_and_what_was_rolled_up_stays(store: Store) -> None:
    retain(store, T0 + timedelta(days=399))
    assert store.lake.has(DISK, CLUSTER, DAY)
    removed = retain(store, T0 + timedelta(days=401))
    assert removed.partitions == 6
    assert not store.lake.has(DISK, CLUSTER, DAY)
    rolled = store.rollups.rows("SELECT count(*) AS n FROM hourly_rollup")[0]["n"]
    assert rolled > 0
    with clock.set_to(T0 + timedelta(days=401)):
        roll_up_day(store, DAY, everything=True)
    assert store.rollups.rows("SELECT count(*) AS n FROM hourly_rollup")[0]["n"] == rolled


def test_an_imported_cluster_is_kept_whatever_its_age(tmp_path: Path) -> None:
    spool(tmp_path / "spool", reading_of(DISK, T0, disk_row()), cluster="trace-2019")
    fill_spool(tmp_path, minutes=2)
    store = ingest(tmp_path, minutes=2)
    retain(store, T0 + timedelta(days=5000))
    assert store.lake.has(DISK, "trace-2019", DAY)
    assert not store.lake.has(DISK, CLUSTER, DAY)
    clusters = {row["cluster"] for row in store.rollups.rows("SELECT DISTINCT cluster FROM hourly")}
    assert clusters == {"trace-2019"}


def derive(store: Store, cluster: str) -> None:
    """Write a day of a derived table."""
    row = row_of(TREND_SCORES, cluster=cluster, sample_time=T0)
    store.lake.replace(TREND_SCORES, cluster, DAY, frame_of(TREND_SCORES, [row]))


def test_old_days_of_derived_tables_go(store: Store) -> None:
    derive(store, CLUSTER)
    derive(store, "trace-2019")
    retain(store, T0 + timedelta(days=399))
    assert store.lake.has(TREND_SCORES, CLUSTER, DAY)
    retain(store, T0 + timedelta(days=401))
    assert not store.lake.has(TREND_SCORES, CLUSTER, DAY)
    assert store.lake.has(TREND_SCORES, "trace-2019", DAY)


def test_forgetting_a_cluster_forgets_its_trends(store: Store) -> None:
    derive(store, "sim-1")
    assert "sim-1" in known_clusters(store)
    forget(store, "sim-1", force=True)
    assert "sim-1" not in known_clusters(store)


def test_a_removed_day_whose_books_stayed_is_tidied_the_next_time(store: Store) -> None:
    store.lake.remove(DISK, CLUSTER, DAY)
    retain(store, T0 + timedelta(days=401))
    assert store.rollups.rows("SELECT count(*) AS n FROM lake_hours")[0]["n"] == 0


# The database and the quarantine.


@pytest.mark.parametrize(
    ("table", "key", "days"),
    [
        ("hourly_rollup", "hourly_days", 1100),
        ("collection_log", "collection_log_days", 90),
        ("ledger", "ledger_days", 400),
    ],
)
def test_each_table_of_the_database_has_its_own_age(store: Store, table: str, key: str, days: int) -> None:
    only = replace(FOREVER, **{key: days})
    retain(store, T0 + timedelta(days=days - 1), only)
    count = f"SELECT count(*) AS n FROM {table}"
    before = store.rollups.rows(count)[0]["n"]
    assert before > 0
    removed = retain(store, T0 + timedelta(days=days + 1), only)
    assert removed.rows[table] == before
    assert store.rollups.rows(count)[0]["n"] == 0


def test_daily_rollups_go_by_their_key_and_leave_no_series_behind(store: Store) -> None:
    retain(store, T0 + timedelta(days=40), replace(FOREVER, daily_days=30, hourly_days=30))
    assert (
        store.rollups.rows("SELECT (SELECT count(*) FROM daily_rollup) + (SELECT count(*) FROM series) AS n")[0]["n"]
        == 0
    )


def test_zero_keeps_everything_for_ever(store: Store) -> None:
    removed = retain(store, T0 + timedelta(days=30000), FOREVER)
    assert (removed.spool_files, removed.partitions, removed.rows, removed.quarantine_days) == (0, 0, {}, 0)


def test_old_days_of_the_quarantine_go(store: Store) -> None:
    path = next(file.path for file in spool_files(store.spool, "disk"))
    with path.open("ab") as file:
        file.write(b"garbage\n")
    with clock.set_to(at(1)):
        publish_day(store, DISK, DAY)
    retain(store, T0 + timedelta(days=89))
    assert list(store.quarantine.entries())
    assert retain(store, T0 + timedelta(days=92)).quarantine_days == 1
    assert not list(store.quarantine.entries())


def test_retention_twice_removes_nothing_more(store: Store) -> None:
    retain(store, T0 + timedelta(days=5000))
    again = retain(store, T0 + timedelta(days=5000))
    assert (again.spool_files, again.partitions, again.rows) == (0, 0, {})


# Forgetting.


def test_a_forgotten_cluster_leaves_nothing_and_the_others_are_untouched(tmp_path: Path) -> None:
    fill_spool(tmp_path, minutes=2, cluster="sim-1", hosts=("s1",))
    fill_spool(tmp_path, minutes=2)
    store = ingest(tmp_path, minutes=2)
    kept = store.rollups.rows("SELECT * FROM hourly WHERE cluster = ? ORDER BY metric, hour", (CLUSTER,))
    with pytest.raises(RetentionError, match="--force"):
        forget(store, "sim-1")
    assert known_clusters(store) == [CLUSTER, "sim-1"]
    removed = forget(store, "sim-1", force=True)
    assert removed.spool_files > 0
    assert known_clusters(store) == [CLUSTER]
    assert store.rollups.rows("SELECT * FROM hourly ORDER BY metric, hour") == kept
    with clock.set_to(at(1)):
        publish_day(store, DISK, DAY, everything=True)
    assert store.lake.clusters(DISK) == [CLUSTER]


def test_a_cluster_without_spool_files_is_forgotten_without_force(store: Store) -> None:
    retain(store, LATER)
    forget(store, CLUSTER)
    assert known_clusters(store) == []


def test_a_spool_file_that_two_clusters_share_is_not_deleted(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    path = spool(store.spool, reading_of(DISK, T0, disk_row()), cluster="sim-1")
    spool(store.spool, reading_of(DISK, at(1), disk_row()), cluster=CLUSTER)
    ingest(tmp_path, minutes=0)
    removed = forget(store, "sim-1", force=True)
    assert path.exists()
    assert removed.kept.total() == 1


def test_a_name_in_a_value_does_not_make_a_file_the_clusters(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    hostile = disk_row(message='","cluster":"sim-1","x":"')
    path = spool(store.spool, reading_of(DISK, T0, hostile))
    ingest(tmp_path, minutes=0)
    with pytest.raises(RetentionError, match="no cluster"):
        forget(store, "sim-1", force=True)
    assert path.exists()


def test_an_unknown_cluster_is_answered_with_those_that_exist(store: Store) -> None:
    with pytest.raises(RetentionError, match=CLUSTER):
        forget(store, "nope")


def test_a_dry_run_of_forgetting_deletes_nothing(store: Store) -> None:
    planned = forget(store, CLUSTER, force=True, dry_run=True)
    assert known_clusters(store) == [CLUSTER]
    assert forget(store, CLUSTER, force=True).summary() == planned.summary()

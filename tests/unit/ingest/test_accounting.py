"""Backfilling from Slurm's accounting: bounded windows, days of their own, nothing doubled and nothing lost."""

from __future__ import annotations

import dataclasses
import fcntl
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.sacct import ASK, MARK, NOW, Slurm, lines_of

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.config.settings import Config, GeneralSettings
from nomade_pipeline.ingest.accounting import AccountingBusyError, AccountingDay, read_accounting
from nomade_pipeline.probes import TimedOut
from nomade_pipeline.replay import Recorded
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

DAYS = [date(2026, 3, 3), date(2026, 3, 4)]
HOUR = 3600
# Seconds before NOW, which is 12:00 of the 5th.
ON_THE_3RD, ON_THE_4TH, MIDNIGHT = 40 * HOUR, 20 * HOUR, 36 * HOUR
DOWN = Recorded(ASK, "", "sacct: error: Problem talking to the database: Connection refused\n", 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


def fill(store: Store, *outputs: str | Recorded, days: list[date] = DAYS, minutes: int = 0) -> list[AccountingDay]:
    """Read days from an accounting that answers with these outputs, at some minutes after NOW."""
    general = GeneralSettings(cluster_name="alpha", host="head1", data_dir=str(store.paths.root))
    with clock.set_to(NOW + timedelta(minutes=minutes)):
        return list(read_accounting(store, dataclasses.replace(Config(), general=general), days, Slurm(*outputs)))


def stored(store: Store, day: date) -> list[tuple[str, float]]:
    rows = store.lake.read_day(JOB_METRICS, "alpha", day)
    return list(rows.select("job_id_raw", "cpu_seconds").iter_rows())


def bytes_of(store: Store) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(store.paths.lake.rglob("*.parquet"))}


def test_each_day_is_asked_for_once_and_stored_as_a_closed_day(store):
    results = fill(store, lines_of((1, "00:00:01"), ago=ON_THE_3RD), lines_of((2, "00:00:02"), ago=ON_THE_4TH))
    assert [(each.day, each.jobs, each.added) for each in results] == [(DAYS[0], 1, 1), (DAYS[1], 1, 1)]
    assert [stored(store, day) for day in DAYS] == [[("1", 1)], [("2", 2)]]
    assert all(store.lake.is_closed(JOB_METRICS, "alpha", day) for day in DAYS)
    row = store.lake.read_day(JOB_METRICS, "alpha", DAYS[0]).row(0, named=True)
    assert (row["host"], row["source"], row["interval_seconds"]) == ("head1", "tool", 0.0)
    assert row["sample_time"] == row["end_time"] == NOW - timedelta(hours=40)
    assert row["received_time"] == NOW


def test_the_windows_are_whole_days_and_a_job_that_ended_at_midnight_is_one_of_the_next_day(store):
    both = lines_of((1, "00:00:01"), ago=MIDNIGHT)
    general = GeneralSettings(cluster_name="alpha", host="head1", data_dir=str(store.paths.root))
    probe = Slurm(both)
    with clock.set_to(NOW):
        list(read_accounting(store, dataclasses.replace(Config(), general=general), DAYS, probe))
    assert probe.windows() == [
        ("2026-03-03T00:00:00", "2026-03-04T00:00:00"),
        ("2026-03-04T00:00:00", "2026-03-05T00:00:00"),
    ]
    assert [stored(store, day) for day in DAYS] == [[], [("1", 1)]]


def test_reading_a_day_again_changes_no_byte(store):
    output = lines_of((1, "00:00:01"), (2, "00:00:02"), ago=ON_THE_3RD)
    fill(store, output, days=DAYS[:1])
    before = bytes_of(store)
    (again,) = fill(store, output, days=DAYS[:1], minutes=90)
    assert (again.jobs, again.added) == (2, 0)
    assert bytes_of(store) == before
    assert len(before) == 1


def test_an_accounting_that_was_purged_deletes_nothing(store):
    fill(store, lines_of((1, "00:00:01"), (2, "00:00:02"), ago=ON_THE_3RD), days=DAYS[:1])
    fill(store, lines_of((2, "00:00:02"), ago=ON_THE_3RD), days=DAYS[:1], minutes=1)
    fill(store, lines_of(), days=DAYS[:1], minutes=2)
    assert stored(store, DAYS[0]) == [("1", 1), ("2", 2)]


def test_a_job_that_the_accounting_has_corrected_is_replaced(store):
    fill(store, lines_of((1, "00:00:01"), ago=ON_THE_3RD), days=DAYS[:1])
    fill(store, lines_of((1, "00:00:09"), ago=ON_THE_3RD), days=DAYS[:1], minutes=1)
    assert stored(store, DAYS[0]) == [("1", 9)]


def test_the_hours_are_booked_for_the_rollups(store):
    fill(store, lines_of((1, "00:00:01"), ago=ON_THE_3RD), days=DAYS[:1])
    booked = store.rollups.booked_hours(JOB_METRICS.name, DAYS[0])
    assert booked == {"alpha": {clock.hour_of(NOW - timedelta(hours=40)): 1}}
    assert len(store.rollups.hours_to_roll_up(DAYS[0])[JOB_METRICS.name]) == 1


def test_a_slurmdbd_that_is_restarted_is_asked_again(store):
    results = fill(store, DOWN, DOWN, lines_of((1, "00:00:01"), ago=ON_THE_3RD), days=DAYS[:1])
    assert [each.added for each in results] == [1]


def test_a_slurmdbd_that_stays_down_ends_it_with_the_days_before_stored(store):
    first = lines_of((1, "00:00:01"), ago=ON_THE_3RD)
    with pytest.raises(CollectorError) as caught:
        fill(store, first, DOWN)
    assert caught.value.category == "service_down"
    assert [stored(store, day) for day in DAYS] == [[("1", 1)], []]
    fill(store, first, lines_of((2, "00:00:02"), ago=ON_THE_4TH), minutes=10)
    assert [stored(store, day) for day in DAYS] == [[("1", 1)], [("2", 2)]]


def test_a_day_that_takes_too_long_is_read_in_halves(store):
    late = Recorded(ASK, error=TimedOut("sacct did not answer within 600 s"))
    both = lines_of((1, "00:00:01"), ago=ON_THE_3RD)
    (result,) = fill(store, late, both, days=DAYS[:1])
    assert (result.jobs, stored(store, DAYS[0])) == (1, [("1", 1)])


def test_what_cannot_be_read_is_quarantined_with_the_reason_and_once(store):
    strange = lines_of((1, "00:00:01"), state="FOO", ago=ON_THE_3RD) + MARK.join(("9", "\udcff", "x")) + MARK + "\n"
    for minutes in (0, 5):
        (result,) = fill(store, strange, days=DAYS[:1], minutes=minutes)
    assert sum(result.refused.values()) == 2
    entries = [(path.parent.name, refused.content) for path, refused in store.quarantine.entries("job_metrics")]
    assert entries == [("2026-03-03", f"9{MARK}\\xff{MARK}x"), ("2026-03-03", "1 state=FOO")]
    fill(store, lines_of((1, "00:00:01"), ago=ON_THE_3RD), days=DAYS[:1], minutes=9)
    assert list(store.quarantine.entries("job_metrics")) == []


def test_a_row_that_breaks_the_contract_is_quarantined_and_the_others_are_stored(store):
    """A job that ended in the future; the clock of the controller is wrong."""
    with clock.set_to(NOW - timedelta(days=7)):
        output = lines_of((1, "00:00:01"), ago=ON_THE_3RD)
    general = GeneralSettings(cluster_name="alpha", host="head1", data_dir=str(store.paths.root))
    with clock.set_to(NOW - timedelta(days=7)):
        config = dataclasses.replace(Config(), general=general)
        (result,) = read_accounting(store, config, DAYS[:1], Slurm(output))
    assert (result.jobs, list(result.refused)) == (0, ["sample_time is in the future; is the host's clock right?"])
    assert stored(store, DAYS[0]) == []


def test_only_one_process_asks_at_a_time(store):
    store.paths.locks.mkdir(parents=True)
    with (store.paths.locks / "accounting").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AccountingBusyError, match="another backfill"):
            fill(store, lines_of())
    assert fill(store, lines_of(), days=DAYS[:1])[0].jobs == 0

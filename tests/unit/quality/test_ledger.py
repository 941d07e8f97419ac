"""The ledger: what was expected, what came, and no false alarm where nothing could come."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from support.rows import CLUSTER, DAY, HOST, T0, at

from nomade_pipeline import clock
from nomade_pipeline.quality.ledger import (
    Place,
    Source,
    hour_of_run,
    ledger_rows,
    merge_sources,
    missed_readings,
    sources_of,
)

NOON = clock.start_of(DAY) + timedelta(hours=12)


def run(
    moment: datetime, *, collector: str = "disk", outcome: str = "success", writer: str = "agent", **values
) -> dict:
    failed = outcome != "success"
    return {
        "cluster": CLUSTER,
        "host": HOST,
        "collector": collector,
        "writer": writer,
        "sample_time": moment,
        "started_time": moment - timedelta(seconds=60),
        "interval_seconds": 60.0,
        "outcome": outcome,
        "category": "timeout" if failed else None,
        "message": "no answer" if failed else None,
        "rows": 0 if failed else 3,
        "quarantined": 0,
        **values,
    }


def runs(first: float, last: float, **values) -> list[dict]:
    """Return a run a minute, from the first minute after T0 to the last one."""
    return [run(at(minute), **values) for minute in range(int(first), int(last) + 1)]


def ledger(found: list[dict], now: datetime, refused=(), sources=None) -> dict[tuple[str, str], dict]:
    rows = ledger_rows(found, refused, sources_of(found) if sources is None else sources, DAY, now)
    assert rows == sorted(rows, key=lambda row: (row["cluster"], row["host"], row["collector"], row["hour"]))
    return {(row["collector"], row["hour"][11:13]): row for row in rows}


def numbers(row: dict) -> tuple[int, int, int, int]:
    return row["expected"], row["received"], row["failed"], row["skipped"]


def test_an_agent_that_runs_all_hour_is_complete():
    found = ledger(runs(0, 179), at(180))
    assert numbers(found["disk", "11"]) == (60, 60, 0, 0)
    assert found["disk", "11"]["rows"] == 180


def test_an_agent_dead_since_twenty_past_is_missed_from_then_on():
    found = ledger(runs(-60, 20), NOON + timedelta(minutes=30))
    assert numbers(found["disk", "09"]) == (60, 60, 0, 0)
    assert numbers(found["disk", "10"]) == (60, 20, 0, 0)
    assert numbers(found["disk", "11"]) == (60, 0, 0, 0)
    assert numbers(found["disk", "12"]) == (29, 0, 0, 0)
    assert ("disk", "13") not in found


def test_the_first_hour_expects_only_what_came_after_the_first_run():
    found = ledger(runs(31, 120), at(121))
    assert numbers(found["disk", "10"]) == (30, 30, 0, 0)
    assert numbers(found["disk", "11"]) == (60, 60, 0, 0)
    assert ("disk", "09") not in found


def test_a_reading_that_is_due_this_moment_is_not_yet_missed():
    source = Source(T0, at(5), 60.0)
    assert missed_readings(source, T0, at(6.9), covered_seconds=300.0) == 0
    assert missed_readings(source, T0, at(7), covered_seconds=300.0) == 1


def test_a_failed_run_came_and_is_told_with_its_reason():
    found = ledger([*runs(0, 29), *runs(30, 59, outcome="failed")], at(60))
    assert numbers(found["disk", "10"]) == (59, 29, 30, 0)
    assert json.loads(found["disk", "10"]["reasons"]) == {"timeout: no answer": 30}


def test_a_skipped_collector_owes_nothing_not_even_when_its_agent_dies():
    skipped = runs(-60, 20, collector="gpu", outcome="skipped", category="not_present", message="no GPU")
    found = ledger([*skipped, *runs(-60, 20)], at(120))
    assert numbers(found["gpu", "09"]) == (0, 0, 0, 60)
    assert numbers(found["gpu", "10"]) == (0, 0, 0, 20)
    assert ("gpu", "11") not in found
    assert found["disk", "11"]["expected"] == 59


def test_an_hour_that_was_skipped_in_part_owes_the_rest():
    found = ledger([*runs(-60, 29), *runs(30, 59, outcome="skipped")], at(60))
    assert numbers(found["disk", "10"]) == (29, 29, 0, 30)


def test_an_agent_started_on_the_hour_is_complete_in_its_first_hour():
    found = ledger(runs(1, 60), at(61))
    assert numbers(found["disk", "10"]) == (60, 60, 0, 0)


def test_runs_that_a_person_asked_for_create_no_expectation():
    found = ledger(runs(0, 2, writer="manual"), at(180))
    assert {key: numbers(row) for key, row in found.items()} == {
        ("disk", "09"): (1, 1, 0, 0),
        ("disk", "10"): (2, 2, 0, 0),
    }


def test_a_host_that_was_taken_away_is_forgotten_after_a_day():
    place = Place(CLUSTER, HOST, "disk")
    gone = {place: Source(T0 - timedelta(days=30), T0 - timedelta(hours=26), 60.0)}
    found = ledger([], NOON, sources=gone)
    assert sorted(hour for _, hour in found) == [f"{hour:02}" for hour in range(9)]


def test_more_than_expected_is_not_a_miss():
    found = ledger([*runs(0, 59), run(at(30.5)), run(at(31.5))], at(60))
    assert numbers(found["disk", "10"]) == (61, 61, 0, 0)


def test_what_the_ingest_refused_is_added_to_what_the_collector_refused():
    refused = {
        "cluster": CLUSTER,
        "host": HOST,
        "collector": "disk",
        "hour": T0,
        "quarantined": 2,
        "reasons": {"not JSON": 2},
    }
    row = ledger([run(at(1), quarantined=1)], at(60), [refused])["disk", "10"]
    assert row["quarantined"] == 3
    assert json.loads(row["reasons"]) == {"not JSON": 2}


def test_the_newer_observation_tells_the_interval_and_the_older_one_the_beginning():
    old, new = Source(at(0), at(10), 60.0), Source(at(5), at(20), 300.0)
    assert merge_sources(old, new) == merge_sources(new, old) == Source(at(0), at(20), 300.0)
    assert merge_sources(None, old) == old


def test_an_interval_that_is_not_positive_expects_nothing():
    assert missed_readings(Source(T0, at(5), 0.0), T0, at(60), 0.0) == 0


@pytest.mark.parametrize("now", [T0 - timedelta(hours=11), clock.start_of(DAY)])
def test_a_day_that_has_hardly_begun_has_no_entries_of_the_future(now):
    assert ledger([], now, sources={Place(CLUSTER, HOST, "disk"): Source(now, now, 60.0)}) == {}


def test_a_run_that_ends_just_before_or_after_the_hour_counts_for_the_hour_it_measured():
    """The agent keeps its runs within half a second of the boundary, on either side."""
    early, late = run(at(59.995)), run(at(60.005))
    assert hour_of_run(early) == hour_of_run(late) == T0
    jittered = [run(at(minute + (0.008 if minute % 2 else -0.008))) for minute in range(1, 121)]
    found = ledger(jittered, at(125))
    assert numbers(found["disk", "10"]) == numbers(found["disk", "11"]) == (60, 60, 0, 0)


def test_a_changed_interval_is_no_miss():
    """From every minute to every ten seconds in the middle of the hour: what came before was complete."""
    often = [run(at(30 + second / 60), interval_seconds=10.0) for second in range(10, 1810, 10)]
    found = ledger([*runs(1, 30), *often], at(61))
    assert numbers(found["disk", "10"]) == (210, 210, 0, 0)


def test_a_short_first_run_is_no_miss():
    """An agent started at 10:20:30 measures half a minute first, to be in step."""
    first = run(at(21), started_time=at(20.5))
    found = ledger([first, *runs(22, 60)], at(62))
    assert numbers(found["disk", "10"]) == (40, 40, 0, 0)

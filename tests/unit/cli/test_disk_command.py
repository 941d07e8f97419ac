"""`nomade disk`: the figures of one file system and the plain rate of its filling."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.installation import GB, disk_row, fill_spool, ingest, nomade
from support.rows import HOST, T0, at, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.tables import system


def test_the_rate_is_the_difference_of_last_and_first_per_day(filled: Path) -> None:
    found = nomade("disk", "/", "--hours", "24", "--json", root=filled).json
    assert found["readings"] == 91
    assert found["rate_bytes_per_day"] == pytest.approx(10**7 * 1440)
    assert "Rate         +14.40 GB/day" in nomade("disk", "/", "--hours", "24", root=filled).stdout


def test_the_trend_says_the_rate_and_the_day_on_which_the_disk_is_full(filled: Path) -> None:
    found = nomade("disk", "/", "--hours", "24", "--json", root=filled).json["trend"]
    days = (100 * GB - 30.9 * GB) / (10**7 * 1440)
    assert found["trend"] == "growing"
    assert found["rate_per_day"] == pytest.approx(10**7 * 1440)
    assert found["limit_if_rate_holds"]
    assert clock.from_text(found["limit_time"]) - T0 == pytest.approx(timedelta(days=days), abs=timedelta(seconds=1))
    assert found["projection"]["values"][0] == pytest.approx(30.9 * GB)
    screen = nomade("disk", "/", "--hours", "24", root=filled).stdout
    assert "growing: +14.40 ± 0.00 GB/day" in screen
    assert f"in {days:.1f} days" in screen
    assert "if the rate holds" in screen
    assert "Acceleration" not in screen


def test_the_plot_has_no_colours_where_there_is_no_terminal(filled: Path) -> None:
    screen = nomade("disk", "/", "--hours", "24", root=filled).stdout
    assert "┤" in screen
    assert "\x1b" not in screen


def test_without_a_path_all_file_systems_are_listed_with_their_trends(filled: Path) -> None:
    (row,) = nomade("disk", "--json", root=filled).json
    assert (row["subject"], row["metric"]) == (f"{HOST}:/", "used_bytes")
    assert f"{HOST}:/" in nomade("disk", root=filled).stdout


def test_without_a_rollup_the_command_that_makes_one_is_named(empty: Path) -> None:
    ended = nomade("disk", root=empty)
    assert ended.status == 3
    assert "nomade ingest" in ended.stderr


def test_spool_and_lake_are_joined_and_no_reading_counts_twice(empty: Path) -> None:
    fill_spool(empty, minutes=10)
    ingest(empty, minutes=10)
    spool(empty / "spool", reading_of(system.DISK, at(10), disk_row(used=31 * GB)))
    with clock.set_to(at(11)):
        found = nomade("disk", "/", "--json", root=empty).json
    assert found["readings"] == 12
    assert found["last_used_bytes"] == 31 * GB


def test_a_long_window_is_read_from_hourly_means_and_gives_the_same_rate(empty: Path) -> None:
    for hour in range(76):
        for minute in range(0, 60, 20):
            moment = T0 + timedelta(hours=hour, minutes=minute)
            used = 30 * GB + (hour * 60 + minute) * 10**6
            spool(empty / "spool", reading_of(system.DISK, moment, disk_row(used=used), interval=1200.0))
    end = T0 + timedelta(hours=76)
    ingest_days(empty, 4)
    with clock.set_to(end):
        long, short = (nomade("disk", "/", "--hours", hours, "--json", root=empty).json for hours in ("75.5", "48"))
    assert long["readings"] < 90
    assert long["rate_bytes_per_day"] == pytest.approx(1440 * 10**6, rel=0.004)
    assert short["rate_bytes_per_day"] == pytest.approx(1440 * 10**6, rel=1e-9)


def ingest_days(root: Path, days: int) -> None:
    for day in range(days):
        ingest(root, end=T0 + timedelta(days=day), minutes=0)


def test_an_hour_that_is_covered_in_part_does_not_bend_the_rate(filled: Path) -> None:
    found = nomade("disk", "/", "--hours", "100", "--json", root=filled).json
    assert found["rate_bytes_per_day"] == pytest.approx(10**7 * 1440, rel=0.03)


def test_two_readings_a_minute_apart_give_no_rate(empty: Path) -> None:
    fill_spool(empty, minutes=1)
    with clock.set_to(at(1)):
        ended = nomade("disk", "/", root=empty)
    assert "too little time" in ended.stdout


def test_a_path_below_a_mount_is_answered_with_the_nearest_mount_above(empty: Path) -> None:
    rows = [disk_row("/"), disk_row("/home", used=40 * GB), disk_row("/homeless", used=50 * GB)]
    spool(empty / "spool", reading_of(system.DISK, T0, *rows))
    with clock.set_to(at(1)):
        assert nomade("disk", "/home/alice/data", "--json", root=empty).json["path"] == "/home"
        assert nomade("disk", "/opt", "--json", root=empty).json["path"] == "/"


def test_an_unknown_path_is_answered_with_those_that_are_collected(empty: Path) -> None:
    spool(empty / "spool", reading_of(system.DISK, T0, disk_row("/home")))
    ended = nomade("disk", "/scratch", root=empty)
    assert ended.status == 3
    assert "/home" in ended.stderr
    assert nomade("disk", "/home", "--host", "elsewhere", root=empty).status == 3


def test_a_file_system_without_figures_says_so(empty: Path) -> None:
    none = dict.fromkeys(("total_bytes", "used_bytes", "free_bytes", "available_bytes", "used_percent", "inodes_used"))
    spool(empty / "spool", reading_of(system.DISK, T0, disk_row("/scratch", status="hung", message="late", **none)))
    with clock.set_to(at(1)):
        ended = nomade("disk", "/scratch", root=empty)
    assert ended.status == 0
    assert "hung: late" in ended.stdout
    assert "Used         –" in ended.stdout


def test_a_path_without_a_reading_of_its_own_is_answered_with_what_holds_it_and_says_so(filled: Path) -> None:
    ended = nomade("disk", "/nowhere/at/all", root=filled)
    assert "no reading of /nowhere/at/all itself" in ended.stdout
    assert "no reading of" not in nomade("disk", "/", root=filled).stdout

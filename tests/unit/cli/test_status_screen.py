"""`nomade status`: what it shows, and that it says what it does not know."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from support.installation import Ended, cycle, disk_row, fill_spool, ingest, nomade, run_row
from support.rows import HOST, T0, at, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.cli.output import cells
from nomade_pipeline.tables import operations, system


def status(root: Path, *arguments: str, minutes: float = 5 / 60) -> Ended:
    with clock.set_to(at(minutes)):
        return nomade("status", *arguments, root=root)


def test_an_empty_installation_has_no_data_yet_and_is_told_how_to_get_some(empty: Path) -> None:
    ended = status(empty)
    assert ended.status == 3
    assert "nomade collect --once" in ended.stderr
    assert not empty.exists(), "a reading command must not create anything"


def test_the_screen_shows_the_sections_of_the_reference(filled: Path) -> None:
    screen = status(filled).stdout
    for title in ("Filesystems:", "I/O:", "CPU Cores:", "Memory:", "Queue:", "Nodes:", "Collection:"):
        assert title in screen
    assert "[██████░░░░░░░░░░░░░░]  30.9% (30.90/100.00 GB)" in screen
    assert "CPU iowait:    2.3%" in screen
    assert "Cores:         32" in screen
    assert "disk                91 runs  100% success" in screen


def test_only_whole_disks_are_shown_since_layers_count_the_same_requests_again(filled: Path) -> None:
    screen = status(filled).stdout
    assert "vda" in screen
    assert "dm-0" not in screen


def test_the_spool_alone_is_enough(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    ended = status(empty)
    assert ended.status == 0
    assert "disk                 3 runs  100% success" in ended.stdout


def test_the_database_alone_is_enough(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    ingest(empty, minutes=2)
    for file in sorted((empty / "spool").rglob("*.ndjson")):
        file.unlink()
    ended = status(empty, "--json")
    host = ended.json["hosts"][0]
    assert host["filesystems"]["filesystems"][0]["path"] == "/"
    assert host["age_seconds"] == 5.0
    assert {record["collector"]: record["runs"] for record in host["collection"]}["disk"] == 3


def test_runs_that_are_ingested_are_not_counted_again_from_the_spool(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    ingest(empty, minutes=2)
    spool(empty / "spool", *cycle(at(1)))
    record = status(empty, "--json", minutes=1.1).json["hosts"][0]["collection"][0]
    assert (record["collector"], record["runs"]) == ("disk", 4)


def test_the_newer_of_spool_and_database_is_shown(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    ingest(empty, minutes=2)
    spool(empty / "spool", reading_of(system.DISK, at(1), disk_row(used=77 * 10**9)))
    screen = status(empty, minutes=1.1).stdout
    assert "77.0%" in screen


@pytest.mark.parametrize(("minutes", "stale"), [(2.9, False), (3.1, True)])
def test_a_host_is_stale_after_three_intervals(filled: Path, minutes: float, stale: bool) -> None:
    ended = status(filled, minutes=minutes)
    assert ("stale" in ended.stdout) is stale
    assert status(filled, "--json", minutes=minutes).json["hosts"][0]["stale"] is stale


def test_one_section_that_lags_behind_is_marked_with_its_age(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    later = [reading for reading in cycle(at(30)) if reading.table != "vmstat"]
    spool(empty / "spool", *later)
    screen = status(empty, minutes=30.1).stdout
    assert "Memory: (stale: 30 min old)" in screen
    assert "Filesystems:\n" in screen


def test_a_sample_from_the_future_is_blamed_on_the_clock(empty: Path) -> None:
    spool(empty / "spool", *cycle(at(60)))
    assert "is its clock right?" in status(empty).stdout


def test_a_missing_section_names_the_command_that_produces_it(empty: Path) -> None:
    spool(empty / "spool", *[reading for reading in cycle(T0) if reading.table != "vmstat"])
    screen = status(empty).stdout
    assert "nomade collect --once -C gpu" in screen


def test_a_skipped_collector_gives_its_reason_and_no_percentage(empty: Path) -> None:
    skipped = run_row("gpu", "skipped", category="tool_missing", message="no nvidia-smi")
    spool(empty / "spool", *cycle(T0), reading_of(operations.COLLECTION_LOG, T0, skipped))
    screen = status(empty).stdout
    assert "gpu                  0 runs  skipped: tool_missing: no nvidia-smi" in screen


def test_a_collector_that_failed_once_in_a_thousand_is_not_at_100_percent(empty: Path) -> None:
    for minute in range(1200, 0, -1):
        outcome = "failed" if minute == 600 else "success"
        run = reading_of(operations.COLLECTION_LOG, at(-minute), run_row("disk", outcome))
        spool(empty / "spool", run)
    screen = status(empty).stdout
    assert "99.9% success" in screen
    assert "timeout: late" in screen


def test_hung_and_absent_file_systems_are_named_and_have_no_bar(empty: Path) -> None:
    none = dict.fromkeys(("total_bytes", "used_bytes", "free_bytes", "available_bytes", "used_percent"))
    rows = [
        disk_row("/scratch", status="hung", message="no answer within 5 s", **none),
        disk_row("/gone", status="absent", **none),
        disk_row("/full", used=99_990_000_000),
    ]
    spool(empty / "spool", reading_of(system.DISK, T0, *rows))
    lines = {line.split()[0]: line for line in status(empty).stdout.splitlines() if line.strip().startswith("/")}
    assert "hung: no answer within 5 s" in lines["/scratch"]
    assert "absent" in lines["/gone"]
    assert "[" not in lines["/scratch"] + lines["/gone"]
    assert "99.9%" in lines["/full"], "only what is full says 100 %"


def test_a_name_cannot_steer_the_terminal(empty: Path) -> None:
    spool(empty / "spool", reading_of(system.DISK, T0, disk_row("/evil\x1b[2J\u202egpj")))
    screen = status(empty).stdout
    assert "\x1b" not in screen
    assert "\u202e" not in screen
    assert "\\x1b" in screen


def test_several_hosts_are_shown_one_after_the_other_and_many_in_a_table(empty: Path) -> None:
    fill_spool(empty, minutes=0, hosts=("a1", "b2"))
    screen = status(empty).stdout
    assert "alpha / a1" in screen
    assert "alpha / b2" in screen
    fill_spool(empty, minutes=0, hosts=("c3", "d4"))
    screen = status(empty).stdout
    assert "Hosts: 4, 0 stale" in screen
    assert "alpha / a1" not in screen
    assert "alpha / a1" in status(empty, "--host", "a*").stdout


def test_a_host_that_does_not_exist_is_answered_with_those_that_do(filled: Path) -> None:
    ended = status(filled, "--host", "nowhere")
    assert ended.status == 3
    assert HOST in ended.stderr


def test_the_summary_puts_the_silent_host_first_and_names_hung_mounts(empty: Path) -> None:
    fill_spool(empty, minutes=0, hosts=("a1", "b2", "c3"))
    fill_spool(empty, minutes=0, hosts=("z9",), end=T0 - timedelta(hours=2))
    hung = disk_row("/scratch", status="hung", used_percent=None)
    spool(empty / "spool", reading_of(system.DISK, at(0.05), hung), host="b2")
    lines = status(empty).stdout.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("host "))
    assert lines[place + 2].startswith("z9")
    assert "2 h !" in lines[place + 2]
    assert "hung /scratch" in lines[place + 3]


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(
    filled: Path, empty: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    long = disk_row("/" + "very-long-folder/" * 12, used=50 * 10**9, read_only=True, inodes_used_percent=99.0)
    failed = run_row("disk", "failed", message="word " * 60)
    spool(empty / "spool", *cycle(T0), reading_of(system.DISK, at(0.01), long))
    spool(empty / "spool", reading_of(operations.COLLECTION_LOG, at(0.02), failed))
    for root in (filled, empty):
        widest = max(cells(line) for line in status(root).stdout.splitlines() if str(root) not in line)
        assert widest <= columns


def test_a_corrupt_database_is_named_and_the_spool_still_shown(empty: Path) -> None:
    fill_spool(empty, minutes=1)
    (empty / "nomade.db").write_bytes(b"this is no database" * 100)
    ended = status(empty)
    assert ended.status == 0
    assert "nomade.db" in ended.stdout
    assert "30.0%" in ended.stdout


def test_a_corrupt_database_without_a_spool_is_not_called_empty_only(empty: Path) -> None:
    empty.mkdir()
    (empty / "nomade.db").write_bytes(b"this is no database" * 100)
    ended = status(empty)
    assert ended.status == 3
    assert "nomade.db" in ended.stderr


def test_a_database_of_no_version_is_no_traceback(empty: Path) -> None:
    fill_spool(empty, minutes=1)
    sqlite3.connect(empty / "nomade.db").close()
    (empty / "nomade.db").touch()
    assert status(empty).status == 0


def test_json_says_null_for_what_was_not_measured(empty: Path) -> None:
    spool(empty / "spool", reading_of(system.DISK, T0, disk_row("/x", status="absent", used_percent=None)))
    host = status(empty, "--json").json["hosts"][0]
    assert host["filesystems"]["filesystems"][0]["used_percent"] is None
    assert "missing" in host["memory"]

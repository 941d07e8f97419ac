"""`nomade collect --once`, `parse`, `ingest`, `ledger`, `quarantine` and `logs`."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from support.installation import disk_row, fill_spool, ingest, nomade, run_row
from support.needs import SHARED
from support.rows import HOST, T0, at, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.cli import logs_command
from nomade_pipeline.cli.logs_command import Tail, readable
from nomade_pipeline.tables import operations, system


def test_a_sample_is_stored_and_then_shown(empty: Path) -> None:
    ended = nomade("collect", "--once", "-i", "1", "-C", "disk", "--json", root=empty)
    (report,) = ended.json
    assert (ended.status, report["collector"], report["outcome"]) == (0, "disk", "success")
    assert nomade("status", root=empty).status == 0


def test_collectors_are_chosen_by_name_and_an_unknown_one_lists_them(empty: Path) -> None:
    names = [
        report["collector"]
        for report in nomade("collect", "--once", "-i", "1", "-C", "vmstat,disk", "--json", root=empty).json
    ]
    assert sorted(names) == ["disk", "vmstat"]
    ended = nomade("collect", "--once", "-C", "dsk", root=empty)
    assert ended.status == 2
    assert "mpstat" in ended.stderr


def test_parse_prints_the_rows_of_a_recorded_output(tmp_path: Path) -> None:
    report = tmp_path / "df.txt"
    report.write_text(
        "Filesystem     1K-blocks     Used Available Use% Mounted on\n"
        "/dev/vda1       65792556 33216084  29204672  54% /\n"
    )
    ended = nomade("parse", "disk", str(report), "--json")
    assert ended.status == 0
    assert ended.json["rows"]["disk"][0]["total_bytes"] == 65792556 * 1024
    assert "total_bytes" in nomade("parse", "disk", str(report)).stdout


@pytest.mark.needs("shared")
def test_parse_reads_a_recorded_iostat_from_standard_input() -> None:
    recorded = (SHARED / "data/fixtures/iostat/kellyjonbrazil+jc__centos-7.7_iostat-x.out.txt").read_bytes()
    ended = nomade("parse", "iostat", "-", "--json", stdin=recorded)
    assert ended.json["rows"]["iostat"]


@pytest.mark.parametrize("collector", ["disk", "iostat", "mpstat", "vmstat", "nfs", "gpu"])
def test_parse_of_garbage_exits_with_1_and_prints_no_control_character(collector: str) -> None:
    ended = nomade("parse", collector, "-", stdin=b"\x1b[31mgarbage\xff\xfe 1 2 3\nmore garbage\n")
    assert ended.status == 1
    assert "\x1b" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_ingest_of_one_day_and_table_leaves_the_others_alone(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    with clock.set_to(at(1)):
        ended = nomade("ingest", "--date", "2026-03-05", "--table", "disk", "--json", root=empty)
    assert [line["table"] for line in ended.json["tables"]] == ["disk"]
    assert nomade("ingest", "--table", "nope", root=empty).status == 2
    assert nomade("ingest", "--date", "2026-03-05", "--since", "2026-03-05", root=empty).status == 2


def test_ingest_of_an_empty_spool_has_no_data(empty: Path) -> None:
    ended = nomade("ingest", root=empty)
    assert ended.status == 3
    assert not empty.exists()


def test_too_many_refused_rows_are_not_published_until_they_are_accepted(empty: Path) -> None:
    path = spool(empty / "spool", reading_of(system.DISK, T0, disk_row()))
    with path.open("ab") as file:
        file.write(b"garbage\n" * 200)
    with clock.set_to(at(1)):
        refused = nomade("ingest", root=empty)
        assert refused.status == 1
        assert "--accept-refused" in refused.stderr
        accepted = nomade("ingest", "--accept-refused", root=empty)
        assert accepted.status == 0
        assert "200 refused" in accepted.stdout
        listed = nomade("quarantine", "--json", "--limit", "7", root=empty).json
    assert len(listed) == 7
    assert listed[0]["content"] == "garbage"
    assert "not JSON" in nomade("quarantine", root=empty).stdout


def test_the_ledger_of_a_day_shows_what_failed_and_its_exit_code_when_asked(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    spool(empty / "spool", reading_of(operations.COLLECTION_LOG, at(0.1), run_row("nfs", "failed")))
    ingest(empty, minutes=2)
    day = ("--date", "2026-03-05")
    assert {row["collector"] for row in nomade("ledger", *day, "--json", root=empty).json} >= {"disk", "nfs"}
    faults = nomade("ledger", *day, "--faults", "--exit-code", root=empty)
    assert faults.status == 1
    assert "timeout: late" in faults.stdout
    assert "vmstat" not in faults.stdout
    assert nomade("ledger", *day, "--host", HOST, root=empty).status == 0
    assert nomade("ledger", "--date", "2020-01-01", root=empty).status == 3


def test_logs_show_events_as_text_and_plain_lines_as_they_are(empty: Path) -> None:
    logs = empty / "logs"
    logs.mkdir(parents=True)
    event = {"time": "2026-03-05T10:00:00.000Z", "level": "error", "event": "a collector failed", "collector": "gpu"}
    (logs / "agent-n1.log").write_text("".join(f"line {i}\n" for i in range(50)) + json.dumps(event) + "\n")
    (logs / "nomade.log").write_text("evil \x1b[2J\n")
    shown = nomade("logs", "--lines", "2", root=empty).stdout
    assert "2026-03-05T10:00:00.000Z error a collector failed collector=gpu" in shown
    assert "line 49" in shown
    assert "line 48" not in shown
    assert "\x1b" not in shown
    assert "evil" not in nomade("logs", "agent", root=empty).stdout
    assert nomade("logs", "nothing", root=empty).status == 3
    lines = [json.loads(line) for line in nomade("logs", "agent", "-n", "1", "--json", root=empty).stdout.splitlines()]
    assert lines == [{"log": "agent-n1", **event}]


def test_a_followed_log_goes_on_over_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_text("one\ntwo\nthr")
    tail = Tail(log)
    assert tail.last(1) == ["two"]
    with log.open("a") as file:
        file.write("ee\n")
    assert list(tail.fresh()) == ["three"]
    log.rename(tmp_path / "agent.log.1")
    assert list(tail.fresh()) == []
    log.write_text("four\n")
    assert list(tail.fresh()) == ["four"]


def test_following_prints_what_is_appended_until_ctrl_c(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = empty / "logs"
    logs.mkdir(parents=True)
    (logs / "nomade.log").write_text("old\n")
    rounds = threading.Event()

    def append_then_interrupt(_: float) -> None:
        if rounds.is_set():
            raise KeyboardInterrupt
        rounds.set()
        with (logs / "nomade.log").open("a") as file:
            file.write("new\n")

    monkeypatch.setattr(logs_command.time, "sleep", append_then_interrupt)
    ended = nomade("logs", "--follow", "-n", "0", root=empty)
    assert (ended.status, ended.stdout) == (0, "new\n")


def test_a_line_that_is_json_but_no_event_is_shown_as_it_is() -> None:
    assert readable("[1, 2]") == "[1, 2]"
    assert readable('{"text": "x"}') == '{"text": "x"}'

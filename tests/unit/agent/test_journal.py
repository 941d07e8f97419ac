"""The agent's log: one JSON object a line, bounded in size, never in the way."""

from __future__ import annotations

import io
import json

from nomade_pipeline.agent import journal as module
from nomade_pipeline.agent.journal import Journal, Repeats


def test_the_log_is_one_json_object_a_line(tmp_path):
    journal = Journal(tmp_path / "logs" / "agent.log", "INFO")
    journal.error("a collector failed", collector="disk", message='50 % "full"\nsecond line \udcff', trace="a\nb")
    journal.close()
    lines = (tmp_path / "logs" / "agent.log").read_text().splitlines()
    assert len(lines) == 1
    event = json.loads(lines[0])
    assert event["level"] == "error"
    assert event["event"] == "a collector failed"
    assert event["message"] == '50 % "full"\nsecond line \udcff'
    assert event["time"].endswith("Z")


def test_the_log_is_rotated(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_BYTES", 2000)
    journal = Journal(tmp_path / "agent.log", "INFO")
    for number in range(200):
        journal.info("event", number=number)
    journal.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["agent.log", "agent.log.1", "agent.log.2", "agent.log.3"]
    assert all(file.stat().st_size <= 2000 for file in files)


def test_a_person_sees_plain_lines_without_control_characters():
    stream = io.StringIO()
    Journal(None, "INFO", stream).warning("odd name", device="a\x1b[31m", empty="")
    assert stream.getvalue().endswith('warning odd name device="a\\u001b[31m" empty=""\n')


def test_only_a_terminal_sees_what_is_not_a_warning():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, seen in ((Terminal(), True), (io.StringIO(), False)):
        Journal(None, "INFO", stream).info("the agent started")
        assert bool(stream.getvalue()) is seen


def test_a_log_that_cannot_be_written_says_so_once_and_raises_nothing(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "agent.log", "INFO")
    journal.info("one")
    journal.info("two")
    assert capsys.readouterr().err.count("cannot write the log") == 1


def test_a_repeating_fault_is_told_first_and_then_once_an_hour_with_its_count():
    repeats = Repeats(every=3600)
    told = [(minute, *repeats.due("disk", "full", minute * 60.0)) for minute in range(121)]
    assert [(minute, unsaid) for minute, due, unsaid in told if due] == [(0, 0), (60, 59), (120, 59)]
    assert repeats.cleared("disk") == 121
    assert repeats.cleared("disk") == 0


def test_another_fault_of_the_same_subject_is_told_at_once():
    repeats = Repeats()
    assert repeats.due("disk", "full", 0.0) == (True, 0)
    assert repeats.due("disk", "read-only", 1.0) == (True, 0)
    assert repeats.due("disk", "read-only", 2.0) == (False, 1)

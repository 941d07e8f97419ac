"""The replay probe: prefixes, successive answers, its own clock."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nomade_pipeline.probes import ProbeError, TimedOut, ToolMissing
from nomade_pipeline.replay import EPOCH, Recorded, ReplayProbe


def test_the_longest_prefix_answers():
    probe = ReplayProbe([Recorded(("a",), "short"), Recorded(("a", "-b"), "long")])
    assert probe.run(("a", "-b", "c"), 1).stdout == "long"
    assert probe.run(("a", "c"), 1).stdout == "short"


def test_answers_of_one_prefix_come_in_turn_and_the_last_stays():
    probe = ReplayProbe([Recorded(("a",), "1"), Recorded(("a",), "2")], {"/f": ("x", "y"), "/g": "z"})
    assert [probe.run(("a",), 1).stdout for _ in range(3)] == ["1", "2", "2"]
    assert [probe.read("/f") for _ in range(3)] == ["x", "y", "y"]
    assert probe.read("/g") == "z"


def test_only_waiting_and_running_move_the_clock():
    probe = ReplayProbe([Recorded(("a",), seconds=2.5)])
    assert (probe.now(), probe.monotonic()) == (EPOCH, 0.0)
    assert probe.run(("a",), 1).seconds == 2.5
    probe.wait(60)
    assert probe.monotonic() == 62.5
    assert probe.now() == EPOCH + timedelta(seconds=62.5)


def test_a_tool_without_a_recording_is_missing_and_an_unknown_argument_is_an_error():
    probe = ReplayProbe([Recorded(("a", "-b"))])
    assert probe.which("a") == "/usr/bin/a"
    assert probe.which("b") is None
    with pytest.raises(ToolMissing):
        probe.run(("b",), 1)
    with pytest.raises(ProbeError, match="nothing is recorded for: a -c"):
        probe.run(("a", "-c"), 1)


def test_a_recorded_error_is_raised_after_its_time():
    probe = ReplayProbe([Recorded(("a",), error=TimedOut("late"), seconds=5)])
    with pytest.raises(TimedOut, match="late"):
        probe.run(("a",), 1)
    assert probe.monotonic() == 5


def test_folders_are_those_of_the_recorded_files():
    probe = ReplayProbe(files={"/sys/b/sda/size": "1", "/sys/b/sdb/size": "1"})
    assert probe.listdir("/sys/b") == ["sda", "sdb"]
    with pytest.raises(FileNotFoundError):
        probe.listdir("/nope")
    with pytest.raises(FileNotFoundError):
        probe.read("/nope")

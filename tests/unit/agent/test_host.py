"""Tools of the resident agent: killed with all they started."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from nomade_pipeline.agent.host import HostProbe
from nomade_pipeline.agent.once import settings_of
from nomade_pipeline.collectors.registry import COLLECTORS
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import Interrupted, TimedOut


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def gone(started):
    """Return whether processes end at once; the kernel needs a moment after the signal."""
    deadline = time.monotonic() + 1
    while any(alive(pid) for pid in started) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(alive(pid) for pid in started)


def spawning(folder):
    """Return a command that starts another and writes both process ids to a file."""
    return ["sh", "-c", f"sleep 60 & echo $$ $! > {folder}/pids; wait"]


def pids(folder):
    deadline = time.monotonic() + 5
    file = folder / "pids"
    while not (file.exists() and len(file.read_text().split()) == 2) and time.monotonic() < deadline:
        time.sleep(0.01)
    return [int(pid) for pid in file.read_text().split()]


def test_stopping_ends_a_running_tool_and_its_children_at_once(tmp_path):
    probe = HostProbe()
    caught = []

    def run():
        with pytest.raises(Interrupted):
            probe.run(spawning(tmp_path), 60)
        caught.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    started = pids(tmp_path)
    began = time.monotonic()
    probe.stop()
    thread.join(5)
    assert caught
    assert time.monotonic() - began < 0.5
    assert gone(started)


def test_a_tool_that_is_late_is_killed_with_its_children(tmp_path):
    with pytest.raises(TimedOut, match=r"sh did not answer within 0\.3 s"):
        HostProbe().run(spawning(tmp_path), 0.3)
    assert gone(pids(tmp_path))


def test_after_the_stop_nothing_is_run_and_nothing_is_waited_for():
    probe = HostProbe()
    probe.stop()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        probe.run(["sleep", "60"], 60)
    with pytest.raises(Interrupted):
        probe.wait(60)
    assert time.monotonic() - began < 1


def test_every_collector_has_its_section_of_the_configuration_with_the_same_interval():
    for collector in COLLECTORS:
        assert settings_of(Config(), collector).interval == collector.default_interval

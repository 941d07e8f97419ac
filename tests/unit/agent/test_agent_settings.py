"""What the configuration does to a running agent."""

from __future__ import annotations

import dataclasses
import time

import pytest

from nomade_pipeline import clock
from nomade_pipeline.agent import service
from nomade_pipeline.agent.once import choose
from nomade_pipeline.collectors.base import CollectorError, Skipped
from nomade_pipeline.config.collector_settings import CollectorsSettings, DiskSettings, GpuSettings, IostatSettings


def with_collectors(config, **sections):
    return dataclasses.replace(config, collectors=CollectorsSettings(**sections))


def test_a_disabled_collector_does_not_run(agents, tmp_path):
    config = with_collectors(agents.config_in(tmp_path), gpu=GpuSettings(enabled=False))
    with agents.running(config, [agents.collector("disk"), agents.collector("gpu")]):
        assert agents.until(lambda: len(agents.spooled(tmp_path)) >= 2)
    assert {row["path"] for row in agents.spooled(tmp_path)} == {"/disk"}


def test_a_disabled_collector_runs_when_it_was_asked_for_by_name(agents, tmp_path):
    config = with_collectors(agents.config_in(tmp_path), gpu=GpuSettings(enabled=False))
    with agents.running(config, [agents.collector("gpu")], always=True):
        assert agents.until(lambda: agents.spooled(tmp_path))


def test_a_collector_is_switched_on_and_off_while_the_agent_runs(agents, tmp_path):
    on = agents.config_in(tmp_path)
    off = with_collectors(on, disk=DiskSettings(enabled=False))
    with agents.running(off, [agents.collector()]) as run:
        time.sleep(0.5)
        assert agents.spooled(tmp_path) == []
        run.agent.apply(on)
        assert agents.until(lambda: agents.spooled(tmp_path))
        run.agent.apply(off)
        time.sleep(0.2)
        count = len(agents.spooled(tmp_path))
        time.sleep(0.5)
        assert len(agents.spooled(tmp_path)) == count


def test_each_collector_has_its_own_interval(agents, tmp_path):
    config = with_collectors(
        agents.config_in(tmp_path), disk=DiskSettings(interval=0.2), iostat=IostatSettings(interval=0.5)
    )
    with agents.running(config, [agents.collector("disk"), agents.collector("iostat")], interval=None):
        time.sleep(1.3)
    rows = agents.spooled(tmp_path)
    for path, interval, expected in (("/disk", 0.2, 6), ("/iostat", 0.5, 2)):
        ends = [float(row["sample_time"][17:-1]) for row in rows if row["path"] == path]
        assert abs(len(ends) - expected) <= 1
        # Each ends shortly after a boundary of its own interval.
        assert all(-0.01 <= (end + 0.01) % interval - 0.01 <= 0.15 for end in ends)


@pytest.mark.parametrize(("level", "seen"), [("DEBUG", True), ("INFO", False)])
def test_the_log_level_decides_what_is_logged(agents, tmp_path, level, seen):
    config = agents.config_in(tmp_path, log_level=level)
    with agents.running(config, [agents.collector()]) as run:
        run.journal._stream_level = "DEBUG"
        assert agents.until(lambda: agents.spooled(tmp_path))
        agents.until(lambda: "a collector ran" in run.log.getvalue(), 0.5)
        assert ("a collector ran" in run.log.getvalue()) is seen


def test_a_collector_that_raises_anything_does_not_stop_the_others(agents, tmp_path):
    def bad(probe, settings, interval):
        raise RuntimeError("a bug")

    with agents.running(agents.config_in(tmp_path), [agents.collector("gpu", bad), agents.collector("disk")]) as run:
        assert agents.until(lambda: len(agents.spooled(tmp_path)) >= 2)
        assert agents.until(lambda: "RuntimeError: a bug" in run.log.getvalue())
        assert "Traceback" in run.log.getvalue()
    log = agents.spooled(tmp_path, "collection_log")
    assert {(row["collector"], row["outcome"]) for row in log} == {("gpu", "failed"), ("disk", "success")}


def test_a_collector_that_hangs_does_not_stop_the_others_nor_the_end(agents, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "STOP_SECONDS", 0.5)

    def hang(probe, settings, interval):
        time.sleep(60)

    with agents.running(agents.config_in(tmp_path), [agents.collector("gpu", hang), agents.collector("disk")]) as run:
        assert agents.until(lambda: len(agents.spooled(tmp_path)) >= 2)
        began = time.monotonic()
        assert run.agent.stop() == 0
        assert time.monotonic() - began < 3


def test_a_thread_that_died_is_replaced_and_told(agents, tmp_path):
    with agents.running(agents.config_in(tmp_path), [agents.collector()]) as run:
        dead = run.agent._threads["disk"]
        run.agent._threads["disk"] = type("Dead", (), {"is_alive": lambda self: False})()
        run.agent.mind()
        assert run.agent._threads["disk"].is_alive()
        assert "ended and is started again thread=disk" in run.log.getvalue()
        run.probe.stop()
        dead.join(3)


def test_a_skip_is_recorded_once_and_not_asked_again_at_the_next_boundary(agents, tmp_path):
    def nothing(probe, settings, interval):
        raise Skipped("not_present", "no GPU")

    with agents.running(agents.config_in(tmp_path), [agents.collector("gpu", nothing)]):
        time.sleep(0.7)
    rows = agents.spooled(tmp_path, "collection_log")
    assert [(row["outcome"], row["category"], row["message"]) for row in rows] == [("skipped", "not_present", "no GPU")]


def test_the_same_failure_is_logged_once_and_its_end_too(agents, tmp_path):
    calls = []

    def collect(probe, settings, interval):
        calls.append(1)
        if len(calls) <= 2:
            raise CollectorError("permission", "denied")
        return agents.collector().collect(probe, settings, interval)

    with agents.running(agents.config_in(tmp_path), [agents.collector("disk", collect)]) as run:
        run.journal._stream_level = "INFO"
        assert agents.until(lambda: "works again" in run.log.getvalue())
    assert run.log.getvalue().count("a collector failed") == 1
    assert "failures=2" in run.log.getvalue()


def test_the_agent_follows_a_changed_data_folder_and_cluster(agents, tmp_path):
    with agents.running(agents.config_in(tmp_path / "a"), [agents.collector()]) as run:
        assert agents.until(lambda: agents.spooled(tmp_path / "a"))
        run.agent.apply(agents.config_in(tmp_path / "b"))
        assert agents.until(lambda: agents.spooled(tmp_path / "b"))


def test_collectors_are_chosen_by_name_or_alias_and_an_unknown_one_is_named(agents):
    disk, gpu = agents.collector("disk"), agents.replace(agents.collector("gpu"), aliases=("nvidia",))
    assert choose([disk, gpu], []) == [disk, gpu]
    assert choose([disk, gpu], ["nvidia", "gpu"]) == [gpu]
    with pytest.raises(ValueError, match="no collector dsik; there are disk, gpu"):
        choose([disk, gpu], ["dsik"])


def test_a_clock_step_neither_stops_nor_floods_the_sampling(agents, tmp_path):
    shift = [0.0]
    with clock.set_to(lambda: time.time() + shift[0]), agents.running(agents.config_in(tmp_path), [agents.collector()]):
        for step in (3600.0, -1800.0, -86400.0):
            count = len(agents.spooled(tmp_path))
            shift[0] += step
            time.sleep(0.5)
            assert 1 <= len(agents.spooled(tmp_path)) - count <= 4

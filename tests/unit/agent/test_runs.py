"""A run of a collector ends in a report, whatever the collector does."""

from __future__ import annotations

import threading
import time

import pytest

from nomade_pipeline import probes
from nomade_pipeline.agent import runs
from nomade_pipeline.agent.runs import DeadlineProbe, log_reading, run_collector
from nomade_pipeline.collectors.base import Collected, CollectorError, Rejected, Skipped
from nomade_pipeline.probes import Interrupted, LiveProbe, NotPermitted, TimedOut, ToolMissing
from nomade_pipeline.store.spool import SpoolWriter


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch):
    monkeypatch.setattr(runs, "RETRY_PAUSE_SECONDS", 0.02)


def failing(agents, error, calls=None, **options):
    def collect(probe, settings, interval):
        if calls is not None:
            calls.append(interval)
        raise error

    return agents.collector(collect=collect, **options)


@pytest.mark.parametrize(
    ("error", "outcome", "category"),
    [
        (Skipped("not_present", "no GPU"), "skipped", "not_present"),
        (CollectorError("parse", "odd"), "failed", "parse"),
        (CollectorError("nonsense", "odd"), "failed", "internal"),
        (ToolMissing("iostat is not installed"), "failed", "tool_missing"),
        (NotPermitted("no"), "failed", "permission"),
        (TimedOut("late"), "failed", "timeout"),
        (PermissionError(13, "denied", "/proc/x"), "failed", "permission"),
        (FileNotFoundError(2, "none", "/proc/x"), "failed", "internal"),
        (ZeroDivisionError("division"), "failed", "internal"),
        (MemoryError(), "failed", "internal"),
        (RecursionError("deep"), "failed", "internal"),
        (SystemExit(3), "failed", "internal"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), "failed", "internal"),
    ],
)
def test_whatever_a_collector_raises_becomes_a_report(agents, error, outcome, category):
    report = run_collector(failing(agents, error), LiveProbe(), None, 1)
    assert (report.outcome, report.category) == (outcome, category)
    assert report.readings == ()
    assert report.message is not None


def test_a_failed_run_keeps_what_it_can_tell_all_the_same_and_stores_it(agents, tmp_path):
    """That a service does not answer is a fault and a reading."""
    error = CollectorError("service_down", "no answer", readings=(agents.disk_reading("/told"),))
    report = run_collector(failing(agents, error), LiveProbe(), None, 1)
    assert (report.outcome, report.category, report.attempts, report.rows) == ("failed", "service_down", 2, 1)
    with agents.running(agents.config_in(tmp_path), [failing(agents, error)]):
        assert agents.until(lambda: agents.spooled(tmp_path))
    assert {row["path"] for row in agents.spooled(tmp_path)} == {"/told"}
    assert {row["outcome"] for row in agents.spooled(tmp_path, "collection_log")} == {"failed"}


def test_an_unforeseen_error_keeps_its_type_message_and_traceback(agents):
    report = run_collector(failing(agents, KeyError("avgqu-sz")), LiveProbe(), None, 1)
    assert report.message == "KeyError: 'avgqu-sz'"
    assert "in collect" in report.trace


def test_a_collector_that_returns_nonsense_is_a_failure(agents):
    report = run_collector(agents.collector(collect=lambda *_: None), LiveProbe(), None, 1)
    assert (report.outcome, report.category) == ("failed", "internal")


def test_a_quick_failure_is_tried_once_more(agents):
    calls = []

    def collect(probe, settings, interval):
        calls.append(interval)
        if len(calls) == 1:
            raise CollectorError("command_failed", "busy")
        return Collected((agents.disk_reading(),), (Rejected("x", "odd"),))

    report = run_collector(agents.collector(collect=collect), LiveProbe(), None, 5)
    assert (report.outcome, report.attempts, report.rows, len(report.rejected)) == ("success", 2, 1, 1)
    assert calls == [5, 5]
    assert report.seconds >= runs.RETRY_PAUSE_SECONDS


def test_a_second_failure_is_final(agents):
    calls = []
    report = run_collector(failing(agents, CollectorError("parse", "odd"), calls), LiveProbe(), None, 5)
    assert (report.outcome, report.attempts, len(calls)) == ("failed", 2, 2)


@pytest.mark.parametrize("error", [ToolMissing("x"), NotPermitted("x"), TimedOut("x"), Skipped("not_present", "x")])
def test_what_will_not_pass_is_not_tried_again(agents, error):
    calls = []
    run_collector(failing(agents, error, calls), LiveProbe(), None, 5)
    assert len(calls) == 1


class SteppedProbe(LiveProbe):
    """A host on which time passes only when something waits."""

    def __init__(self):
        super().__init__()
        self.elapsed = 0.0

    def monotonic(self):
        return self.elapsed

    def wait(self, seconds):
        self.elapsed += seconds


@pytest.mark.parametrize(("spent", "calls"), [(0.0, [60, 60]), (20.0, [60, 40]), (31.0, [60]), (59.0, [60])])
def test_a_rate_is_measured_again_only_up_to_the_same_boundary(agents, spent, calls):
    seen = []

    def collect(probe, settings, interval):
        seen.append(interval)
        probe.wait(spent)
        raise CollectorError("command_failed", "killed")

    run_collector(agents.collector(collect=collect, spans_interval=True), SteppedProbe(), None, 60)
    assert len(seen) == len(calls)
    assert all(abs(a - b) <= 1 for a, b in zip(seen, calls, strict=True))


def test_the_second_attempt_stays_inside_the_deadline(agents):
    probe = SteppedProbe()

    def collect(probe, settings, interval):
        probe.wait(30)
        raise CollectorError("command_failed", "slow")

    report = run_collector(agents.collector(collect=collect), probe, None, 60)
    assert report.attempts == 2
    assert probe.elapsed <= 60 + runs.GRACE_SECONDS


def test_nothing_lasts_beyond_the_deadline_of_a_run(agents, monkeypatch):
    monkeypatch.setattr(runs, "GRACE_SECONDS", 0.2)
    probe = LiveProbe()
    asleep = agents.collector(collect=lambda probe, settings, interval: probe.run(["sleep", "60"], 60))
    began = time.monotonic()
    report = run_collector(asleep, probe, None, 0)
    assert report.category == "timeout"
    waiting = agents.collector(collect=lambda probe, settings, interval: probe.wait(60))
    assert run_collector(waiting, probe, None, 0).category == "timeout"
    assert time.monotonic() - began < 5
    with pytest.raises(TimedOut, match="not started"):
        DeadlineProbe(probe, probe.monotonic() - 1).run(["true"], 5)


def test_an_interrupted_run_is_neither_success_nor_failure(agents):
    probe = LiveProbe(stopping=threading.Event())
    threading.Timer(0.2, probe.stopping.set).start()
    with pytest.raises(Interrupted):
        run_collector(agents.collector(spans_interval=True), probe, None, 30)


def test_the_collection_log_tells_of_every_run(agents, tmp_path):
    fine = run_collector(agents.collector(), LiveProbe(), None, 1)
    bad = run_collector(failing(agents, CollectorError("parse", "odd \udcff name")), LiveProbe(), None, 1)
    writer = SpoolWriter(tmp_path / "spool", "c", "h", "agent")
    for report in (fine, bad):
        writer.append([log_reading(report, "agent", 60)])
    first, second = agents.spooled(tmp_path, "collection_log")
    assert (first["collector"], first["outcome"], first["rows"], first["attempts"]) == ("disk", "success", 1, 1)
    assert first.get("category") is None
    assert (second["outcome"], second["category"], second["rows"]) == ("failed", "parse", 0)
    assert second["message"] == "odd \\xff name"
    assert second["started_time"] <= second["sample_time"]


def test_every_category_that_a_probe_raises_is_in_the_contract():
    kinds = [kind for kind in vars(probes).values() if isinstance(kind, type) and issubclass(kind, probes.ProbeError)]
    assert {kind.category for kind in kinds} <= set(runs.CATEGORIES)

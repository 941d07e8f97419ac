"""The agent says whether it does its work."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from datetime import UTC, datetime

import pytest

from nomade_pipeline.agent.health import CollectorState, HealthDoor, judge
from nomade_pipeline.agent.runs import RunReport
from nomade_pipeline.agent.serve import serve
from nomade_pipeline.agent.wakeups import Wakeups
from nomade_pipeline.collectors.base import CollectorError

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def report(outcome, category=None, message=None):
    return RunReport("disk", MOMENT, MOMENT, outcome, 1.0, category=category, message=message)


def ask(port, path="/health"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_collector_is_late_after_three_intervals_without_a_success():
    state = CollectorState(interval=60, since=0.0)
    assert not state.is_late(180)
    assert state.is_late(181)
    state.note(report("success"), 170)
    assert not state.is_late(350)
    state.note(report("failed", "parse", "odd"), 340)
    assert state.is_late(351)
    assert state.to_dict(351)["last_error"] == "parse: odd"
    assert state.to_dict(351)["failures_in_a_row"] == 1


def test_a_collector_with_nothing_to_collect_or_switched_off_is_not_late():
    state = CollectorState(interval=1, since=0.0)
    state.note(report("skipped", "not_present", "no GPU"), 1)
    assert not state.is_late(1000)
    assert not CollectorState(interval=1, since=0.0, enabled=False).is_late(1000)


def test_a_spool_that_takes_nothing_is_a_failing_agent():
    assert judge({}, 0.0, None, {})["status"] == "ok"
    assert judge({}, 0.0, "no space left", {})["status"] == "failing"


def test_the_door_answers_health_and_nothing_else():
    state = {"status": "ok"}
    door = HealthDoor(0, lambda: dict(state))
    try:
        assert ask(door.port) == (200, {"status": "ok"})
        state["status"] = "failing"
        assert ask(door.port)[0] == 503
        assert ask(door.port, "/etc/passwd")[0] == 404
    finally:
        door.close()
    with pytest.raises(OSError, match="refused"):
        ask(door.port)


def test_a_client_that_says_nothing_does_not_hold_up_another():
    door = HealthDoor(0, lambda: {"status": "ok"})
    try:
        with socket.create_connection(("127.0.0.1", door.port)):
            assert ask(door.port)[0] == 200
    finally:
        door.close()


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Run `serve` in a thread; gives the function that starts it with a configuration."""
    monkeypatch.chdir(tmp_path)
    wakeups = Wakeups()
    threads = []

    def start(text, collectors):
        file = tmp_path / "nomade.toml"
        file.write_text(f'[general]\ndata_dir = "{tmp_path}/data"\nhost = "h"\n{text}')
        thread = threading.Thread(
            target=serve,
            args=(file, collectors),
            kwargs={"interval": 0.2, "wakeups": wakeups, "environment": {"HOME": str(tmp_path)}},
        )
        thread.start()
        threads.append(thread)
        return file, wakeups

    yield start
    wakeups.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    wakeups.close()


def answers(port):
    try:
        return ask(port)
    except OSError:
        return None


def test_the_port_of_the_configuration_answers_health_requests(agents, served):
    port = free_port()
    served(f"[monitor]\nport = {port}\n", [agents.collector()])
    assert agents.until(lambda: (answers(port) or (0, {}))[1].get("collectors", {}).get("disk", {}).get("outcome"))
    code, health = ask(port)
    assert code == 200
    assert health["collectors"]["disk"]["outcome"] == "success"
    assert health["host"] == "h"
    assert health["waiting_runs"] == 0


def test_the_answer_is_503_while_a_collector_fails(agents, served):
    def collect(probe, settings, interval):
        raise CollectorError("tool_missing", "no df")

    port = free_port()
    served(f"[monitor]\nport = {port}\n", [agents.collector(collect=collect)])
    assert agents.until(lambda: (answers(port) or (0,))[0] == 503, 8)
    assert ask(port)[1]["late"] == ["disk"]
    assert ask(port)[1]["collectors"]["disk"]["last_error"] == "tool_missing: no df"


def test_the_port_follows_a_changed_configuration(agents, served):
    first, second = free_port(), free_port()
    file, wakeups = served(f"[monitor]\nport = {first}\n", [agents.collector()])
    assert agents.until(lambda: answers(first))
    file.write_text(file.read_text().replace(str(first), str(second)))
    wakeups.reload()
    assert agents.until(lambda: answers(second))
    assert answers(first) is None


def test_a_taken_port_does_not_stop_the_agent(agents, served, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        served(f"[monitor]\nport = {taken.getsockname()[1]}\n", [agents.collector()])
        assert agents.until(lambda: agents.spooled(tmp_path / "data"))
    assert "health requests are not answered" in (tmp_path / "data" / "logs" / "agent-h.log").read_text()

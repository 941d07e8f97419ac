"""The supervisor with real child processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from nomade_pipeline import supervisor
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.supervisor import Log, Part, Supervisor, SupervisorError


def until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Run supervisors in threads; all end with the test."""
    started: list[tuple[Supervisor, threading.Thread]] = []

    def run(*programs: str) -> Supervisor:
        parts = [Part(f"part{index}", [sys.executable, "-c", code]) for index, code in enumerate(programs)]
        made = Supervisor(parts, dict(os.environ), Log(tmp_path / "nomade.log", echo=False))
        thread = threading.Thread(target=made.run)
        thread.start()
        started.append((made, thread))
        return made

    yield run
    for made, thread in started:
        made.stopping.set()
        thread.join(30)
        assert not thread.is_alive()


def log(folder: Path) -> str:
    path = folder / "nomade.log"
    return path.read_text() if path.exists() else ""


def pids(folder: Path) -> list[int]:
    return [int(line.split("pid ")[1]) for line in log(folder).splitlines() if "started, pid" in line]


def test_every_line_of_a_part_is_in_the_one_log_with_its_name(running, tmp_path: Path) -> None:
    running("print('hello'); import time; time.sleep(60)", "print('there'); import time; time.sleep(60)")
    assert until(lambda: "part0      hello" in log(tmp_path) and "part1      there" in log(tmp_path))


def test_a_part_that_is_killed_is_started_again(running, tmp_path: Path) -> None:
    running("import time; time.sleep(60)")
    assert until(lambda: len(pids(tmp_path)) == 1)
    os.kill(pids(tmp_path)[0], signal.SIGKILL)
    assert until(lambda: len(pids(tmp_path)) == 2)
    assert alive(pids(tmp_path)[1])
    assert "ended with status -9; it is started again in 1 s" in log(tmp_path)


def test_a_part_that_fails_at_once_is_started_with_growing_pauses(running, tmp_path: Path) -> None:
    running("raise SystemExit(3)")
    assert until(lambda: "again in 1 s" in log(tmp_path) and "again in 2 s" in log(tmp_path))


def test_the_end_takes_the_children_of_a_part_along(running, tmp_path: Path) -> None:
    """A Dagster run is a grandchild of the supervisor."""
    code = "import subprocess, sys, time; print('grandchild', subprocess.Popen(['sleep', '600']).pid); time.sleep(600)"
    made = running(code)
    assert until(lambda: "grandchild" in log(tmp_path))
    grandchild = int(log(tmp_path).split("grandchild ")[1].split()[0])
    assert alive(grandchild)
    made.stopping.set()
    assert until(lambda: "all parts have ended" in log(tmp_path))
    assert until(lambda: not alive(grandchild))


def test_a_part_that_ignores_sigterm_is_killed(running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 1.0)
    made = running("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(600)")
    assert until(lambda: "deaf" in log(tmp_path))
    made.stopping.set()
    assert until(lambda: not alive(pids(tmp_path)[0]))


def test_a_second_supervisor_on_the_same_folder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    with (
        supervisor.exclusive(paths),
        pytest.raises(SupervisorError, match=str(os.getpid())),
        supervisor.exclusive(paths),
    ):
        pass
    assert supervisor.running_pid(paths) is None


def test_a_port_that_is_taken_is_refused_with_advice() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SupervisorError, match="--port"):
            supervisor.require_free_port("127.0.0.1", taken.getsockname()[1])


def test_dagsters_settings_are_written_once_and_kept_when_changed(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    supervisor.prepare_dagster_home(paths)
    settings = paths.dagster_home / "dagster.yaml"
    assert "max_concurrent_runs" in settings.read_text()
    settings.write_text("telemetry:\n  enabled: false\n")
    supervisor.prepare_dagster_home(paths)
    assert settings.read_text() == "telemetry:\n  enabled: false\n"


def test_a_long_data_folder_still_gets_a_socket_that_can_be_bound(tmp_path: Path) -> None:
    """A Unix socket's path is limited to 108 bytes."""
    deep = DataPaths(tmp_path / ("x" * 120))
    assert len(os.fsencode(supervisor.code_socket(deep))) < 108
    assert supervisor.code_socket(deep) == supervisor.code_socket(deep)

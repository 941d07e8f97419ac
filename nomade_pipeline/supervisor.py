"""`nomade up`: agent, code location, web server and daemon under one supervisor with one log.

Each part is a child in its own process group; one that dies is started again with growing pauses; a
signal ends them all, last started first. `start` does the same in the background, `stop` ends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import logging.handlers
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import IO, Callable, Iterator, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.config.paths import DataPaths

# Dagster's daemon and web server answer SIGTERM within a few seconds; runs in progress are given the rest.
STOP_SECONDS = 20.0
# Two cores need about 15 s from start to the first page.
READY_SECONDS = 90.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# A part that has run this long was healthy; its next death starts with a short pause again.
HEALTHY_SECONDS = 120.0
LOG_BYTES, LOG_FILES = 10_000_000, 5


class SupervisorError(Exception):
    """The supervisor cannot start or stop; the message says what to do."""


@dataclass(frozen=True)
class Part:
    """One supervised program."""

    name: str
    argv: Sequence[str]


@dataclass
class Child:
    """A part that runs, or waits to be started again."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    start_at: float = 0.0
    pump: threading.Thread | None = None

    def end(self) -> None:
        """End the process with its whole group, and wait for its last lines."""
        if self.process is not None:
            end_group(self.process)
            self.process = None
        if self.pump is not None:
            self.pump.join(5)
            self.pump = None


def parts(paths: DataPaths, host: str, port: int, *, agent: bool, config_path: Path | None) -> list[Part]:
    """Return the programs of an installation; the code location is shared by web server and daemon."""
    python = sys.executable
    workspace = str(paths.dagster_home / "workspace.yaml")
    sock = str(code_socket(paths))
    config = ["--config", str(config_path)] if config_path is not None else []
    programs = [
        Part("code", [python, "-m", "dagster", "api", "grpc", "-m", "nomade_pipeline.definitions", "--socket", sock]),
        Part("web", [python, "-m", "dagster_webserver", "-w", workspace, "-h", host, "-p", str(port)]),
        Part("daemon", [python, "-m", "dagster._daemon", "run", "-w", workspace]),
    ]
    if agent:
        programs.insert(0, Part("agent", [python, "-m", "nomade_pipeline.agent", *config]))
    return programs


def code_socket(paths: DataPaths) -> Path:
    """Return the socket of the code location; its path must be shorter than 108 bytes."""
    path = paths.dagster_home / "code.sock"
    if len(os.fsencode(path)) < 100:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"nomade-{os.getuid()}-{name}.sock"


def prepare_dagster_home(paths: DataPaths) -> None:
    """Create Dagster's folder with our `dagster.yaml` (kept when changed) and a workspace file."""
    paths.dagster_home.mkdir(parents=True, exist_ok=True)
    settings = paths.dagster_home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(
            resources.files("nomade_pipeline").joinpath("data/dagster.yaml").read_text("utf-8"), "utf-8"
        )
    workspace = paths.dagster_home / "workspace.yaml"
    workspace.write_text(
        "# Written by `nomade up` at every start.\n"
        "load_from:\n"
        f"  - grpc_server:\n      socket: {code_socket(paths)}\n      location_name: nomade_pipeline\n",
        encoding="utf-8",
    )


def create_dagster_storage(env: Mapping[str, str]) -> None:
    """Let one process create Dagster's databases; web server and daemon would trip over each other.

    Raises:
        SupervisorError: Dagster refuses its settings or its folder.
    """
    if (Path(env["DAGSTER_HOME"]) / "history" / "runs.db").exists():
        return
    argv = [sys.executable, "-m", "dagster", "instance", "migrate"]
    made = subprocess.run(argv, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise SupervisorError(f"Dagster cannot use {env['DAGSTER_HOME']}:\n{made.stderr.strip()[-2000:]}")


def environment(paths: DataPaths, config_path: Path | None, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the supervised programs."""
    added = {
        "DAGSTER_HOME": str(paths.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "NOMADE_GENERAL__DATA_DIR": str(paths.root),
        "PYTHONUNBUFFERED": "1",
        # BackfillPolicy is marked beta; the warning says nothing to who runs the programs.
        "PYTHONWARNINGS": "ignore",
    }
    if config_path is not None:
        added["NOMADE_CONFIG"] = str(config_path)
    return {**base, **added}


class Log:
    """The one log: every part's lines with its name, rotated by size.

    Args:
        path: the file; its folder is made.
        echo: also print the lines.
    """

    def __init__(self, path: Path, *, echo: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
        self._lock = threading.Lock()
        self._echo = echo

    def write(self, name: str, line: str) -> None:
        """Write a line of a part."""
        text = f"{clock.to_text(clock.now())} {name:<10} {line}"
        with self._lock:
            self._handler.emit(logging.LogRecord(name, logging.INFO, "", 0, text, None, None))
            if self._echo:
                print(text, flush=True)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._handler.close()


@dataclass
class Supervisor:
    """Runs parts until it is told to stop.

    Attributes:
        programs: what to run, in the order of their start.
        env: their environment.
        log: where their lines go.
        stopping: set to end everything.
    """

    programs: Sequence[Part]
    env: Mapping[str, str]
    log: Log
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Start every part, keep them running, and end them in reverse order when asked to stop."""
        children = [Child(part) for part in self.programs]
        try:
            while not self.stopping.is_set():
                for child in children:
                    self._tend(child)
                self.stopping.wait(0.5)
        finally:
            for child in reversed(children):
                child.end()
            self.log.write("supervisor", "all parts have ended")
            self.log.close()

    def _tend(self, child: Child) -> None:
        """Start a part that is due, and notice one that has died."""
        now = clock.monotonic()
        if child.process is None:
            if now >= child.start_at:
                self._start(child)
            return
        status = child.process.poll()
        if status is None:
            return
        if now - child.started > HEALTHY_SECONDS:
            child.pause = FIRST_PAUSE
        name = child.part.name
        self.log.write("supervisor", f"{name} ended with status {status}; it is started again in {child.pause:g} s")
        child.end()
        child.start_at = now + child.pause
        child.pause = min(2 * child.pause, LONGEST_PAUSE)

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            list(child.part.argv),
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        child.started = clock.monotonic()
        self.log.write("supervisor", f"{child.part.name} started, pid {child.process.pid}")
        assert child.process.stdout is not None
        child.pump = threading.Thread(target=_pump, args=(child.part.name, child.process.stdout, self.log), daemon=True)
        child.pump.start()


def _pump(name: str, stream: IO[bytes], log: Log) -> None:
    with stream:
        for line in stream:
            log.write(name, line.decode("utf-8", "replace").rstrip())


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a child with its whole process group: politely first, then whatever is left of it."""
    for sig, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def serve(paths: DataPaths, host: str, port: int, *, agent: bool, config_path: Path | None, echo: bool = True) -> None:
    """Run an installation in the foreground until SIGTERM or SIGINT.

    Raises:
        SupervisorError: another supervisor runs on this data folder, or the port is taken.
    """
    with exclusive(paths):
        require_free_port(host, port)
        prepare_dagster_home(paths)
        code_socket(paths).unlink(missing_ok=True)
        env = environment(paths, config_path, os.environ)
        create_dagster_storage(env)
        supervisor = Supervisor(
            parts(paths, host, port, agent=agent, config_path=config_path),
            env,
            Log(paths.logs / "nomade.log", echo=echo),
        )
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda *_: supervisor.stopping.set())
        supervisor.run()


@contextlib.contextmanager
def exclusive(paths: DataPaths) -> Iterator[None]:
    """Hold the lock of a data folder's supervisor; the file holds its pid.

    Raises:
        SupervisorError: another one holds it.
    """
    path = lock_path(paths)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if not _try_lock(file):
            raise SupervisorError(f"nomade already runs here, pid {_pid_in(path)}; `nomade stop` ends it")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_path(paths: DataPaths) -> Path:
    """Return the supervisor's lock file."""
    return paths.locks / "supervisor.pid"


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def running_pid(paths: DataPaths) -> int | None:
    """Return the pid of the supervisor that runs on a data folder, None when there is none."""
    path = lock_path(paths)
    try:
        with path.open("r+") as file:
            return None if _try_lock(file) else _pid_in(path)
    except FileNotFoundError:
        return None


def require_free_port(host: str, port: int) -> None:
    """Make sure that the web server can listen.

    Raises:
        SupervisorError: something listens there, or the address is not ours.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise SupervisorError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
        ) from error


def wait_until_ready(host: str, port: int, seconds: float, alive: Callable[[], bool]) -> bool:
    """Wait until Dagster's web server answers; False when it does not in time or the supervisor died."""
    deadline = clock.monotonic() + seconds
    while clock.monotonic() < deadline and alive():
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/server_info", timeout=2) as answer:
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    return False


def start(paths: DataPaths, argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `nomade` with these arguments in the background and return its process.

    Raises:
        SupervisorError: one runs already.
    """
    running = running_pid(paths)
    if running is not None:
        raise SupervisorError(f"nomade already runs here, pid {running}; `nomade stop` ends it")
    paths.logs.mkdir(parents=True, exist_ok=True)
    with (paths.logs / "nomade.out").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "nomade_pipeline.cli.main", *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )


def stop(paths: DataPaths) -> bool:
    """End the supervisor of a data folder; False when none runs.

    Raises:
        SupervisorError: it does not end.
    """
    pid = running_pid(paths)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = clock.monotonic() + 4 * STOP_SECONDS
    while running_pid(paths) == pid:
        if clock.monotonic() > deadline:
            raise SupervisorError(f"nomade, pid {pid}, does not end; see {paths.logs / 'nomade.log'}")
        time.sleep(0.2)
    return True


def console_address(host: str, port: int) -> str:
    """Return the address to open in a browser."""
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104

"""The daemons of a lab: how each is started, how one sees that it runs, and when it answers."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from nomade_pipeline import clock
from nomade_pipeline.lab import commands
from nomade_pipeline.lab.configs import ANY_LOOPBACK, own_loopback_address
from nomade_pipeline.lab.errors import LabError
from nomade_pipeline.lab.layout import Layout
from nomade_pipeline.lab.processes import Process, daemons_of

# Generous: the first start of slurmdbd makes its tables.
READY_SECONDS = 60.0
GONE_SECONDS = 1.0
LOG_LINES = 12


@dataclass(frozen=True)
class Service:
    """One daemon.

    Attributes:
        name: as messages call it.
        argv: its command line, by which it is recognised too.
        log: its log file.
        answers: asks it something.
        user: who starts it; None is root. (mariadbd and Slurm's daemons change their user themselves.)
        fork: it stays in the foreground by itself, so it is put into the background.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    answers: Callable[[], bool]
    user: str | None = None
    fork: bool = False

    def process(self, folder: Path) -> Process | None:
        """Return the running process, None when there is none."""
        return next((process for process in daemons_of(folder) if process.argv == self.argv), None)


def start(layout: Layout, service: Service) -> bool:
    """Start a daemon unless it runs, and wait until it answers; False when it ran already.

    Raises:
        LabError: it does not start or does not answer; the message quotes its log.
    """
    running = service.process(layout.folder) is not None
    if not running:
        _launch(layout, service)
    seen = begun = clock.monotonic()
    while not service.answers():
        now = clock.monotonic()
        if service.process(layout.folder) is not None:
            seen = now
        # While it forks into the background neither parent nor child may be seen.
        if now - seen > GONE_SECONDS:
            raise LabError(f"{service.name} has ended at its start; {quote(service.log)}")
        if now - begun > READY_SECONDS:
            raise LabError(f"{service.name} does not answer after {READY_SECONDS:g} s; {quote(service.log)}")
        time.sleep(0.1)
    return not running


def _launch(layout: Layout, service: Service) -> None:
    """Run the command that leaves a daemon in the background."""
    argv = (["setsid", "--fork"] if service.fork else []) + list(service.argv)
    # A file, not a pipe: a daemon may keep its standard error open for good.
    with tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(
                argv,
                env=commands.daemon_environment(layout),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=READY_SECONDS,
                cwd="/",
                **commands.identity(service.user),
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{service.name} does not go into the background; {quote(service.log)}") from error
        if done.returncode != 0:
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip()
            raise LabError(f"{service.name} does not start: {words[-1000:]}; {quote(service.log)}")


def quote(log: Path) -> str:
    """Return the end of a log for a message."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]
    except FileNotFoundError:
        return f"it has no log ({log})"
    return "\n".join([f"the end of {log}:", *lines])


def mariadb(layout: Layout) -> Service:
    """MariaDB with a data folder of its own, on loopback."""
    admin = ["mariadb-admin", "--no-defaults", f"--socket={layout.mysql_socket}", "ping"]
    argv = (
        "mariadbd",
        "--no-defaults",
        "--user=mysql",
        f"--datadir={layout.mysql / 'data'}",
        f"--socket={layout.mysql_socket}",
        f"--pid-file={layout.mysql / 'mariadb.pid'}",
        f"--log-error={layout.mysql / 'mariadb.log'}",
        "--bind-address=127.0.0.1",
        f"--port={layout.mariadb_port}",
        "--skip-log-bin",
        "--skip-name-resolve",
        # Debian's defaults, which --no-defaults leaves out.
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_general_ci",
        "--innodb-buffer-pool-size=64M",
        "--innodb-lock-wait-timeout=900",
        "--innodb-flush-log-at-trx-commit=2",
    )
    return Service("mariadbd", argv, layout.mysql / "mariadb.log", _succeeds(layout, admin), fork=True)


def munged(layout: Layout) -> Service:
    """Munge with a key and a socket of its own."""
    argv = (
        "munged",
        f"--socket={layout.munge_socket}",
        f"--key-file={layout.munge / 'munge.key'}",
        f"--log-file={layout.munge / 'munged.log'}",
        f"--pid-file={layout.munge / 'munged.pid'}",
        f"--seed-file={layout.munge / 'munged.seed'}",
        # Two, the default, are too few for the daemons of several nodes.
        "--num-threads=10",
    )
    asks = ["munge", "--no-input", "--output=/dev/null", f"--socket={layout.munge_socket}"]
    return Service("munged", argv, layout.munge / "munged.log", _succeeds(layout, asks), user="munge")


def slurmdbd(layout: Layout) -> Service:
    """Slurm's accounting daemon."""
    asks = ["sacctmgr", "--noheader", "show", "cluster"]
    return Service("slurmdbd", ("slurmdbd",), layout.logs / "slurmdbd.log", _succeeds(layout, asks))


def slurmctld(layout: Layout) -> Service:
    """Slurm's controller."""
    argv = ("slurmctld", "-f", str(layout.slurm_conf))
    return Service("slurmctld", argv, layout.logs / "slurmctld.log", _succeeds(layout, ["scontrol", "ping"]))


def slurmd(layout: Layout, index: int) -> Service:
    """The daemon of a compute node."""
    node = layout.node_names[index]
    argv = ("slurmd", "-f", str(layout.slurm_conf), "-N", node)
    answers = _listens(own_loopback_address() or ANY_LOOPBACK, layout.slurmd_port(index))
    return Service(f"slurmd {node}", argv, layout.logs / f"slurmd-{node}.log", answers)


def all_services(layout: Layout) -> list[Service]:
    """Return the daemons in the order of their start."""
    if layout.scale:
        return [munged(layout), slurmctld(layout)]
    nodes = [slurmd(layout, index) for index in range(layout.nodes)]
    return [mariadb(layout), munged(layout), slurmdbd(layout), slurmctld(layout), *nodes]


def _succeeds(layout: Layout, argv: list[str]) -> Callable[[], bool]:
    return lambda: commands.attempt(argv, commands.tool_environment(layout)).returncode == 0


def _listens(address: str, port: int) -> Callable[[], bool]:
    def listens() -> bool:
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex((address, port)) == 0

    return listens

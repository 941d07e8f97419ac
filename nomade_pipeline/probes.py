"""How the outside world is asked: commands with a deadline, files of /proc and /sys, waiting.

Collectors receive a probe and never touch the operating system themselves, so that recorded output
can stand in for it. Text is decoded as UTF-8 with ``surrogateescape``: any byte survives and can be
passed back to a command; the spool makes it printable.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Mapping, Optional, Protocol, Sequence

from nomade_pipeline import clock

# Variables that change what the tools print (tool_traps 1); everything else of ours is passed on.
SCRUBBED = (
    "SLURM_CLUSTERS",
    "SLURM_JSON",
    "SLURM_YAML",
    "S_TIME_FORMAT",
    "S_TIME_DEF_TIME",
    "S_COLORS",
    "S_COLORS_SGR",
    "S_REPEAT_HEADER",
    "POSIXLY_CORRECT",
    "LANG",
    "LANGUAGE",
)
# Slurm's commands take every option from the environment, SQUEUE_USERS for one, which would hide jobs.
SCRUBBED_PREFIXES = ("SACCT_", "SACCTMGR_", "SCONTROL_", "SDIAG_", "SINFO_", "SPRIO_", "SQUEUE_", "SSHARE_", "SSTAT_")
# SLURM_BITSTR_LEN=0: the tasks of an array are listed whole.
FIXED = {"LC_ALL": "C", "TZ": "UTC", "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}

# A killed process that sleeps in the kernel (a dead NFS server) cannot be reaped; do not wait longer.
REAP_SECONDS = 1.0


class ProbeError(Exception):
    """The outside world could not be asked; ``category`` is one of ``tables.operations.CATEGORIES``."""

    category = "internal"


class ToolMissing(ProbeError):
    """The command is not on the PATH."""

    category = "tool_missing"


class NotPermitted(ProbeError):
    """The operating system refused."""

    category = "permission"


class TimedOut(ProbeError):
    """The command did not end before its deadline; it was killed with its whole process group."""

    category = "timeout"


class Interrupted(ProbeError):
    """The agent is stopping."""

    category = "internal"


@dataclass(frozen=True)
class Completed:
    """A command that ended: its exit status and what it printed."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


class Probe(Protocol):
    """What a collector may ask of a host."""

    def which(self, tool: str) -> Optional[str]:
        """Return the path of a command, None if it is not installed."""

    def run(self, argv: Sequence[str], timeout: float) -> Completed:
        """Run a command to its end.

        Raises:
            ToolMissing, NotPermitted, TimedOut, Interrupted: it could not run, or was killed.
        """

    def read(self, path: str) -> str:
        """Return the text of a file such as ``/proc/stat``.

        Raises:
            OSError: it cannot be read.
        """

    def listdir(self, path: str) -> list[str]:
        """Return the sorted names in a folder.

        Raises:
            OSError: it cannot be listed.
        """

    def readlink(self, path: str) -> str:
        """Return where a symbolic link such as ``/proc/1/fd/0`` points; what it points at is not touched.

        Raises:
            OSError: it cannot be read, or is no link.
        """

    def now(self) -> datetime:
        """Return the present UTC time."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""

    def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            Interrupted: the agent is stopping.
        """


def scrubbed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of the environment in which tools print what we expect."""
    kept = {
        name: value
        for name, value in environment.items()
        if name not in SCRUBBED and not name.startswith(SCRUBBED_PREFIXES)
    }
    return {**kept, **FIXED}


@dataclass
class LiveProbe:
    """The host itself.

    Attributes:
        root: prefix of every file read; tests point it at a recorded tree.
        stopping: set by the agent to end waits and running commands.
    """

    root: str = "/"
    stopping: threading.Event = field(default_factory=threading.Event)

    def which(self, tool: str) -> Optional[str]:
        """See Probe."""
        # Compute nodes often start services with a PATH that lacks the sbin folders.
        path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin:/sbin:/usr/local/sbin"
        # By hand: shutil.which brings three compression libraries into an agent of 20 MB.
        for folder in path.split(os.pathsep):
            candidate = os.path.join(folder, tool)
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
        return None

    def run(self, argv: Sequence[str], timeout: float) -> Completed:
        """See Probe."""
        tool = self.which(argv[0])
        if tool is None:
            raise ToolMissing(f"{argv[0]} is not installed or not on the PATH")
        began = clock.monotonic()
        try:
            process = subprocess.Popen(
                [tool, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=scrubbed_environment(os.environ),
                start_new_session=True,
                cwd="/",
            )
        except PermissionError as error:
            raise NotPermitted(f"{tool}: {error.strerror}") from error
        except OSError as error:
            raise ProbeError(f"{tool} could not be started: {error}") from error
        stdout, stderr = self._finish(process, argv[0], timeout)
        return Completed(tuple(argv), process.returncode, _text(stdout), _text(stderr), clock.monotonic() - began)

    def _finish(self, process: subprocess.Popen[bytes], tool: str, timeout: float) -> tuple[bytes, bytes]:
        """Wait for a process in slices, so that a stop request is noticed, and kill it when late."""
        deadline = clock.monotonic() + timeout
        while True:
            left = deadline - clock.monotonic()
            try:
                return process.communicate(timeout=max(0.0, min(left, 1.0)))
            except subprocess.TimeoutExpired:
                if self.stopping.is_set():
                    _kill(process)
                    raise Interrupted(f"{tool} was stopped with the agent") from None
                if left <= 0:
                    _kill(process)
                    raise TimedOut(f"{tool} did not answer within {timeout:g} s") from None

    def read(self, path: str) -> str:
        """See Probe."""
        with open(self._below_root(path), "rb") as file:
            return _text(file.read())

    def listdir(self, path: str) -> list[str]:
        """See Probe."""
        return sorted(os.listdir(self._below_root(path)))

    def readlink(self, path: str) -> str:
        """See Probe."""
        return os.readlink(self._below_root(path))  # noqa: PTH115 - see _below_root

    def _below_root(self, path: str) -> str:
        # Not a Path: it interns its parts, and Python's table of interned strings, filled and emptied
        # every minute, fragments the memory of a process that lives for months (1 MB a day, measured).
        return os.path.join(self.root, path.lstrip("/"))

    def now(self) -> datetime:
        """See Probe."""
        return clock.now()

    def monotonic(self) -> float:
        """See Probe."""
        return clock.monotonic()

    def wait(self, seconds: float) -> None:
        """See Probe."""
        if self.stopping.wait(seconds):
            raise Interrupted("the agent is stopping")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with its group; leave behind one that sleeps in the kernel."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    try:
        process.communicate(timeout=REAP_SECONDS)
    except subprocess.TimeoutExpired:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

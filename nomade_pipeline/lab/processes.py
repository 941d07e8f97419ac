"""The processes of a lab: found by their environment and their cgroups, ended by their ids."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Iterator

from nomade_pipeline import clock
from nomade_pipeline.lab.layout import Layout

# Every daemon of a lab is started with this variable; its value is the folder of the lab.
MARK = "NOMADE_LAB"
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it: its command line, its environment, and the folder that it works in."""

    pid: int
    argv: tuple[str, ...]
    environment: frozenset[bytes]
    folder: str


def all_processes() -> Iterator[Process]:
    """Yield the processes that have an environment: neither threads of the kernel nor zombies."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes()
            argv = Path(f"/proc/{entry}/cmdline").read_bytes()
            folder = str(Path(f"/proc/{entry}/cwd").readlink())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # Gone meanwhile, or the first process of a container, which not even root may read.
            continue
        if environment:
            words = argv.removesuffix(b"\0").split(b"\0")
            yield Process(int(entry), tuple(map(os.fsdecode, words)), frozenset(environment.split(b"\0")), folder)


def daemons_of(folder: Path) -> list[Process]:
    """Return the processes that carry the mark of a lab."""
    mark = os.fsencode(f"{MARK}={folder}")
    return [process for process in all_processes() if mark in process.environment]


def other_labs(folder: Path) -> set[str]:
    """Return the folders of the labs that run on this machine beside one."""
    prefix = os.fsencode(f"{MARK}=")
    marks = {word for process in all_processes() for word in process.environment if word.startswith(prefix)}
    return {os.fsdecode(mark.removeprefix(prefix)) for mark in marks} - {str(folder)}


def remains_of_jobs(layout: Layout) -> set[int]:
    """Return the pids that jobs of a lab have left: step daemons, and what is in its cgroups or its environment."""
    conf = os.fsencode(f"SLURM_CONF={layout.slurm_conf}")
    found = set()
    for process in all_processes():
        in_job = conf in process.environment and any(word.startswith(b"SLURM_JOB_ID=") for word in process.environment)
        # A step daemon writes its title over its environment, but it works in the folder of slurmd's logs.
        step_daemon = process.folder == str(layout.logs) and process.argv[0].startswith("slurmstepd")
        if in_job or step_daemon:
            found.add(process.pid)
    for group in cgroups_of(layout.node_names):
        for path in group.rglob("cgroup.procs"):
            with contextlib.suppress(FileNotFoundError):
                found.update(map(int, path.read_text().split()))
    return found


def cgroups_of(nodes: Iterable[str]) -> list[Path]:
    """Return the topmost cgroups of some nodes, in all hierarchies."""
    return [group for node in nodes for group in CGROUPS.glob(f"*/slurm_{node}")]


def end(pids: Callable[[], Iterable[int]], seconds: float) -> None:
    """End processes: ask them, wait, then kill what is left.

    Args:
        pids: tells which of them still run.
        seconds: how long they may take after being asked.
    """
    for sig, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for pid in pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        deadline = clock.monotonic() + patience
        while list(pids()) and clock.monotonic() < deadline:
            time.sleep(0.1)


def remove_cgroups(nodes: Iterable[str]) -> None:
    """Remove the cgroups of some nodes; no process may be left in them."""
    for group in cgroups_of(nodes):
        for path in sorted(group.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
            path.rmdir()
        group.rmdir()

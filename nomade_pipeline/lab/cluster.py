"""A lab as a whole: up, down, and what of it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

from nomade_pipeline import clock
from nomade_pipeline.errors import NoData
from nomade_pipeline.lab import commands, machine, mounts, processes, scale, services, setup, users
from nomade_pipeline.lab import layout as layouts
from nomade_pipeline.lab.errors import LabError
from nomade_pipeline.lab.layout import DEFAULT_NODES, Layout

NODES_SECONDS = 60.0
# MariaDB and slurmctld write their state out when they are asked to end.
STOP_SECONDS = 20.0
CANCEL_SECONDS = 20.0


@dataclass(frozen=True)
class ServiceState:
    """A daemon as it is now; pid is None when it does not run."""

    name: str
    pid: int | None
    log: Path


@dataclass(frozen=True)
class LabStatus:
    """What of a lab runs.

    Attributes:
        folder: of the lab.
        first_port: of its range of a hundred ports.
        services: its daemons in the order of their start.
        nodes: state of each node, as sinfo words it; empty while the controller does not answer.
        jobs: number of jobs by state that have not ended; likewise.
        mounts: the file systems of the jobs, and whether they are mounted.
    """

    folder: Path
    first_port: int
    services: list[ServiceState]
    nodes: dict[str, str]
    jobs: dict[str, int]
    mounts: dict[str, bool]


def up(folder: Path, nodes: int | None = None, *, cgroups: bool | None = None) -> list[str]:
    """Bring up a lab, or whatever of it is missing; return the names of the daemons that were started.

    Args:
        folder: its folder, made if there is none.
        nodes: number of compute nodes; None: as before, 4 in a new lab.
        cgroups: track jobs by cgroups; None: as before, in a new lab if the machine has them.

    Raises:
        LabError: the machine lacks something, or a daemon does not come.
    """

    def plan(present: Layout | None) -> Layout:
        if present is not None:
            wish = Layout(folder, present.slot, nodes or present.nodes, present.cgroups if cgroups is None else cgroups)
        else:
            wanted = machine.has_cgroups() if cgroups is None else cgroups
            wish = Layout(folder, layouts.free_slot(folder), nodes or DEFAULT_NODES, wanted)
        return wish

    with _planned(folder, plan) as layout:
        setup.prepare(layout)
        users.create_system_users()
        mounts.mount_all(layout)
        started = _start_daemons(layout)
        _await_nodes(layout)
        _reserve(layout)
    return started


def up_scale(folder: Path) -> list[str]:
    """Bring up a controller of ten thousand nodes, with ten thousand tasks queued; return what was started.

    Raises:
        LabError: the machine lacks something, or a daemon does not come.
    """

    def plan(present: Layout | None) -> Layout:
        slot = layouts.free_slot(folder) if present is None else present.slot
        return Layout(folder, slot, nodes=0, cgroups=False, scale=True)

    with _planned(folder, plan) as layout:
        setup.prepare(layout)
        users.create_system_users()
        started = _start_daemons(layout)
        scale.fill(layout)
    return started


def down(folder: Path, *, purge: bool = False) -> bool:
    """Cancel all jobs, end all daemons, unmount and remove the cgroups; False when there is no lab.

    Args:
        folder: the lab's folder.
        purge: remove the folder too, and the users of the lab unless another lab runs.

    Raises:
        LabError: something does not end.
    """
    machine.require_root()
    if not folder.exists():
        return False
    with _locked(folder):
        layout = layouts.load(folder)
        if layout is None:
            return False
        _cancel_all_jobs(layout)
        _end_daemons(layout)
        mounts.unmount_all(layout)
        processes.remove_cgroups(layout.node_names)
        if purge:
            shutil.rmtree(folder)
            if not processes.other_labs(folder):
                users.remove_system_users()
    return True


def require_lab(folder: Path) -> Layout:
    """Return the plan of the lab in a folder.

    Raises:
        NoData: there is none.
    """
    layout = layouts.load(folder)
    if layout is None:
        raise NoData(f"there is no lab in {folder}", "`nomade lab up` makes one")
    return layout


def status(layout: Layout) -> LabStatus:
    """Return what of a lab runs."""
    running = {process.argv: process.pid for process in processes.daemons_of(layout.folder)}
    present = [ServiceState(each.name, running.get(each.argv), each.log) for each in services.all_services(layout)]
    nodes, jobs = {}, {}
    if all(each.pid is not None for each in present if each.name in ("munged", "slurmctld")):
        nodes, jobs = node_states(layout), _jobs_by_state(layout)
    mounted = {str(path): os.path.ismount(path) for path in (layout.scratch, layout.network) if path.exists()}
    return LabStatus(layout.folder, layout.port(0), present, nodes, jobs, mounted)


def node_states(layout: Layout) -> dict[str, str]:
    """Return the state of each node as sinfo words it.

    Raises:
        LabError: the controller does not answer.
    """
    argv = ["sinfo", "--noheader", "--Node", "--format=%N %T"]
    words = commands.run(argv, commands.tool_environment(layout)).split()
    return dict(zip(words[::2], words[1::2], strict=True))


def _jobs_by_state(layout: Layout) -> dict[str, int]:
    argv = ["squeue", "--noheader", "--array", "--format=%T"]
    return dict(Counter(commands.run(argv, commands.tool_environment(layout)).split()))


@contextlib.contextmanager
def _planned(folder: Path, plan: Callable[[Layout | None], Layout]) -> Iterator[Layout]:
    """Lock a folder and yield what its lab is to be; a new one is recorded.

    Raises:
        LabError: the machine or the folder is not fit for it, or there is another lab in it.
    """
    machine.require(folder)
    with _locked(folder):
        present = layouts.load(folder)
        wish = plan(present)
        if present is None:
            layouts.check(wish)
            if {path.name for path in folder.iterdir()} - {_LOCK}:
                raise LabError(f"{folder} holds other things and no lab; name a folder of its own with --folder")
            layouts.save(wish)
        elif present != wish:
            raise LabError(f"the lab in {folder} was made with other settings: `nomade lab down --purge` first")
        yield wish


def _start_daemons(layout: Layout) -> list[str]:
    """Start what does not run, in order; return its names."""
    started = []
    for service in services.all_services(layout):
        if services.start(layout, service):
            started.append(service.name)
        if service.name == "mariadbd":
            setup.create_database(layout)
        if service.name == "slurmdbd":
            users.register(layout)
    return started


def _await_nodes(layout: Layout) -> None:
    """Wait until every node has registered; one that an admin has drained counts as registered."""
    deadline = clock.monotonic() + NODES_SECONDS
    while silent := [name for name, state in node_states(layout).items() if "unk" in state or state.endswith("*")]:
        if clock.monotonic() > deadline:
            log = services.slurmd(layout, layout.node_names.index(silent[0])).log
            raise LabError(f"the nodes {', '.join(silent)} do not register; {services.quote(log)}")
        time.sleep(0.2)


def _reserve(layout: Layout) -> None:
    """Make the reservations: a maintenance of all nodes tomorrow, and one CPU kept for a course."""
    environment = commands.tool_environment(layout)
    present = commands.attempt(["scontrol", "--oneliner", "show", "reservation"], environment).stdout.decode()
    wanted = {
        "maintenance": ["StartTime=now+1days", "Duration=120", "Flags=MAINT,IGNORE_JOBS", "Nodes=ALL", "Users=root"],
        "course": [
            "StartTime=now",
            "Duration=30-00:00:00",
            "Flags=OVERLAP,IGNORE_JOBS",
            f"Nodes={layout.node_names[0]}",
            "CoreCnt=1",
            f"Users={users.USERS[0].name}",
        ],
    }
    for name, settings in wanted.items():
        if f"ReservationName={name} " not in present:
            commands.run(["scontrol", "create", "reservation", f"ReservationName={name}", *settings], environment)


def _cancel_all_jobs(layout: Layout) -> None:
    """Cancel every job while the controller still answers, and wait until none is left running."""
    environment = commands.tool_environment(layout)
    deadline = clock.monotonic() + CANCEL_SECONDS
    # A controller that does not answer is ended without it; what its jobs leave is found by other means.
    with contextlib.suppress(LabError):
        while services.slurmctld(layout).process(layout.folder) is not None and clock.monotonic() < deadline:
            squeue = ["squeue", "--noheader", "--format=%A"]
            jobs = sorted(set(commands.run(squeue, environment, seconds=CANCEL_SECONDS).split()))
            if not jobs:
                return
            commands.run(["scancel", *jobs], environment, seconds=CANCEL_SECONDS)
            time.sleep(0.5)


def _end_daemons(layout: Layout) -> None:
    """End the daemons, last started first, and then whatever their jobs have left.

    Raises:
        LabError: a process survives.
    """
    for service in reversed(services.all_services(layout)):

        def pids(argv: tuple[str, ...] = service.argv) -> list[int]:
            return [process.pid for process in processes.daemons_of(layout.folder) if process.argv == argv]

        processes.end(pids, STOP_SECONDS)

    def rest() -> set[int]:
        marked = {process.pid for process in processes.daemons_of(layout.folder)}
        return marked | processes.remains_of_jobs(layout)

    processes.end(rest, 2.0)
    if left := rest():
        raise LabError(f"these processes of the lab do not end: {sorted(left)}")


_LOCK = ".lock"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let only one `up` or `down` work on a lab at a time; the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

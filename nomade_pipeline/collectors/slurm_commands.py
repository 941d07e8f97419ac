"""Asking Slurm: whether it is here, whether this host is the one to ask it, and what its failures mean."""

from __future__ import annotations

import re
from typing import Optional, Sequence, Set, Tuple

from nomade_pipeline.collectors.base import CollectorError, Skipped
from nomade_pipeline.collectors.commands import failure, run_any, run_tool
from nomade_pipeline.probes import Completed, Probe

# Between fields and after records: bytes that no name can hold without meaning harm, and that Slurm prints as they are.
FIELD, RECORD = "\x1f", "\x1e"

# What the commands say when a daemon does not answer.
_SILENT = re.compile(
    r"unable to contact slurm controller|connection refused|connection timed out|unable to connect|"
    r"unexpected message received|zero bytes were transmitted|problem talking to the database|"
    r"failed to open persistent connection|slurm backup controller in standby|socket timed out|dbd_conn|"
    r"host is unreachable",
    re.IGNORECASE,
)
# What they say where they are installed and no cluster is: there is neither a slurm.conf nor who would send one.
_NO_CLUSTER = "could not establish a configuration source"
# Releases before 18.08 tell of all in one line: `Slurmctld(primary/backup) at head1/head2 are UP/UP`.
_CONTROLLERS = re.compile(r"Slurmctld\([^)]*\) at (\S+) (?:is|are) ")
_VERSION = re.compile(r"slurm[a-z-]*\s+(\d+)\.(\d+)")


def require_slurm(probe: Probe, tool: str, hosts: Sequence[str] = ()) -> None:
    """Make sure that this host is to ask Slurm.

    A cluster is asked once, not by each of its nodes: unless ``hosts`` names those that ask, a host that runs a
    slurmd and no slurmctld leaves it to others, unless the configuration names it as a controller: then its slurmctld
    is down, which is the news.

    Args:
        probe: the host.
        tool: a command that is needed.
        hosts: names of the hosts that ask, `[collectors.slurm] hosts`; empty: see above.

    Raises:
        Skipped: Slurm is not installed here, or others ask it.
    """
    if probe.which(tool) is None:
        raise Skipped("not_present", f"{tool} is not installed: there is no Slurm on this host")
    if hosts:
        own = _own_name(probe)
        if own not in map(_short, hosts):
            raise Skipped("not_present", f"the hosts that ask Slurm are {', '.join(hosts)}; this is {own}")
        return
    running = daemons(probe)
    if "slurmd" in running and "slurmctld" not in running and _own_name(probe) not in controllers(probe):
        raise Skipped(
            "not_present", "a compute node leaves this to the head node; `[collectors.slurm] hosts` names who asks"
        )


def controllers(probe: Probe) -> Set[str]:
    """Return the short names of the hosts of the controllers, as the configuration has them; they need not be up.

    None where that cannot be found out: a node that knows no controller leaves the asking to others.
    """
    try:
        told = run_any(probe, ("scontrol", "ping"), 10.0).stdout
    except CollectorError:
        return set()
    return {_short(name) for names in _CONTROLLERS.findall(told) for name in names.split("/")}


def _short(name: str) -> str:
    return name.split(".", maxsplit=1)[0].lower()


def _own_name(probe: Probe) -> str:
    return _short(probe.read("/proc/sys/kernel/hostname").strip())


def daemons(probe: Probe) -> Set[str]:
    """Return which of Slurm's daemons run on this host."""
    found: Set[str] = set()
    try:
        names = probe.listdir("/proc")
    except OSError:
        return found
    for name in names:
        if not name.isdigit():
            continue
        try:
            command = probe.read(f"/proc/{name}/comm").strip()
        except OSError:
            # It ended while we looked.
            continue
        if command in ("slurmctld", "slurmd", "slurmdbd"):
            found.add(command)
    return found


def run_slurm(probe: Probe, argv: Sequence[str], timeout: float) -> Completed:
    """Run a command of Slurm that must succeed; a daemon that does not answer is ``service_down``.

    Raises:
        CollectorError: it failed, or its output is cut off.
        Skipped: the commands are installed, but no cluster is configured.
        Interrupted: the agent is stopping.
    """
    completed = run_any(probe, argv, timeout)
    if completed.returncode != 0:
        raise _judged(completed)
    if completed.stdout and not completed.stdout.endswith("\n"):
        raise CollectorError("parse", f"{argv[0]}: the output is cut off: …{completed.stdout[-60:]!r}")
    return completed


def require_cluster(completed: Completed) -> None:
    """Make sure that a command that failed did so for another reason than that there is no cluster to ask.

    Raises:
        Skipped: Slurm's commands are installed, but no cluster is configured.
    """
    if _NO_CLUSTER in (completed.stderr + completed.stdout).lower():
        raise Skipped("not_present", f"{completed.argv[0]}: no cluster is configured here, there is no slurm.conf")


def _judged(completed: Completed) -> CollectorError:
    require_cluster(completed)
    said = completed.stderr + completed.stdout
    error = failure(completed)
    if _SILENT.search(said):
        return CollectorError("service_down", str(error))
    if "permission denied" in said.lower() or "access/permission" in said.lower():
        return CollectorError("permission", str(error))
    return error


def slurm_version(probe: Probe, tool: str = "sinfo") -> Optional[Tuple[int, int]]:
    """Return the release of the installed commands, such as (22, 5); None when it is not told.

    Raises:
        CollectorError: the command cannot be run.
    """
    match = _VERSION.search(run_tool(probe, (tool, "--version"), 10.0).stdout)
    return (int(match.group(1)), int(match.group(2))) if match else None

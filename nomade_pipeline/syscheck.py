"""What this system offers and lacks: the checks behind `nomade syscheck`, each with a hint.

Everything is asked through a probe, so that recorded systems can be checked too.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Mapping, Optional

from nomade_pipeline.collectors.base import Skipped
from nomade_pipeline.collectors.mounts import NETWORK_TYPES, mount_of, parse_mountinfo
from nomade_pipeline.collectors.slurm_commands import require_cluster
from nomade_pipeline.config.load import ConfigError, load_config
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import Probe, ProbeError

LEAST_PYTHON = (3, 11)
LEAST_SQLITE = (3, 35, 0)
DISTRIBUTION = "nomade-pipeline"

# Fine; a thing that may be missing; a failure.
OK, ABSENT, FAILURE = "ok", "absent", "failure"

# Command of Slurm and what it is needed for.
SLURM_TOOLS = {
    "sinfo": "partitions and their nodes",
    "squeue": "the queue, and why jobs wait",
    "sacct": "the history of jobs, all that is learnt from it",
    "sstat": "running jobs whose processes may not be read",
}
TOOL_SECONDS = 10.0


@dataclass(frozen=True)
class Check:
    """One line of the screen: its state, what was found, and what to do about it."""

    state: str
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Section:
    """A group of checks."""

    title: str
    checks: tuple[Check, ...]


def check_system(probe: Probe, config_path: Optional[Path], environment: Mapping[str, str]) -> list[Section]:
    """Return all checks of this system.

    Args:
        probe: the host.
        config_path: ``--config``, None to search.
        environment: variables, overrides of the configuration among them.
    """
    try:
        config: Optional[Config] = load_config(config_path, environment)
        problems: tuple[str, ...] = ()
    except ConfigError as error:
        config, problems = None, error.problems
    sections = [
        Section("Python", tuple(_python())),
        Section("SLURM", tuple(_slurm(probe))),
        Section("System Tools", tuple(_tools(probe))),
        Section("Kernel", tuple(_kernel(probe))),
        Section("Database", tuple(_database(probe, config))),
        Section("Config", tuple(_config(config, problems))),
    ]
    if config is not None:
        sections.append(Section("Data", tuple(_data(config.paths))))
    return sections


def failures(sections: list[Section]) -> list[Check]:
    """Return the checks that failed."""
    return [check for section in sections for check in section.checks if check.state == FAILURE]


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, LEAST_PYTHON))
    fits = sys.version_info[:2] >= LEAST_PYTHON
    yield Check(
        OK if fits else FAILURE,
        f"Version {version} (requires >={wanted})",
        "" if fits else f"install Python {wanted} or newer",
    )
    missing = missing_packages(DISTRIBUTION)
    if missing is None:
        yield Check(
            ABSENT, f"{DISTRIBUTION} is not installed as a package", "`pip install .` installs it with what it needs"
        )
    elif missing:
        yield Check(
            FAILURE, f"Missing packages: {', '.join(missing)}", "`pip install --upgrade nomade-pipeline` installs them"
        )
    else:
        yield Check(OK, "Required packages installed")


def missing_packages(distribution: str) -> Optional[list[str]]:
    """Return the required packages that are not installed or too old; None when the distribution is not installed.

    Only their metadata is read: importing them would take ten seconds.
    """
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        wanted = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    missing = []
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            missing.append(f"{requirement.name} {found} ({requirement.specifier} is required)")
    return missing


def _slurm(probe: Probe) -> Iterator[Check]:
    """Slurm may be absent; half a Slurm is a failure."""
    found = {tool: probe.which(tool) is not None for tool in SLURM_TOOLS}
    if not any(found.values()):
        yield Check(
            ABSENT,
            "Slurm not found (no queue and job monitoring)",
            "install the Slurm client commands on this host to monitor a cluster",
        )
        return
    for tool, present in found.items():
        yield (
            Check(OK, f"{tool} available ({SLURM_TOOLS[tool]})")
            if present
            else Check(
                FAILURE,
                f"{tool} not found ({SLURM_TOOLS[tool]})",
                "install the Slurm client commands or add them to PATH",
            )
        )
    settings = _slurm_settings(probe)
    if isinstance(settings, Check):
        yield settings
        return
    storage = settings.get("AccountingStorageType", "")
    yield (
        Check(OK, "slurmdbd enabled (job history outlives the scheduler)")
        if storage.endswith("slurmdbd")
        else Check(
            FAILURE,
            "slurmdbd not enabled",
            "set AccountingStorageType=accounting_storage/slurmdbd in slurm.conf: job history needs it",
        )
    )
    gather = settings.get("JobAcctGatherType", "")
    yield (
        Check(OK, "JobAcctGather configured (CPU and memory that jobs used)")
        if gather and not gather.endswith("none") and gather != "(null)"
        else Check(
            FAILURE,
            "JobAcctGather not configured",
            "set JobAcctGatherType=jobacct_gather/cgroup (or linux) in slurm.conf: usage of jobs needs it",
        )
    )


def _slurm_settings(probe: Probe) -> dict[str, str] | Check:
    """Return Slurm's configuration, or why it cannot be asked."""
    silent = Check(FAILURE, "slurmctld does not answer", "`scontrol ping` tells which controller is down")
    try:
        answer = probe.run(["scontrol", "show", "config"], TOOL_SECONDS)
        require_cluster(answer)
    except Skipped:
        return Check(
            ABSENT, "No cluster is configured", "install slurm.conf, or name it in SLURM_CONF, to monitor a cluster"
        )
    except ProbeError:
        return silent
    if answer.returncode != 0:
        return silent
    pairs = (line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


# Tool, what its absence means, and how to get it. The first three have a substitute in /proc.
_TOOLS = (
    ("iostat", "I/O is read from /proc/diskstats", "install the package sysstat"),
    ("mpstat", "CPUs are read from /proc/stat", "install the package sysstat"),
    ("vmstat", "memory is read from /proc/vmstat", "install the package procps"),
    ("nvidia-smi", "no GPU monitoring", "install NVIDIA's driver where there is a GPU"),
    ("nfsiostat", "no NFS monitoring through it", "install the package nfs-common or nfs-utils where NFS is mounted"),
)


def _tools(probe: Probe) -> Iterator[Check]:
    for tool, meaning, hint in _TOOLS:
        if probe.which(tool) is not None:
            yield Check(OK, f"{tool} available")
        else:
            yield Check(ABSENT, f"{tool} not found ({meaning})", hint)


def _kernel(probe: Probe) -> Iterator[Check]:
    if not _readable(probe, "/proc/self/io"):
        yield Check(FAILURE, "/proc/[pid]/io not readable", "the kernel needs CONFIG_TASK_IO_ACCOUNTING")
    elif not _readable(probe, "/proc/1/io"):
        yield Check(
            ABSENT,
            "/proc/[pid]/io accessible for your own processes only",
            "run as root to see the I/O of all users' jobs",
        )
    else:
        yield Check(OK, "/proc/[pid]/io accessible")
    if _readable(probe, "/proc/pressure/memory"):
        yield Check(OK, "Pressure stall information (PSI)")
    else:
        yield Check(
            ABSENT,
            "No pressure stall information (PSI)",
            "Linux 4.20 or newer; some distributions need the boot option psi=1",
        )


def _readable(probe: Probe, path: str) -> bool:
    try:
        probe.read(path)
    except OSError:
        return False
    return True


def _database(probe: Probe, config: Optional[Config]) -> Iterator[Check]:
    fits = sqlite3.sqlite_version_info >= LEAST_SQLITE
    wanted = ".".join(map(str, LEAST_SQLITE[:2]))
    yield Check(
        OK if fits else FAILURE,
        f"SQLite {sqlite3.sqlite_version} (requires >={wanted})",
        "" if fits else f"use a Python built with SQLite {wanted} or newer",
    )
    if config is None:
        return
    path = config.paths.database
    fstype = network_filesystem(probe, path)
    if fstype is not None:
        yield Check(
            FAILURE,
            f"{path} is on a network file system ({fstype})",
            "set [general] data_dir to a local disk: SQLite's locks do not hold there",
        )
    if not path.exists():
        yield Check(FAILURE, f"Database: {path} does not exist", "`nomade init` creates it")
        return
    yield from _schema(path)


def _schema(path: Path) -> Iterator[Check]:
    """Check that the database can be read and is of this version."""
    from nomade_pipeline.store.database import DatabaseError, head_version, version_of

    try:
        version = version_of(path)
    except (DatabaseError, sqlite3.Error) as error:
        yield Check(
            FAILURE,
            f"Database: {path} cannot be read: {error}",
            "move it away; `nomade init`, then `nomade ingest --everything` build it anew from spool and lake",
        )
        return
    yield Check(OK, f"Database: {path}")
    head = head_version()
    if version == head:
        yield Check(OK, f"Schema version: {version}")
    elif version is not None and version > head:
        yield Check(
            FAILURE,
            f"Schema version: {version}, this release knows {head}",
            "install the release that wrote it, or a newer one",
        )
    else:
        yield Check(
            FAILURE, f"Schema version: {version or 'none'}, not {head}", "`nomade migrate` brings it up to date"
        )


def network_filesystem(probe: Probe, path: Path) -> Optional[str]:
    """Return the type of the network file system that holds a path; None for a local one, or when it is not known."""
    try:
        mounts = parse_mountinfo(probe.read("/proc/self/mountinfo"))
    except OSError:
        return None
    mount = mount_of(str(path.absolute().resolve()), mounts)
    if mount is None:
        return None
    remote = mount.fstype in NETWORK_TYPES or re.match(r"fuse\.(sshfs|glusterfs|s3|rclone)", mount.fstype)
    return mount.fstype if remote else None


def _config(config: Optional[Config], problems: tuple[str, ...]) -> Iterator[Check]:
    for problem in problems:
        yield Check(FAILURE, f"Config: {problem}", "correct it; `nomade config check` looks again")
    if config is None:
        return
    if config.source is None:
        yield Check(ABSENT, "Config: no file, defaults and environment only", "`nomade init` writes one")
    else:
        yield Check(OK, f"Config: {config.source}")


def _data(paths: DataPaths) -> Iterator[Check]:
    """Check that the agent could write; the answer is the operating system's, by writing."""
    import tempfile

    folder = paths.spool
    if not folder.exists():
        yield Check(FAILURE, f"Spool: {folder} does not exist", "`nomade init` creates it")
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        yield Check(
            FAILURE,
            f"Spool: {folder} cannot be written: {error.strerror}",
            "check the owner of the data folder, and whether its disk is full",
        )
    else:
        yield Check(OK, f"Spool writable: {folder}")

"""What a machine must offer for a lab, and what Debian calls it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from nomade_pipeline.lab.commands import PATH
from nomade_pipeline.lab.errors import LabError
from nomade_pipeline.lab.processes import CGROUPS

# Program: the Debian package that has it.
PROGRAMS = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "squeue": "slurm-client",
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "useradd": "passwd",
    "perl": "perl-base",
}
PACKAGES = (*dict.fromkeys(PROGRAMS.values()), "slurm-wlm-basic-plugins")
_HIERARCHIES = ("memory", "cpuacct", "freezer")


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are not there."""
    return sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=PATH) is None})


def require_root() -> None:
    """Make sure that root is at work.

    Raises:
        LabError: somebody else is.
    """
    if os.geteuid() != 0:
        raise LabError("the lab runs daemons under several users and mounts file systems: run it as root")


def require(folder: Path) -> None:
    """Make sure that a lab can run on this machine, in this folder.

    Raises:
        LabError: it cannot; the message says what to do.
    """
    require_root()
    if not Path("/etc/debian_version").exists():
        raise LabError(
            "the lab knows the paths and packages of Debian only; run it on Debian, in a container for example"
        )
    missing = missing_packages()
    if missing:
        names = " ".join([*missing, *(["slurm-wlm-basic-plugins"] if "slurmctld" in missing else [])])
        raise LabError(f"packages are missing: apt-get install --no-install-recommends {names}")
    for parent in folder.parents:
        if parent.exists() and not parent.stat().st_mode & 0o001:
            raise LabError(f"{parent} is closed to the users of the jobs: chmod o+x {parent}, or use --folder")


def has_cgroups() -> bool:
    """Whether Slurm can use cgroups here: version 1, with the hierarchies that it asks for."""
    return all((CGROUPS / name / "release_agent").exists() for name in _HIERARCHIES)

"""Real components that some tests need: what they are, how one sees them, and whether CI may lack them.

A test says ``@pytest.mark.needs("sysstat")``. Where the component is missing the test is skipped with the
reason on a laptop and fails in CI (``CI=true``), so that a proof never vanishes silently.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"


@dataclass(frozen=True)
class Component:
    """A component: how to see it, how to get it, and whether CI may be without it."""

    present: Callable[[], bool]
    remedy: str
    may_miss_in_ci: bool = False


def commands(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name) for name in names)


def any_of(*names: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(name) for name in names)


def python39() -> str | None:
    """Return a Python 3.9 interpreter: from the path, or one that pyenv has installed."""
    installed = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9"))
    return shutil.which("python3.9") or (str(installed[-1]) if installed else None)


def writable_cgroups() -> bool:
    return os.access("/sys/fs/cgroup/cgroup.procs", os.W_OK)


def can_run_the_lab() -> bool:
    programs = commands("slurmctld", "slurmdbd", "slurmd", "squeue", "munged", "mariadbd", "mkfs.ext4")
    return os.geteuid() == 0 and programs()


COMPONENTS = {
    "sysstat": Component(commands("iostat", "mpstat", "sadf"), "apt-get install sysstat"),
    "procps": Component(commands("vmstat"), "apt-get install procps"),
    "slurm": Component(can_run_the_lab, "as root; `nomade lab up` names the packages, see docs/lab.md"),
    "chromium": Component(any_of("chromium", "chromium-browser", "google-chrome"), "playwright install chromium"),
    "root": Component(lambda: os.geteuid() == 0, "run as root", may_miss_in_ci=True),
    "gpu": Component(commands("nvidia-smi"), "an NVIDIA GPU and its driver", may_miss_in_ci=True),
    "nfs": Component(commands("mount.nfs"), "apt-get install nfs-common", may_miss_in_ci=True),
    "hwmon": Component(lambda: any(Path("/sys/class/hwmon").glob("*")), "a host with sensors", may_miss_in_ci=True),
    "cgroups": Component(writable_cgroups, "a delegated cgroup", may_miss_in_ci=True),
    "python3.9": Component(lambda: python39() is not None, "pyenv install 3.9", may_miss_in_ci=True),
    "shared": Component(SHARED.is_dir, f"the recorded outputs at {SHARED}", may_miss_in_ci=True),
}


def require(name: str) -> None:
    """Skip the running test when a component is missing; fail it where the component must be there."""
    component = COMPONENTS[name]
    if component.present():
        return
    reason = f"{name} is missing: {component.remedy}"
    if os.environ.get("CI") == "true" and not component.may_miss_in_ci:
        pytest.fail(reason)
    pytest.skip(reason)

"""A lab for the whole session of tests: a real Slurm, brought up at the first use and taken down at the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest
from support.needs import require

LAB_SECONDS = 240


def nomade_lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `nomade lab …` as a process of its own."""
    argv = [sys.executable, "-m", "nomade_pipeline.cli.main", "lab", *arguments]
    return subprocess.run(argv, capture_output=True, check=False, text=True, timeout=LAB_SECONDS)


def must(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a process printed; it must have succeeded."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Lab:
    """A running lab.

    Attributes:
        folder: everything of it.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a program speaks to this lab: those of the tests, and SLURM_CONF."""
        return {**os.environ, "LC_ALL": "C", "TZ": "UTC", "SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}

    def run(self, argv: Sequence[str | bytes]) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the lab, as root; names in its output may be no UTF-8."""
        return subprocess.run(argv, env=self.environment, capture_output=True, check=False, timeout=60)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the profile `small` submitted; it is run at the first use, until all that ends has ended."""
        done = nomade_lab("run", "--folder", str(self.folder), "--profile", "small", "--seed", "1", "--wait")
        return json.loads(Path(must(done).splitlines()[-1]).read_text("utf-8"))

    def up(self, *options: str) -> str:
        """Bring up whatever is missing; return what `nomade lab up` prints."""
        return must(nomade_lab("up", "--folder", str(self.folder), *options))

    def status(self) -> dict[str, Any]:
        """Return what `nomade lab status --json` says."""
        return json.loads(nomade_lab("status", "--folder", str(self.folder), "--json").stdout)

    def pids(self) -> dict[str, int | None]:
        """Return the pids of its daemons by name."""
        return {service["name"]: service["pid"] for service in self.status()["services"]}


def new_lab_folder() -> Path:
    """Return a folder that the users of the jobs can reach, which pytest's own are not."""
    return Path(tempfile.mkdtemp(prefix="nomade-lab-"))


@contextmanager
def running_lab() -> Iterator[Lab]:
    """Bring a lab up, and take it down at the end."""
    require("slurm")
    made = Lab(new_lab_folder())
    try:
        made.up()
        yield made
    finally:
        done = nomade_lab("down", "--folder", str(made.folder), "--purge")
        shutil.rmtree(made.folder, ignore_errors=True)
        must(done)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Return the lab of this session."""
    with running_lab() as made:
        yield made

"""A data folder beside a lab, and the command line on it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.lab import Lab


@dataclass
class Site:
    """A lab with a data folder that has watched it.

    Attributes:
        lab: the cluster.
        folder: the data folder.
    """

    lab: Lab
    folder: Path

    def __post_init__(self) -> None:
        """Give it a configuration of its own: root's `init` would write one to /etc/nomade, for all to read."""
        (self.folder / "nomade.toml").write_text("[general]\n")

    def argv(self, *arguments: str) -> list[str]:
        program = [sys.executable, "-m", "nomade_pipeline.cli.main"]
        return [*program, "--config", str(self.folder / "nomade.toml"), "--data-dir", str(self.folder), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {**self.lab.environment, "HOME": str(self.folder), "NOMADE_GENERAL__CLUSTER_NAME": "lab"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `nomade`, whatever its exit status."""
        return subprocess.run(
            self.argv(*arguments), env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def nomade(self, *arguments: str) -> str:
        """Run `nomade`, which must succeed; return what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Return what a reading command prints as JSON."""
        return json.loads(self.nomade(*arguments, "--json"))

    def slurm(self, *argv: str) -> bytes:
        """Run a command of Slurm, which must succeed."""
        done = self.lab.run(argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def slurm_json(self, *argv: str) -> Any:
        """Return what a command of Slurm prints as JSON; names in it may be no UTF-8."""
        return json.loads(self.slurm(*argv).decode("utf-8", "replace"))

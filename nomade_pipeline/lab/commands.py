"""Running programs for a lab: in its environment and nothing of the caller's, with errors that say what failed."""

from __future__ import annotations

import pwd
import shlex
import subprocess
from pathlib import Path
from typing import Any, Mapping, Sequence

from nomade_pipeline.lab.errors import LabError
from nomade_pipeline.lab.layout import Layout
from nomade_pipeline.lab.processes import MARK

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# Slurm's own tools give up on a controller that does not answer after 10 to 20 s.
COMMAND_SECONDS = 60.0


def daemon_environment(layout: Layout) -> dict[str, str]:
    """Return the environment of a lab's daemons; the mark makes them findable."""
    return {"PATH": PATH, "LC_ALL": "C", MARK: str(layout.folder), **layout.environment()}


def tool_environment(layout: Layout) -> dict[str, str]:
    """Return the environment in which tools answer for a lab, in UTC and without anybody's own formats."""
    return {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", **layout.environment()}


def identity(user: str | None) -> dict[str, Any]:
    """Return what `subprocess` needs to run a program as a user, with no other group than the user's own."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def attempt(
    argv: Sequence[str | bytes | Path],
    environment: Mapping[str, str],
    *,
    user: str | None = None,
    seconds: float = COMMAND_SECONDS,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, as another user if asked, and return how it ended.

    Raises:
        LabError: it is not installed or does not end in time.
    """
    try:
        return subprocess.run(
            list(argv),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
            cwd="/",
            **identity(user),
        )
    except FileNotFoundError as error:
        raise LabError(f"{error.filename} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{shown(argv)}` has not ended after {seconds:g} s") from error


def run(
    argv: Sequence[str | bytes | Path],
    environment: Mapping[str, str],
    *,
    user: str | None = None,
    seconds: float = COMMAND_SECONDS,
) -> str:
    """Run a program that must succeed and return its standard output.

    Raises:
        LabError: it fails; the message holds what it said.
    """
    done = attempt(argv, environment, user=user, seconds=seconds)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        raise LabError(f"`{shown(argv)}` failed with status {done.returncode}: {said[-1000:]}")
    return done.stdout.decode("utf-8", "surrogateescape")


def shown(argv: Sequence[str | bytes | Path]) -> str:
    """Return a command line for a message."""
    words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in argv]
    return shlex.join(words)[:300]

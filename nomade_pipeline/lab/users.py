"""The people of a lab: system users who cannot log in, and their place in Slurm's accounting."""

from __future__ import annotations

import contextlib
import pwd
from dataclasses import dataclass
from typing import Mapping

from nomade_pipeline.lab import commands
from nomade_pipeline.lab.layout import Layout


@dataclass(frozen=True)
class Account:
    """An account of Slurm: its share of the cluster."""

    name: str
    shares: int


@dataclass(frozen=True)
class User:
    """A person: a system user with one account."""

    name: str
    account: str


ACCOUNTS = (Account("physics", 50), Account("chemistry", 30), Account("biology", 20))
USERS = (
    User("nomade-alice", "physics"),
    User("nomade-bob", "physics"),
    User("nomade-carol", "chemistry"),
    User("nomade-dave", "biology"),
)
# QOS by name with their settings; `single` lets a user run one job at a time.
QOS = {"urgent": ("Priority=1000",), "single": ("MaxJobsPerUser=1",)}
_ALL_QOS = ",".join(["normal", *QOS])


def create_system_users() -> None:
    """Create those users of the lab that this machine has not."""
    for user in USERS:
        if not exists(user.name):
            nobody = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
            argv = ["useradd", "--system", "--user-group", *nobody, "--comment", "nomade lab", user.name]
            commands.run(argv, {"PATH": commands.PATH})


def remove_system_users() -> None:
    """Remove the users of the lab from this machine."""
    for user in USERS:
        if exists(user.name):
            commands.run(["userdel", user.name], {"PATH": commands.PATH})


def exists(name: str) -> bool:
    """Whether this machine has a user."""
    with contextlib.suppress(KeyError):
        pwd.getpwnam(name)
        return True
    return False


def register(layout: Layout) -> None:
    """Make the cluster, its accounts, QOS and users known to slurmdbd; slurmctld needs them at its start.

    Raises:
        LabError: slurmdbd refuses.
    """
    cluster = f"cluster={layout.cluster}"
    shares = {account.name: [cluster, f"fairshare={account.shares}", f"qos={_ALL_QOS}"] for account in ACCOUNTS}
    people = {user.name: [cluster, f"account={user.account}", "fairshare=10"] for user in USERS}
    _add_missing(layout, "cluster", "cluster", {layout.cluster: []})
    _add_missing(layout, "qos", "name", {name: list(settings) for name, settings in QOS.items()})
    _add_missing(layout, "account", "account", shares)
    _add_missing(layout, "user", "user", people)


def _add_missing(layout: Layout, kind: str, column: str, wanted: Mapping[str, list[str]]) -> None:
    """Add those entities of a kind that the accounting has not; ``wanted`` are their settings by name."""
    environment = commands.tool_environment(layout)
    present = commands.run(["sacctmgr", "-n", "-P", "show", kind, f"format={column}"], environment).split()
    for name, settings in wanted.items():
        if name not in present:
            commands.run(["sacctmgr", "-i", "add", kind, name, *settings], environment)

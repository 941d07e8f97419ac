"""The file systems of a lab: each an image of its own, mounted through a loop device."""

from __future__ import annotations

import os
from pathlib import Path

from nomade_pipeline.lab import commands
from nomade_pipeline.lab.layout import Layout
from nomade_pipeline.lab.users import USERS

# Sparse: it takes what the jobs write.
IMAGE_BYTES = 1024**3


def mount_all(layout: Layout) -> None:
    """Mount the scratch and the network-like file system, each with a folder for every user.

    Where the kernel offers no loop devices both stay plain folders.
    """
    for folder in (layout.scratch, layout.network):
        folder.mkdir(exist_ok=True)
        if Path("/dev/loop-control").exists() and not os.path.ismount(folder):
            _mount(folder)
        for user in USERS:
            own = folder / user.name
            own.mkdir(exist_ok=True)
            os.chown(own, *_ids(user.name))


def unmount_all(layout: Layout) -> None:
    """Unmount what `mount_all` mounted; the kernel gives the loop devices back with it."""
    for folder in (layout.scratch, layout.network):
        if os.path.ismount(folder):
            commands.run(["umount", folder], {"PATH": commands.PATH})


def _mount(folder: Path) -> None:
    image = folder.with_suffix(".img")
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        commands.run(["mkfs.ext4", "-q", "-m", "0", image], {"PATH": commands.PATH})
    commands.run(["mount", "-o", "loop,nosuid,nodev", image, folder], {"PATH": commands.PATH})


def _ids(user: str) -> tuple[int, int]:
    import pwd

    account = pwd.getpwnam(user)
    return account.pw_uid, account.pw_gid

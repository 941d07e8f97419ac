"""One agent for one host and spool: a lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Optional


class AlreadyRunningError(Exception):
    """Another agent of this host writes this spool."""


class AgentLock:
    """An exclusive lock on a file that holds the process id of its owner.

    Args:
        path: the lock file; its folder is made when missing. It stays behind after the release.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: Optional[int] = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            AlreadyRunningError: another process holds it; the message names that process.
            OSError: the file cannot be made or locked.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunningError(
                f"another agent (process {owner}) already writes {self.path.parent} for this host; "
                f"stop it first, or give this one another [general] data_dir or host"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._sign(descriptor)

    @staticmethod
    def _sign(descriptor: int) -> None:
        """Write our process id; on a full disk the lock holds without it."""
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} on {os.uname().nodename}\n".encode("ascii", "replace"), 0)
        except OSError:
            return

    def release(self) -> None:
        """Give the lock back; safe to repeat."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

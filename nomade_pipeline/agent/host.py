"""The host as the resident agent asks it: sleeping until a tool ends, and stopping all tools at once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Set

from nomade_pipeline.probes import REAP_SECONDS, Interrupted, LiveProbe, TimedOut


@dataclass
class HostProbe(LiveProbe):
    """A live probe that does not poll.

    Three tools that run all the time would wake a polling agent three times a second, which costs
    more than the sampling itself. Here `stop` ends them instead.
    """

    _running: Set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """End every wait and every running command, each with its process group."""
        self.stopping.set()
        with self._lock:
            for process in self._running:
                _kill_group(process)

    def _finish(self, process: subprocess.Popen[bytes], tool: str, timeout: float) -> tuple[bytes, bytes]:
        """Wait for a process to end, to be late, or to be stopped with the agent."""
        with self._lock:
            self._running.add(process)
            if self.stopping.is_set():
                _kill_group(process)
        try:
            output = process.communicate(timeout=max(0.0, timeout))
        except subprocess.TimeoutExpired:
            _kill_group(process)
            _reap(process)
            raise TimedOut(f"{tool} did not answer within {timeout:g} s") from None
        finally:
            with self._lock:
                self._running.discard(process)
        if self.stopping.is_set():
            raise Interrupted(f"{tool} was stopped with the agent")
        return output


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started; one that was reaped already has a number that may be another's."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Collect a killed process, unless it sleeps in the kernel (a dead NFS server): then leave it behind."""
    try:
        process.communicate(timeout=REAP_SECONDS)
    except subprocess.TimeoutExpired:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

"""Waiting for time, signals or other threads in one place.

A signal handler may interrupt any line, also one that holds a lock. Writing a byte to a pipe needs
no lock, so that is all that the handlers do.
"""

from __future__ import annotations

import os
import select
import signal
from types import FrameType
from typing import Any, Dict, Optional

STOP, RELOAD = b"s", b"r"
_SIGNALS = {signal.SIGTERM: STOP, signal.SIGINT: STOP, signal.SIGHUP: RELOAD}


class Wakeups:
    """A pipe that ends a wait."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: Dict[signal.Signals, Any] = {}

    def stop(self) -> None:
        """Ask the waiting loop to end; callable from any thread and from a signal handler."""
        self._wake(STOP)

    def reload(self) -> None:
        """Ask the waiting loop to read the configuration again."""
        self._wake(RELOAD)

    def _wake(self, request: bytes) -> None:
        try:
            os.write(self._writer, request)
        except BlockingIOError:
            # The pipe is full of requests already, so the loop wakes anyway.
            return

    def wait(self, seconds: float) -> bytes:
        """Wait at most so long; return the requests that came, as letters."""
        select.select([self._reader], [], [], seconds)
        try:
            return os.read(self._reader, 4096)
        except BlockingIOError:
            return b""

    def catch_signals(self) -> None:
        """Let SIGTERM and SIGINT stop and SIGHUP reload; only in the main thread."""
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: Optional[FrameType]) -> None:
        self._wake(_SIGNALS[signal.Signals(number)])

    def close(self) -> None:
        """Give the signals back and close the pipe."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        os.close(self._reader)
        os.close(self._writer)

"""A hard end for work that waits for others.

The timeout of a socket holds for each read: a server that drips a byte a second, or a resolver that is silent, outlasts
it. So the work is done by a thread of its own, and who waits for it goes on when the time is over.
"""

from __future__ import annotations

import queue
import socket
import threading
from typing import Callable, List, Tuple, TypeVar, Union

from nomade_pipeline.transport.failure import DeliveryError

Result = TypeVar("Result")


class Lifeline:
    """The connections that some work uses, so that it can be cut off from outside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: List[socket.socket] = []
        self._over = False

    def hold(self, connected: socket.socket) -> None:
        """Take note of a connection, before TLS is laid over it: a duplicate reaches it through all layers."""
        with self._lock:
            self._held.append(connected.dup())
            if self._over:
                self._shut()

    def cut(self) -> None:
        """Shut all connections down, which ends whatever waits for them."""
        with self._lock:
            self._over = True
            self._shut()

    def _shut(self) -> None:
        for held in self._held:
            try:
                held.shutdown(socket.SHUT_RDWR)
            except OSError:
                # The other side was quicker.
                continue

    def release(self) -> None:
        """Forget the connections: the work has ended."""
        with self._lock:
            for held in self._held:
                held.close()
            self._held.clear()


def within(seconds: float, what: str, work: Callable[[Lifeline], Result]) -> Result:
    """Do some work and return its result, or give up waiting for it.

    Args:
        seconds: how long to wait.
        what: who is waited for, for the error.
        work: is given the lifeline on which it hangs its connections.

    Raises:
        DeliveryError: the time is over; the work's thread ends as soon as its connection tells it.
        Exception: whatever the work raised.
    """
    lifeline = Lifeline()
    ended: queue.Queue[Tuple[bool, Union[Result, BaseException]]] = queue.Queue(1)

    def run() -> None:
        try:
            ended.put((True, work(lifeline)))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            ended.put((False, error))
        finally:
            lifeline.release()

    threading.Thread(target=run, name=f"delivery to {what}", daemon=True).start()
    try:
        fine, result = ended.get(timeout=max(0.0, seconds))
    except queue.Empty:
        lifeline.cut()
        raise DeliveryError(f"{what} did not finish within {seconds:.3g} s") from None
    if isinstance(result, BaseException) and not fine:
        raise result
    return result  # type: ignore[return-value]

"""Trying what waits in the outbox, within a time budget; nothing is ever given up silently.

A message that fails is tried again with growing pauses. After a quarter of an hour, or at once where the target
refuses it for good, the other targets are told of it with all that it says; after a day it is given up.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Iterable, Mapping, Protocol, Sequence

from nomade_pipeline import clock
from nomade_pipeline.alerts.delivery.sender import Sender
from nomade_pipeline.alerts.notice import Message, Notice
from nomade_pipeline.alerts.policy import DAY, HOUR, MINUTE
from nomade_pipeline.transport.failure import DeliveryError
from nomade_pipeline.transport.words import one_line

FIRST_PAUSE, LONGEST_PAUSE = 30.0, HOUR
TELL_OTHERS_AFTER, GIVE_UP_AFTER = 15 * MINUTE, DAY
# With less time than this left no delivery is begun.
LEAST_SECONDS = 0.5
# The rule in whose name the others are told.
DELIVERY_RULE = "delivery"


class Outbox(Protocol):
    """Where messages wait; used by one thread."""

    def due(self, now: datetime) -> Sequence[Message]:
        """Return the messages to be tried, oldest first; no dry runs."""

    def add(self, messages: Sequence[Message]) -> None:
        """Store messages; one whose identifier is known is left as it is."""

    def delivered(self, message_id: str, now: datetime) -> None:
        """Note that a target has taken a message."""

    def failed(self, message_id: str, now: datetime, problem: str, next_time: datetime) -> None:
        """Note an attempt that failed, and when the next one is due."""

    def given_up(self, message_id: str, now: datetime, problem: str) -> None:
        """Note that a message will not be tried again."""


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended.

    Attributes:
        message: what was tried.
        seconds: how long it took.
        problem: why it failed; None when the target has the message.
        next_time: when it is tried again; None: never.
    """

    message: Message
    seconds: float
    problem: str | None = None
    next_time: datetime | None = None


def deliver(outbox: Outbox, targets: Mapping[str, Sender], now: datetime, seconds: float) -> list[Outcome]:
    """Try the messages that are due and note how it went; all targets at the same time.

    Args:
        outbox: where messages wait.
        targets: senders by name.
        now: which messages are due.
        seconds: how long this may take; what is not tried by then stays due.
    """
    waiting: dict[str, list[Message]] = {}
    for message in outbox.due(now):
        if not message.dry_run:
            waiting.setdefault(message.target, []).append(message)
    ended: queue.Queue[_Attempt | None] = queue.Queue()
    deadline = clock.monotonic() + seconds
    for name, messages in waiting.items():
        arguments = (targets.get(name), messages, deadline, ended)
        threading.Thread(target=_try_in_turn, args=arguments, name=f"target {name}", daemon=True).start()
    outcomes = []
    working = len(waiting)
    while working:
        attempt = ended.get()
        if attempt is None:
            working -= 1
        else:
            outcomes.append(_note(attempt, outbox, targets))
    return outcomes


@dataclass(frozen=True)
class _Attempt:
    message: Message
    seconds: float
    error: DeliveryError | None = None


def _try_in_turn(
    sender: Sender | None, messages: Iterable[Message], deadline: float, ended: queue.Queue[_Attempt | None]
) -> None:
    """Send the messages of one target until one fails in a way that the next would too, or the time is over."""
    try:
        for message in messages:
            began = clock.monotonic()
            left = deadline - began
            if left < LEAST_SECONDS:
                return
            error = _send(sender, message, left)
            ended.put(_Attempt(message, clock.monotonic() - began, error))
            if error is not None and error.retryable:
                return
    finally:
        ended.put(None)


def _send(sender: Sender | None, message: Message, seconds: float) -> DeliveryError | None:
    """Send one message; return why it did not arrive."""
    if sender is None:
        return DeliveryError(f"there is no target {one_line(message.target)} any more", retryable=False)
    try:
        sender.send(message, seconds)
    except DeliveryError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a message that cannot be worded must not stop the others; it is told
        return DeliveryError(f"the message cannot be put together: {one_line(repr(error))}", retryable=False)
    return None


def _note(attempt: _Attempt, outbox: Outbox, targets: Mapping[str, Sender]) -> Outcome:
    """Write down how an attempt ended, and tell the other targets where it is time to."""
    message, error, now = attempt.message, attempt.error, clock.now()
    if error is None:
        outbox.delivered(message.message_id, now)
        return Outcome(message, attempt.seconds)
    problem, age = str(error), (now - message.created_time).total_seconds()
    if not error.retryable or age >= TELL_OTHERS_AFTER:
        # Before the rest is noted: a crash in between repeats this, and the identifiers are the same then.
        outbox.add(for_others(message, targets, problem, now))
    if not error.retryable or age >= GIVE_UP_AFTER:
        outbox.given_up(message.message_id, now, problem)
        return Outcome(message, attempt.seconds, problem)
    next_time = now + timedelta(seconds=pause(message, error.retry_after))
    outbox.failed(message.message_id, now, problem, next_time)
    return Outcome(message, attempt.seconds, problem, next_time)


def pause(message: Message, retry_after: float | None = None) -> float:
    """Return the seconds until a message that failed is tried again.

    They double from 30 s to an hour, less up to a half that differs from message to message, so that many do not
    come back at the same moment. What a target asks for is kept up to an hour.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(message.attempts, 20))
    share = zlib.crc32(f"{message.message_id} {message.attempts}".encode()) / 2**32
    return max(longest * (1.0 - share / 2), min(retry_after or 0.0, LONGEST_PAUSE))


def for_others(message: Message, targets: Iterable[str], problem: str, now: datetime) -> list[Message]:
    """Return what the other targets are told of a message that does not arrive; nothing of one that tells of such."""
    if any(notice.rule == DELIVERY_RULE for notice in message.notices):
        return []
    count = len(message.notices)
    alerts = f"{count} alert{'' if count == 1 else 's'}"
    notice = Notice(
        kind="firing",
        episode=0,
        rule=DELIVERY_RULE,
        cluster=message.notices[0].cluster,
        subject=message.target,
        host="",
        severity=message.severity,
        since=message.created_time,
        time=now,
        summary=f"{alerts} could not be delivered to {message.target}: {problem}",
    )
    return [
        Message(_derived_id(message, other), other, now, (notice, *message.notices))
        for other in targets
        if other != message.target
    ]


def _derived_id(message: Message, other: str) -> str:
    """Return the same identifier whenever the same target is told of the same message."""
    return hashlib.sha256(f"{message.message_id}\0{other}".encode()).hexdigest()[:32]

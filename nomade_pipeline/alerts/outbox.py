"""The outbox as messages: what `deliver` takes from and writes to."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import Iterator, Sequence

from nomade_pipeline import clock
from nomade_pipeline.alerts.notice import Message
from nomade_pipeline.alerts.records import message_of, message_row
from nomade_pipeline.store.alerts import OutboxStore


class Outbox:
    """Messages that one deliverer has taken; used by one thread."""

    def __init__(self, store: OutboxStore) -> None:
        self._store = store
        self._taken: set[str] = set()

    def due(self, now: datetime) -> list[Message]:
        """Take the messages that are due, the oldest first; no other deliverer is given them meanwhile."""
        messages = [message_of(row) for row in self._store.take_due(now)]
        self._taken.update(message.message_id for message in messages)
        return messages

    def add(self, messages: Sequence[Message]) -> None:
        """Store messages; one whose identifier is known is left as it is."""
        self._store.add([message_row(message) for message in messages])

    def delivered(self, message_id: str, now: datetime) -> None:
        """Note that a target has taken a message."""
        self._store.delivered(message_id, now)
        self._taken.discard(message_id)

    def failed(self, message_id: str, now: datetime, problem: str, next_time: datetime) -> None:
        """Note an attempt that failed, and when the next one is due."""
        del now
        self._store.failed(message_id, problem, next_time)
        self._taken.discard(message_id)

    def given_up(self, message_id: str, now: datetime, problem: str) -> None:
        """Note that a message will not be tried again."""
        self._store.given_up(message_id, now, problem)
        self._taken.discard(message_id)

    def give_back(self) -> None:
        """Make due again what was taken and not tried."""
        self._store.give_back(sorted(self._taken), clock.now())
        self._taken.clear()


@contextmanager
def opened(store: OutboxStore) -> Iterator[Outbox]:
    """Yield the outbox for one round of deliveries; what the round leaves untried is due again afterwards."""
    outbox = Outbox(store)
    try:
        yield outbox
    finally:
        outbox.give_back()

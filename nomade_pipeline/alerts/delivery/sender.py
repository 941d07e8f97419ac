"""What all senders have in common."""

from __future__ import annotations

from typing import Protocol

from nomade_pipeline.alerts.notice import Message


class Sender(Protocol):
    """A target that messages can be sent to; immutable, and used by several threads."""

    @property
    def name(self) -> str:
        """The target's name, by which routes and the outbox know it."""

    @property
    def kind(self) -> str:
        """One of `targets.KINDS`."""

    def send(self, message: Message, seconds: float) -> None:
        """Deliver a message.

        Args:
            message: what to tell.
            seconds: how long it may take.

        Raises:
            DeliveryError: the target did not take it.
        """

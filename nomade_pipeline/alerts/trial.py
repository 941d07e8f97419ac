"""A test of the targets: a marked message to each, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from nomade_pipeline import clock
from nomade_pipeline.alerts.delivery.sender import Sender
from nomade_pipeline.alerts.notice import Message, Notice
from nomade_pipeline.alerts.routes import message_id
from nomade_pipeline.config.settings import Config
from nomade_pipeline.transport.failure import DeliveryError

# How long one target may take.
SECONDS = 30.0


@dataclass(frozen=True)
class Trial:
    """What became of a test.

    Attributes:
        target, kind: of the target.
        seconds: how long it took.
        problem: why the message did not arrive; None when it did.
    """

    target: str
    kind: str
    seconds: float
    problem: str | None


def try_out(target: Sender, config: Config, now: datetime) -> Trial:
    """Send a test through a target."""
    began = clock.monotonic()
    problem = None
    try:
        target.send(test_message(target.name, config, now), SECONDS)
    except DeliveryError as error:
        problem = str(error)
    return Trial(target.name, target.kind, clock.monotonic() - began, problem)


def test_message(target: str, config: Config, now: datetime) -> Message:
    """Return a message that says that it is a test."""
    notice = Notice(
        kind="firing",
        episode=0,
        rule="test",
        cluster=config.general.cluster_name,
        subject="",
        host="",
        severity="info",
        since=now,
        time=now,
        summary=f"a test from {config.general.host}; nothing is wrong, and alerts reach this target",
    )
    return Message(message_id(target, (notice,)), target, now, (notice,))

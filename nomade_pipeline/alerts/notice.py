"""What is to be told of alerts, and the message that tells it to one target: between the engine and the delivery."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Mapping

from nomade_pipeline import clock
from nomade_pipeline.alerts.policy import SEVERITIES

# firing: begins. worse: its severity rose. repeated: the cooldown is over and nobody has acknowledged it.
# escalated: nobody has for so long that others are told. flapping: further episodes will not be told for a while.
KINDS = ("firing", "worse", "repeated", "escalated", "flapping", "resolved")


@dataclass(frozen=True)
class Notice:
    """One thing to tell of one alert.

    Attributes:
        kind: one of `KINDS`.
        episode: number of the alert's episode: from firing to resolved.
        rule, cluster, subject, host: see `verdict.Verdict`.
        severity: of the alert when it is told; of a resolved one, the worst it had.
        since: when its condition began to hold.
        time: when the notice was decided.
        value, summary, details: as of the newest verdict.
        reason: why a resolved alert is over, with the rule's word for it ("clean-up in progress") where it has one.
    """

    kind: str
    episode: int
    rule: str
    cluster: str
    subject: str
    host: str
    severity: str
    since: datetime
    time: datetime
    value: float | None = None
    summary: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, times as ISO 8601 text."""
        return {**asdict(self), "since": clock.to_text(self.since), "time": clock.to_text(self.time)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Notice:
        """Undo `to_json`."""
        times = {"since": clock.from_text(values["since"]), "time": clock.from_text(values["time"])}
        return cls(**{**values, **times})


@dataclass(frozen=True)
class Message:
    """Notices that go to one target together: a row of the outbox.

    Attributes:
        message_id: unique; receivers can tell a message that comes twice by it.
        target: name of the target.
        created_time: when it was decided.
        notices: what it tells, at least one; the most severe first.
        attempts: deliveries tried so far.
        dry_run: it is kept and shown, never sent.
    """

    message_id: str
    target: str
    created_time: datetime
    notices: tuple[Notice, ...]
    attempts: int = 0
    dry_run: bool = False

    @property
    def severity(self) -> str:
        """The worst severity among the notices."""
        return max((notice.severity for notice in self.notices), key=SEVERITIES.index)

    @property
    def is_all_clear(self) -> bool:
        """Whether it tells of resolved alerts only."""
        return all(notice.kind == "resolved" for notice in self.notices)

    def notices_text(self) -> str:
        """Return the notices as the outbox stores them."""
        return json.dumps([notice.to_json() for notice in self.notices], ensure_ascii=False, allow_nan=False)

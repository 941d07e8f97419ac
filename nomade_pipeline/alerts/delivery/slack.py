"""Alerts to a Slack channel through an incoming webhook; Mattermost takes the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from nomade_pipeline.alerts.delivery import wording
from nomade_pipeline.alerts.delivery.secret_url import read_url
from nomade_pipeline.alerts.notice import Message, Notice
from nomade_pipeline.config.secret import Secret
from nomade_pipeline.transport.failure import DeliveryError
from nomade_pipeline.transport.http import DIRECT, Way, ask, check_accepted

# Limits of Slack's blocks: https://docs.slack.dev/reference/block-kit/blocks
_LONGEST_HEADER, _LONGEST_SECTION = 150, 3000
_MARKS = {"info": ":information_source:", "warning": ":warning:", "critical": ":rotating_light:"}
_RESOLVED_MARK = ":white_check_mark:"


@dataclass(frozen=True)
class SlackTarget:
    """Posts to one incoming webhook.

    Attributes:
        name: the target's.
        url: the webhook's address; who knows it can post.
        way: how the address is reached.
    """

    name: str
    url: Secret
    way: Way = DIRECT
    kind: ClassVar[str] = "slack"

    def send(self, message: Message, seconds: float) -> None:
        """See `Sender`."""
        url = read_url(self.url)
        payload = json.dumps(payload_of(message)).encode("ascii")
        headers = {"Content-Type": "application/json"}
        answer = ask("POST", url, body=payload, headers=headers, seconds=seconds, way=self.way)
        said = self.url.hide(answer.body.decode("utf-8", "replace"))
        check_accepted("Slack", answer, said)
        if answer.body.strip() != b"ok":
            raise DeliveryError("what answers in Slack's place says nothing of having taken the message")


def payload_of(message: Message) -> dict[str, Any]:
    """Return what Slack is posted: blocks, and a text for notifications."""
    notices, left = wording.told_in_full(message)
    title = wording.counts(message) if len(message.notices) > 1 else wording.subject(message)
    blocks = [{"type": "header", "text": {"type": "plain_text", "text": title[:_LONGEST_HEADER], "emoji": False}}]
    rules = wording.counts_by_rule(message)
    blocks += [_section("\n".join(map(escape, rules)))] if rules else []
    blocks += [_section(_told(notice)) for notice in notices]
    blocks += [_section(f"… and {left} more. {wording.MORE_HINT}")] if left else []
    return {"text": escape(wording.subject(message)), "blocks": blocks}


def _told(notice: Notice) -> str:
    mark = _RESOLVED_MARK if notice.kind == "resolved" else _MARKS[notice.severity]
    lines = [f"{mark} {escape(wording.headline(notice))}"]
    return "\n".join([*lines, *(f"{escape(label)}: {escape(value)}" for label, value in wording.facts(notice))])


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_LONGEST_SECTION], "verbatim": True}}


def escape(text: str) -> str:
    """Escape Slack's control characters, so that no name can mention a channel or hide a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

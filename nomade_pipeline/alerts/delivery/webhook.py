"""Alerts as signed JSON to any program: Standard Webhooks (https://www.standardwebhooks.com).

Receivers find libraries that check the signature in most languages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from nomade_pipeline import clock
from nomade_pipeline.alerts.delivery import wording
from nomade_pipeline.alerts.delivery.secret_url import read_secret, read_url
from nomade_pipeline.alerts.notice import Message
from nomade_pipeline.config.secret import Secret
from nomade_pipeline.transport.failure import DeliveryError
from nomade_pipeline.transport.http import DIRECT, Way, ask, check_accepted

FORMAT_VERSION = 1
SECRET_PREFIX = "whsec_"  # noqa: S105 - the mark of a secret, none itself


@dataclass(frozen=True)
class WebhookTarget:
    """Posts JSON to an address.

    Attributes:
        name: the target's.
        url: the address.
        secret: key of the signature, base64 with or without ``whsec_`` before it; none: posts are not signed.
        way: how the address is reached.
    """

    name: str
    url: Secret
    secret: Secret = field(default_factory=Secret)
    way: Way = DIRECT
    kind: ClassVar[str] = "webhook"

    def send(self, message: Message, seconds: float) -> None:
        """See `Sender`; any answer of 200 to 299 counts as taken."""
        url = read_url(self.url)
        body = json.dumps(payload_of(message), allow_nan=False).encode("ascii")
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.message_id}
        if self.secret:
            headers |= signature_headers(read_secret(self.secret), message.message_id, body)
        answer = ask("POST", url, body=body, headers=headers, seconds=seconds, way=self.way)
        said = self.secret.hide(self.url.hide(answer.body.decode("utf-8", "replace")))
        check_accepted(urlsplit(url).netloc, answer, said)


def payload_of(message: Message) -> dict[str, Any]:
    """Return the JSON of a message."""
    return {
        "version": FORMAT_VERSION,
        "message_id": message.message_id,
        "created_time": clock.to_text(message.created_time),
        "severity": message.severity,
        "all_clear": message.is_all_clear,
        "text": wording.subject(message),
        "notices": [notice.to_json() for notice in message.notices],
    }


def signature_headers(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    """Return the headers by which a receiver knows sender, age and content.

    Raises:
        DeliveryError: the secret is no base64.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DeliveryError("the webhook's secret is not base64; `openssl rand -base64 32` makes one") from error
    timestamp = str(int(clock.now().timestamp()))
    signed = b".".join((message_id.encode("ascii"), timestamp.encode("ascii"), body))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{digest}"}

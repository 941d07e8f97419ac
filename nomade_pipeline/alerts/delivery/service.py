"""Alerts to any of the services that Apprise knows (Teams, Telegram, PagerDuty, ntfy, SMS …)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nomade_pipeline.alerts.delivery import wording
from nomade_pipeline.alerts.delivery.secret_url import read_secret
from nomade_pipeline.alerts.notice import Message
from nomade_pipeline.config.secret import Secret
from nomade_pipeline.transport.deadline import within
from nomade_pipeline.transport.failure import DeliveryError

_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


@dataclass(frozen=True)
class AppriseTarget:
    """Sends through one address of Apprise: https://appriseit.com/services.

    Attributes:
        name: the target's.
        url: the address, which holds the service's tokens.
    """

    name: str
    url: Secret
    kind: ClassVar[str] = "apprise"

    def send(self, message: Message, seconds: float) -> None:
        """See `Sender`. Apprise tells no reason of a failure but in its own log, where tokens may stand."""
        url = read_secret(self.url)
        if not within(seconds, "Apprise", lambda _: _notify(url, message)):
            raise DeliveryError("Apprise could not deliver the message to its service")


def _notify(url: str, message: Message) -> bool:
    import apprise

    asset = apprise.AppriseAsset(async_mode=False, app_id="nomade", secure_logging=True)
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        raise DeliveryError("the target's address is none that Apprise knows")
    kind = apprise.NotifyType("success" if message.is_all_clear else _TYPES[message.severity])
    text = apprise.NotifyFormat.TEXT
    return bool(service.notify(wording.body(message), wording.subject(message), kind, body_format=text))

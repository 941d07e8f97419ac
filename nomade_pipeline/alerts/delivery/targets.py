"""The targets of an installation: from `[alerts]` of nomade.toml, and from `[[target]]` of alerts.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from nomade_pipeline.alerts.delivery.log_file import FileTarget
from nomade_pipeline.alerts.delivery.mail import EmailTarget
from nomade_pipeline.alerts.delivery.sender import Sender
from nomade_pipeline.alerts.delivery.service import AppriseTarget
from nomade_pipeline.alerts.delivery.slack import SlackTarget
from nomade_pipeline.alerts.delivery.webhook import WebhookTarget
from nomade_pipeline.config.mail_keys import SECURITIES
from nomade_pipeline.config.secret import Secret
from nomade_pipeline.transport.http import Way
from nomade_pipeline.transport.smtp import MailServer, server_of

if TYPE_CHECKING:
    from nomade_pipeline.alerts.fields import Fields
    from nomade_pipeline.config.settings import Config

# Names of the targets that nomade.toml makes.
EMAIL, SLACK, LOG = "email", "slack", "log"


def configured(config: Config) -> list[Sender]:
    """Return the targets that need no alerts.toml: those of the reference's keys, and always a file of our own."""
    alerts = config.alerts
    found: list[Sender] = [FileTarget(LOG, str(config.paths.logs / "alerts.ndjson"))]
    if alerts.email_enabled:
        found.append(EmailTarget(EMAIL, server_of(alerts), alerts.email_from, alerts.email_to))
    if alerts.slack_enabled:
        found.append(
            SlackTarget(SLACK, Secret(alerts.slack_webhook, alerts.slack_webhook_file), Way(config.general.proxy))
        )
    return found


def target_of(fields: Fields, proxy: str) -> Sender:
    """Read a `[[target]]`; what is wrong with it is noted in the fields.

    Args:
        fields: its keys.
        proxy: that of the installation, see `Way`.
    """
    name = fields.name()
    kind = fields.text("kind", choices=tuple(KINDS), required=True)
    if kind not in KINDS:
        # Which keys are right depends on the kind.
        return FileTarget(name, "")
    target = KINDS[kind](fields, name, proxy)
    fields.finish()
    return target


def _email(fields: Fields, name: str, _proxy: str) -> Sender:
    recipients = fields.texts("to", form="address", required=True)
    sender = fields.text("from", form="address", required=True)
    server = MailServer(
        host=fields.text("host", form="server", required=True),
        port=fields.whole("port", 0, 0, 65535),
        security=fields.text("security", choices=SECURITIES),
        user=fields.text("user"),
        password=fields.secret("password", inline=False),
        ca_file=fields.text("ca_file", form="path"),
    )
    if bool(server.user) != bool(server.password):
        fields.fault("user", "give user and password (password_file or password_env), or neither")
    if server.user and server.security == "none":
        fields.fault("security", "none, but a password is not sent over an open line")
    return EmailTarget(name, server, sender, recipients)


def _slack(fields: Fields, name: str, proxy: str) -> Sender:
    return SlackTarget(name, fields.secret("url", form="url", required=True), _way(fields, proxy))


def _webhook(fields: Fields, name: str, proxy: str) -> Sender:
    url = fields.secret("url", form="url", required=True)
    return WebhookTarget(name, url, fields.secret("secret", inline=False), _way(fields, proxy))


def _way(fields: Fields, proxy: str) -> Way:
    return Way(proxy, fields.text("ca_file", form="path"))


def _apprise(fields: Fields, name: str, _proxy: str) -> Sender:
    return AppriseTarget(name, fields.secret("url", required=True))


def _file(fields: Fields, name: str, _proxy: str) -> Sender:
    return FileTarget(name, fields.text("path", form="path", required=True))


KINDS: dict[str, Callable[[Fields, str, str], Sender]] = {
    "email": _email,
    "slack": _slack,
    "webhook": _webhook,
    "apprise": _apprise,
    "file": _file,
}

"""Alerts as e-mail: plain text, HTML and plots; news of one alert stay in one thread of the mail reader."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import ClassVar

from nomade_pipeline import clock
from nomade_pipeline.alerts.delivery import wording
from nomade_pipeline.alerts.delivery.page import page
from nomade_pipeline.alerts.delivery.plot import draw
from nomade_pipeline.alerts.notice import Message, Notice
from nomade_pipeline.alerts.routes import MOST_IN_FULL
from nomade_pipeline.transport.smtp import MailServer, send_mail

_MOST_PICTURES = 3
_LEAST_SECONDS = 1.0
# Not every relay takes bytes beyond ASCII.
_POLICY = SMTP.clone(cte_type="7bit")
# Each alert adds some 70 characters to a header, which must not grow without bound.
_MOST_THREADS = MOST_IN_FULL


@dataclass(frozen=True)
class EmailTarget:
    """Sends through one mail server.

    Attributes:
        name: the target's.
        server: where mail is handed in.
        sender: address that it comes from.
        recipients: addresses that it goes to.
    """

    name: str
    server: MailServer
    sender: str
    recipients: tuple[str, ...]
    kind: ClassVar[str] = "email"

    def send(self, message: Message, seconds: float) -> None:
        """See `Sender`."""
        began = clock.monotonic()
        mail = bytes(self.compose(message))
        # Pictures take their time, and a delivery that has not begun cannot succeed.
        left = max(_LEAST_SECONDS, seconds - (clock.monotonic() - began))
        send_mail(self.server, self.sender, self.recipients, mail, left)

    def compose(self, message: Message) -> EmailMessage:
        """Return the mail; no text of an alert can add a header or a recipient."""
        mail = EmailMessage(policy=_POLICY)
        # An encoded word would be decoded when it is set, and what it hides (a line break and a header) be sent.
        mail["Subject"] = wording.subject(message).replace("=?", "= ?")
        mail["From"] = Address("nomade", addr_spec=self.sender)
        mail["To"] = tuple(Address(addr_spec=each) for each in self.recipients)
        mail["Date"] = format_datetime(message.created_time)
        domain = Address(addr_spec=self.sender).domain
        mail["Message-ID"] = f"<{message.message_id}@{domain}>"
        threads = [f"<{_thread(notice)}@{domain}>" for notice in message.notices[:_MOST_THREADS]]
        mail["In-Reply-To"] = threads[0]
        mail["References"] = " ".join(dict.fromkeys(threads))
        # RFC 3834: nobody's holiday notice is to answer.
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(wording.body(message))
        _add_page(mail, message)
        return mail


def _thread(notice: Notice) -> str:
    """Return the name of an episode's thread. No mail has it as its own; readers gather those that refer to it."""
    parts = (notice.rule, notice.cluster, notice.subject, str(notice.episode))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _add_page(mail: EmailMessage, message: Message) -> None:
    """Add the HTML with its pictures."""
    drawn = ((place, draw(notice)) for place, notice in enumerate(message.notices[:_MOST_PICTURES]))
    pictures = {place: picture for place, picture in drawn if picture is not None}
    mail.add_alternative(page(message, {place: f"plot{place}" for place in pictures}), subtype="html")
    html = mail.get_payload(1)
    assert isinstance(html, EmailMessage)
    for place, picture in pictures.items():
        html.add_related(
            picture, "image", "png", cid=f"<plot{place}>", filename=f"plot{place}.png", disposition="inline"
        )

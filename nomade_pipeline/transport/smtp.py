"""Handing a mail to a mail server."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Sequence, Tuple, Union

from nomade_pipeline.config.deadman_settings import DeadmanSettings
from nomade_pipeline.config.secret import Secret, SecretError
from nomade_pipeline.config.settings import AlertsSettings
from nomade_pipeline.transport.deadline import Lifeline, within
from nomade_pipeline.transport.failure import DeliveryError
from nomade_pipeline.transport.words import one_line

# The port where nothing else is said.
PORTS = {"starttls": 587, "tls": 465, "none": 25}
_TEMPORARY = range(400, 500)


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in.

    Attributes:
        host: its name.
        security: one of `PORTS`; with ``starttls`` nothing is sent where the server does not offer it. Empty:
            ``starttls`` where there is a user, else ``none``.
        port: 0 for the usual one.
        user: name to log in with; empty: no log-in.
        password: its password.
        ca_file: certificates to trust in place of the system's; empty: the system's.
    """

    host: str
    security: str = ""
    port: int = 0
    user: str = ""
    password: Secret = field(default_factory=Secret)
    ca_file: str = ""

    @property
    def secured_by(self) -> str:
        """How the connection is secured, one of `PORTS`."""
        return self.security or ("starttls" if self.user else "none")

    @property
    def address(self) -> Tuple[str, int]:
        """Host and port."""
        return self.host, self.port or PORTS[self.secured_by]


def server_of(section: Union[AlertsSettings, DeadmanSettings]) -> MailServer:
    """Return the mail server of a section of the configuration."""
    return MailServer(
        host=section.smtp_host,
        security=section.smtp_security,
        port=section.smtp_port,
        user=section.smtp_user,
        password=Secret(file=section.smtp_password_file, variable=section.smtp_password_env),
        ca_file=section.smtp_ca_file,
    )


def send_mail(server: MailServer, sender: str, recipients: Sequence[str], message: bytes, seconds: float) -> None:
    """Hand a mail in.

    Args:
        server: where.
        sender: address of the envelope.
        recipients: addresses of the envelope.
        message: the mail with its header.
        seconds: how long all of it may take.

    Raises:
        DeliveryError: it was not accepted, or not for every recipient.
    """
    place = "mail server {}:{}".format(*server.address)

    def work(lifeline: Lifeline) -> Dict[str, Any]:
        return _hand_in(server, sender, recipients, message, seconds, lifeline)

    try:
        refused = within(seconds, place, work)
    except (OSError, smtplib.SMTPException, SecretError) as error:
        raise _failure(place, error) from error
    if refused:
        names = ", ".join(sorted(refused))
        raise DeliveryError(f"{place} refused {names}; the others have the message", retryable=False)


def _hand_in(
    server: MailServer, sender: str, recipients: Sequence[str], message: bytes, seconds: float, lifeline: Lifeline
) -> Dict[str, Any]:
    """Talk to the server; return the recipients that it refused while it took others."""
    with _connected(server, seconds, lifeline) as connection:
        if server.secured_by == "starttls":
            connection.starttls(context=_context(server))
        if server.user:
            connection.login(server.user, server.password.read())
        return connection.sendmail(sender, list(recipients), message)


def _connected(server: MailServer, seconds: float, lifeline: Lifeline) -> smtplib.SMTP:
    """Connect; the connection hangs on the lifeline from its first moment, as a greeting may never come."""

    class Plain(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> Any:
            connected = super()._get_socket(host, port, timeout)  # type: ignore[misc]
            lifeline.hold(connected)
            return connected

    class Secure(smtplib.SMTP_SSL, Plain):
        """The same with TLS from the start."""

    host, port = server.address
    if server.secured_by == "tls":
        return Secure(host, port, timeout=seconds, context=_context(server))
    return Plain(host, port, timeout=seconds)


def _context(server: MailServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file or None)


def _failure(place: str, error: Exception) -> DeliveryError:
    """Word what went wrong; what the server says to a log-in is not repeated, as it may hold the password."""
    if isinstance(error, SecretError):
        return DeliveryError(str(error))
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return DeliveryError(f"{place} does not accept user and password ({error.smtp_code})")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        name, (code, text) = next(iter(error.recipients.items()))
        words = f"{place} refused {name}: {code} {one_line(text)}"
        return DeliveryError(words, retryable=any(code in _TEMPORARY for code in codes))
    if isinstance(error, smtplib.SMTPResponseException):
        words = f"{place} answered {error.smtp_code} {one_line(error.smtp_error)}"
        return DeliveryError(words, retryable=_may_mend(error))
    if isinstance(error, smtplib.SMTPException):
        return DeliveryError(f"{place}: {one_line(error)}")
    return DeliveryError(f"{place} cannot be reached: {reason_of(error)}")


def _may_mend(error: smtplib.SMTPResponseException) -> bool:
    """Whether trying again may help: not when the server refuses sender or content for good."""
    refuses_message = isinstance(error, (smtplib.SMTPSenderRefused, smtplib.SMTPDataError))
    return error.smtp_code in _TEMPORARY or not refuses_message


def reason_of(error: BaseException) -> str:
    """Word an error of the operating system or of TLS."""
    detail: Optional[str] = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return one_line(detail or str(error) or type(error).__name__)

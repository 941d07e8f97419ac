"""The keys of a mail server, which several sections have; each section names its own tests."""

from __future__ import annotations

from typing import Any

from nomade_pipeline.config.keys import key

SECURITIES = ("starttls", "tls", "none")


def recipients(**about: Any) -> Any:
    """Declare who gets the mail."""
    return key((), "Recipients.", form="address", **about)


def sender(**about: Any) -> Any:
    """Declare who the mail comes from."""
    return key("", "Sender.", form="address", **about)


def host(**about: Any) -> Any:
    """Declare the mail server."""
    return key("", "Mail server.", form="server", **about)


def port(**about: Any) -> Any:
    """Declare its port."""
    effect = "Port of the mail server. 0: 587 for starttls, 465 for tls, 25 for none."
    return key(0, effect, minimum=0, maximum=65535, **about)


def security(**about: Any) -> Any:
    """Declare how the connection is secured."""
    effect = "How the connection is secured. Empty: starttls where there is a user, else none."
    return key("", effect, choices=SECURITIES, **about)


def user(**about: Any) -> Any:
    """Declare who logs in."""
    return key("", "Name to log in with. Empty: no log-in.", **about)


def password_file(**about: Any) -> Any:
    """Declare where the password stands."""
    return key("", "File with the password; others may not read it.", form="path", **about)


def password_env(**about: Any) -> Any:
    """Declare where else the password may stand."""
    return key("", "Environment variable with the password, in place of a file.", form="variable", **about)


def ca_file(**about: Any) -> Any:
    """Declare whom to trust."""
    effect = "Certificates (PEM) to trust in place of the system's. Empty: the system's."
    return key("", effect, form="path", **about)

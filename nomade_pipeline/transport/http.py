"""One HTTP request with an end: no redirect is followed, and no more is read than was asked for."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Mapping, Optional
from urllib.parse import SplitResult, urlsplit

from nomade_pipeline import __version__
from nomade_pipeline.transport.deadline import Lifeline, within
from nomade_pipeline.transport.failure import DeliveryError
from nomade_pipeline.transport.smtp import reason_of
from nomade_pipeline.transport.words import one_line

# More of an answer than this is not read.
LARGEST_ANSWER = 16_384
# The receiver will never take this message; everything else may mend.
REFUSALS = (400, 413, 415, 422)
_PORTS = {"http": 80, "https": 443}
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        status: the code.
        headers: by lower-case name.
        body: its beginning.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Way:
    """How servers are reached.

    Attributes:
        proxy: address of an HTTP proxy; empty: none.
        ca_file: certificates to trust in place of the system's; empty: the system's.
    """

    proxy: str = ""
    ca_file: str = ""


DIRECT = Way()


def url_fault(url: str) -> Optional[str]:
    """Return what is wrong with an address, None when it can be asked. The address itself is not repeated."""
    if not _PRINTABLE.fullmatch(url):
        return "holds a blank, a control character or a character beyond ASCII"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in _PORTS or not host:
        return "does not begin with https://HOST or http://HOST"
    if "@" in parts.netloc:
        return "holds a user or password, which is not sent"
    return None


def ask(
    method: str,
    url: str,
    *,
    seconds: float,
    body: Optional[bytes] = None,
    headers: Mapping[str, str],
    way: Way = DIRECT,
) -> Answer:
    """Send one request and return the answer, whatever its code.

    Args:
        method: ``GET`` or ``POST``.
        url: an address without a `url_fault`.
        seconds: how long all of it may take.
        headers: beside those that describe the body.
        body: what to send, None for nothing.
        way: how the server is reached.

    Raises:
        DeliveryError: there is no answer.
    """
    parts = urlsplit(url)
    # The path may be a secret, as with Slack.
    place = f"{parts.scheme}://{parts.netloc}"
    told = {"User-Agent": f"nomade/{__version__}", "Connection": "close", **headers}

    def talk(lifeline: Lifeline) -> Answer:
        connection = http.client.HTTPConnection(parts.hostname or "", _port(parts), timeout=seconds)
        connection.default_port = _PORTS[parts.scheme]
        try:
            _connect(connection, parts.scheme, way, lifeline)
            is_proxied = bool(way.proxy) and parts.scheme == "http"
            connection.request(method, url if is_proxied else _target(parts), body, told)
            with connection.getresponse() as response:
                named = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, named, response.read(LARGEST_ANSWER))
        finally:
            connection.close()

    try:
        return within(seconds, place, talk)
    except (OSError, ValueError) as error:
        raise DeliveryError(f"{place} cannot be reached: {reason_of(error)}") from error
    except http.client.HTTPException as error:
        raise DeliveryError(f"{place} does not speak HTTP: {one_line(type(error).__name__)}") from error


def _connect(connection: http.client.HTTPConnection, scheme: str, way: Way, lifeline: Lifeline) -> None:
    """Connect by hand: the connection must hang on the lifeline before anything is negotiated."""
    address = (connection.host, connection.port)
    proxy = urlsplit(way.proxy)
    if way.proxy:
        address = (proxy.hostname or "", _port(proxy))
    connection.sock = socket.create_connection(address, connection.timeout)
    lifeline.hold(connection.sock)
    if scheme == "https":
        if way.proxy:
            _tunnel(connection)
        context = ssl.create_default_context(cafile=way.ca_file or None)
        connection.sock = context.wrap_socket(connection.sock, server_hostname=connection.host)


def _tunnel(connection: http.client.HTTPConnection) -> None:
    """Let the proxy at the other end connect on to the server."""
    name = f"[{connection.host}]" if ":" in connection.host else connection.host
    place = f"{name}:{connection.port}"
    connection.sock.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode("ascii"))
    with http.client.HTTPResponse(connection.sock, method="CONNECT") as answer:
        answer.begin()
        if answer.status != 200:
            raise DeliveryError(f"the proxy answered {answer.status} instead of connecting to {place}")


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def check_accepted(place: str, answer: Answer, said: str = "") -> None:
    """Make sure that an answer means that the message was taken.

    Args:
        place: who answered.
        answer: the answer.
        said: what of its body may be repeated.

    Raises:
        DeliveryError: it does not.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        host = urlsplit(answer.headers.get("location", "")).hostname or "an unnamed place"
        raise DeliveryError(f"{place} redirects to {one_line(host)}, which is not followed: name the new address")
    words = f"{place} answered {status}" + (f": {one_line(said)}" if said else "")
    raise DeliveryError(words, retryable=status not in REFUSALS, retry_after=_retry_after(answer))


def _retry_after(answer: Answer) -> Optional[float]:
    """Return the seconds of ``Retry-After``, None without one; its form as a date is not used by those we post to."""
    text = answer.headers.get("retry-after", "").strip()
    return float(text) if re.fullmatch(r"\d{1,9}", text) else None

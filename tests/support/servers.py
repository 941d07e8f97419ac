"""Real servers on loopback: mail with and without TLS and log-in, HTTP that does as it is told, a socket that drips."""

from __future__ import annotations

import asyncio
import contextlib
import email
import socket
import ssl
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Iterator

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from nomade_pipeline import clock

USER, PASSWORD = "nomade", "s3cret-pass-word"


def make_certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 with its key, in one file that also serves as what to trust."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = clock.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, no_password)
    path = folder / "loopback.pem"
    path.write_bytes(private + certificate.public_bytes(encoding))
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Mailbox:
    """What a mail server does, and the mails that it took.

    Attributes:
        port: where it listens.
        answers: what it says to a recipient in place of ``250``.
        answer: what it says to a mail in place of ``250``.
        mails: sender, recipients and content of what it took.
    """

    port: int
    answers: dict[str, str] = field(default_factory=dict)
    answer: str = "250 OK"
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)

    async def handle_RCPT(self, _s: Any, _t: Any, envelope: Any, address: str, _o: Any) -> str:  # noqa: N802
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            mail = email.message_from_bytes(envelope.content, policy=POLICY)
            self.mails.append((envelope.mail_from, envelope.rcpt_tos, mail))
        return self.answer


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    fine = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    # A server that lies: it repeats what it was given.
    return AuthResult(success=fine, message=None if fine else f"535 5.7.8 no: {data.password.decode()}", handled=False)


class _Controller(Controller):
    """A controller that ends the connections too: the library's leaves open what a client has just left."""

    sessions: list[SMTP]

    def factory(self) -> SMTP:
        session = SMTP(self.handler, **self.SMTP_kwargs)
        self.sessions.append(session)
        return session

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(5)
        self.stop()

    async def _hang_up(self) -> None:
        for session in self.sessions:
            for transport in (session.transport, session._original_transport):
                if transport is not None:
                    transport.abort()
        # What has been aborted is closed in the loop's next rounds.
        await asyncio.sleep(0.05)


@contextlib.contextmanager
def mail_server(certificate: Path | None = None, *, security: str = "none", login: bool = False) -> Iterator[Mailbox]:
    """Run a mail server.

    Args:
        certificate: of the server, where it speaks TLS.
        security: ``none``, ``starttls`` (and nothing before it) or ``tls``.
        login: only who logs in may send.
    """
    context = None if certificate is None else server_context(certificate)
    box = Mailbox(free_port())
    options: dict[str, Any] = {"authenticator": _authenticate, "auth_required": True} if login else {}
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    elif security == "tls":
        options |= {"auth_require_tls": False}
    secure = context if security == "tls" else None
    controller = _Controller(box, hostname="127.0.0.1", port=box.port, ssl_context=secure, **options)
    controller.sessions = []
    controller.start()
    try:
        yield box
    finally:
        controller.end()


@dataclass
class Web:
    """What an HTTP server answers, and what it was asked.

    Attributes:
        url: where it listens.
        status, body, headers: of the answer.
        seconds: time before it answers.
        asked: method, path, headers by lower-case name, and body of each request.
    """

    url: str = ""
    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@contextlib.contextmanager
def web_server(certificate: Path | None = None) -> Iterator[Web]:
    """Run an HTTP server, with TLS where there is a certificate."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            web.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(web.seconds)
            with contextlib.suppress(OSError):
                self.send_response(web.status)
                for name, value in web.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(web.body)))
                self.end_headers()
                self.wfile.write(web.body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients of these tests go away as they like."""

    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        scheme = "https"
        server.socket = server_context(certificate).wrap_socket(server.socket, server_side=True)
    web.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def proxy_server() -> Iterator[Web]:
    """Run an HTTP proxy that passes on what it is asked, unless its status is another than 200."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            web.asked.append((self.command, self.path, {}, b""))
            self.send_response(web.status)
            self.end_headers()
            if web.status == 200:
                host, port = self.path.rsplit(":", 1)
                with socket.create_connection((host, int(port))) as onward:
                    back = threading.Thread(target=_pump, args=(onward, self.connection), daemon=True)
                    back.start()
                    _pump(self.connection, onward)
                    back.join()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.asked.append((self.command, self.path, {}, body))
            request = urllib.request.Request(self.path, body, dict(self.headers))
            with urllib.request.urlopen(request) as answer:
                content = answer.read()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def dripping_server(text: bytes = b"") -> Iterator[int]:
    """Listen, say a text byte by byte, five a second, again and again, and never end; without a text say nothing."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not over.wait(0.2):
                for byte in text:
                    connection.sendall(bytes([byte]))
                    if over.wait(0.2):
                        return

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)

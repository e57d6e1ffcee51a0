"""Receivers of notifications on this machine: HTTP that answers as told, and a mail server."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.kafka.broker import free_port
from tests.support.certificates import Pair


@dataclass
class Receiver:
    """What came in, and what is answered next: a status each, 200 when none is left."""

    url: str
    answers: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """Take POST requests; a redirect points to itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            status = receiver.answers.pop(0) if receiver.answers else 200
            said = b"ok" if status == 200 else b"no, sorry"
            self.send_response(status)
            self.send_header("location", receiver.url)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook/secret-part")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def dripping(began: bytes, pair: Pair | None = None) -> Iterator[int]:
    """Answer whoever connects with `began` and then one byte after another, without end; yields the port."""
    done = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            client = server.accept()[0]
            if pair is not None:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(pair.certificate, pair.key)
                client = context.wrap_socket(client, server_side=True)
            with client:
                client.sendall(began)
                while not done.wait(0.02):
                    client.sendall(b"a")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            thread.join()


class Mailbox(MessageHandler):
    """Keeps what comes in; refuses receivers with the codes told."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []
        self.refuse_with: list[int] = []

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self.refuse_with:
            return f"{self.refuse_with.pop(0)} not now"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def handle_message(self, message: Message) -> None:
        self.messages.append(message)


@contextmanager
def mail_server(pair: Pair | None = None, *, login: tuple[str, str] | None = None) -> Iterator[tuple[Mailbox, int]]:
    """Take mail; with a certificate only over STARTTLS, with `login` only from who signs in. Yields its mailbox and port."""

    def sign_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword) -> AuthResult:
        return AuthResult(success=(data.login.decode(), data.password.decode()) == login, handled=False)

    mailbox = Mailbox()
    options: dict[str, Any] = {}
    if pair is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
        options |= {"tls_context": context, "require_starttls": True}
    if login is not None:
        options |= {"authenticator": sign_in, "auth_required": True}
    port = free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()

"""A TCP proxy between a client and a broker that can change what passes through."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

Change = Callable[[bytes], bytes]
_CHUNK = 1 << 16


class Proxy:
    """Passes bytes on between whoever connects to `port` and a broker; `to_client` and `to_broker` change each chunk of them.

    Both may be set at any time; None passes everything on as it is.
    """

    def __init__(self, broker_port: int, port: int) -> None:
        self.port = port
        self.to_client: Change | None = None
        self.to_broker: Change | None = None
        self._broker_port = broker_port
        self._listener = socket.create_server(("127.0.0.1", port))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                client.close()
                continue
            for source, target, change in (
                (client, broker, lambda: self.to_broker),
                (broker, client, lambda: self.to_client),
            ):
                threading.Thread(target=_pass_on, args=(source, target, change), name="proxy", daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, change: Callable[[], Change | None]) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            changed = change()
            target.sendall(chunk if changed is None else changed(chunk))
    for one in (source, target):
        with contextlib.suppress(OSError):
            # Both directions end together, and the other thread's `recv` returns.
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def properties(listener_port: int, proxy_port: int) -> str:
    """Return what a broker needs to listen once more, on `listener_port`, for clients that come through a proxy."""
    return f"""
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},PROXIED://127.0.0.1:{listener_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},PROXIED://127.0.0.1:{proxy_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
"""

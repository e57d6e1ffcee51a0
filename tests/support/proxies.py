"""A TCP proxy between a client and a server that does what networks do: breaks off, stalls, changes bytes, loses answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_CHUNK_BYTES = 1 << 16


class Proxy:
    """Forwards to `target`; the faults can be changed at any time and hold for what comes after."""

    def __init__(self, target: str, port: int = 0) -> None:
        """`port` is where it listens, on loopback; 0 takes a free one."""
        self.target = target
        self.break_after: int | None = None
        """Answer bytes of one connection after which it is broken off."""
        self.change: Callable[[bytes], bytes | None] = lambda answer: answer
        """What is made of every piece of an answer; None breaks the connection off in its place."""
        self.change_request: Callable[[bytes], bytes] = lambda asked: asked
        """What is made of every piece of a request."""
        self.open = threading.Event()
        """While it is cleared, no answer byte passes."""
        self.open.set()
        self.answered = 0
        """Answer bytes passed on."""
        self.connections = 0
        self.requests = b""
        """All that clients sent."""
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.open.set()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        where = urlsplit(self.target)
        with client, suppress(OSError), socket.create_connection((where.hostname or "", where.port or 0)) as server:
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            try:
                self._answer(client, server)
            finally:
                # Closing alone would leave both lines open for as long as `_ask` waits on one of them.
                _hang_up(server)
                _hang_up(client)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        while answer := server.recv(_CHUNK_BYTES):
            self.open.wait()
            if (changed := self.change(answer)) is None:
                break
            answer = changed
            room = None if self.break_after is None else max(0, self.break_after - passed)
            client.sendall(answer[:room])
            passed += len(answer[:room])
            self.answered += len(answer[:room])
            if room is not None and len(answer) >= room:
                break

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while asked := client.recv(_CHUNK_BYTES):
                self.requests += asked
                server.sendall(self.change_request(asked))
        _hang_up(server)


@contextmanager
def proxied(target: str, port: int = 0) -> Iterator[Proxy]:
    """Yield a proxy before `target`."""
    proxy = Proxy(target, port)
    try:
        yield proxy
    finally:
        proxy.close()


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

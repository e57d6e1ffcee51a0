"""A whole attempt ends in time, however slowly its bytes come.

httpx limits each wait for bytes, and each byte begins the next wait: a server that sends a header letter by letter holds a call
for hours. So every read and write here looks at the end of the whole attempt too. (With asyncio the event loop does that.)
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

_ends: ContextVar[float | None] = ContextVar("ends", default=None)
_PIECE_BYTES = 1 << 14
_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


@contextmanager
def within(seconds: float) -> Iterator[float]:
    """Let what this thread sends and receives in the block end after `seconds`; yield the end on the monotonic clock."""
    ends = time.monotonic() + seconds
    token = _ends.set(ends)
    try:
        yield ends
    finally:
        _ends.reset(token)


def hold(client: httpx.Client) -> None:
    """Make the connections of `client` keep to `within`; those of a transport that the app brought keep to their own limits."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - httpx names no other way in
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if isinstance(pool, httpcore.ConnectionPool) and isinstance(backend, httpcore.NetworkBackend):
            pool._network_backend = _Network(backend)  # noqa: SLF001 - same


class _Network(httpcore.NetworkBackend):
    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, left_s, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[_SocketOption] | None = None
    ) -> httpcore.NetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._backend.connect_unix_socket(path, left_s, socket_options))

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: within one write the library lets every part of it take the whole time.
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._stream.write(buffer[start : start + _PIECE_BYTES], _left_s(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left_s(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's own
        return self._stream.get_extra_info(info)


def _left_s(timeout: float | None, error: type[Exception]) -> float | None:
    ends = _ends.get()
    if ends is None:
        return timeout
    left_s = ends - time.monotonic()
    if left_s <= 0:
        message = "the whole attempt took too long"
        raise error(message)
    return left_s if timeout is None else min(timeout, left_s)

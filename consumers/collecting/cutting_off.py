"""Ends a request that takes too long in all: the client's own limits are of each read, and a byte now and then keeps them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

_OPENED = ("connect_tcp.complete", "start_tls.complete")

Trace = Callable[[str, Mapping[str, Any]], None]


@contextmanager
def cut_off(limit_s: float) -> Iterator[Trace]:
    """Yield what httpx is to be given as the extension `trace`; after `limit_s` the request's connection is shut down."""
    opened: list[Any] = []
    over = threading.Event()

    def shut() -> None:
        over.set()
        for stream in opened:
            with suppress(OSError, AttributeError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(_OPENED):
            opened.append(info["return_value"])
            if over.is_set():
                shut()

    timer = threading.Timer(limit_s, shut)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()

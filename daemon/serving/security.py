"""What is refused whoever asks: a bind that anybody could reach, and bodies that are too large."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.errors import UserError
from config.sections import ServingSettings
from daemon.serving.errors import ApiError
from registry.api_keys import PREFIX

_DISCARD_LIMIT_BYTES = 64 << 20
"""An oversize body is read to its end up to this size, so that the sender reads the answer instead of a broken connection."""


def refuse_open_bind(settings: ServingSettings, has_keys: Callable[[], bool]) -> None:
    """Raise `UserError` when the host is wider than loopback and neither a token nor an API key protects it."""
    token = settings.token.get_secret_value()
    if token.startswith(PREFIX):
        message = (
            "serving.token holds an API key. A key belongs to a client and has scopes of its own; as the token it would open "
            "everything. Nothing was started: clear serving.token (PERENNIAL_SERVING__TOKEN), or set a token of its own"
        )
        raise UserError(message)
    if token or is_loopback(settings.host) or has_keys():
        return
    message = (
        f"serving.host {settings.host!r} is reachable from other machines, there is no API key, and serving.token is empty; "
        "nothing was started. Make a key (`perennial keys create NAME --scope predict`), or set a token "
        "(PERENNIAL_SERVING__TOKEN, or serving.token in perennial.toml), or listen on 127.0.0.1."
    )
    raise UserError(message)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`. Raises `UserError` when it is no address."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None)  # noqa: S104 - an empty host means every interface
    except (OSError, UnicodeError):
        message = f"serving.host {host!r} is not an address of this machine; set 127.0.0.1, or an address it has"
        raise UserError(message) from None
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)


class BodyLimit:
    """Reads each request's body up to `max_bytes` before the app sees it, and answers 413 to a larger one.

    FastAPI's own `max_body_size` answers while the sender still writes: with a 50 MB body, 10 of 10 requests of Python's
    urllib then ended in a broken connection instead of the answer.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunk = message.get("body", b"")
            size += len(chunk)
            more = message.get("more_body", False)
            chunks.append(chunk)
            if size <= self._max_bytes:
                continue
            chunks.clear()
            if more:
                await discard(receive, _DISCARD_LIMIT_BYTES)
            refusal = ApiError(
                413, f"the body is larger than {self._max_bytes} bytes",
                "send fewer or shorter texts per request, or raise serving.max_body_bytes", field="body",
            )  # fmt: skip
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, _replay(b"".join(chunks), receive), send)


async def discard(receive: Receive, limit_bytes: int) -> None:
    """Read the rest of a request's body, at most so much of it, and keep nothing."""
    while limit_bytes > 0:
        message = await receive()
        limit_bytes -= len(message.get("body", b""))
        if not message.get("more_body", False):
            return


def _replay(body: bytes, receive: Receive) -> Receive:
    handed_out = False

    async def receive_again() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again

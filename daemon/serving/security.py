"""Who may ask, and how much they may send: the bind rule, the bearer token and the body limit."""

from __future__ import annotations

import hmac
import ipaddress
import socket

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.errors import UserError
from config.sections import ServingSettings
from daemon.serving.errors import ApiError

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_DISCARD_LIMIT_BYTES = 64 << 20
"""An oversize body is read to its end up to this size, so that the sender reads the answer instead of a broken connection."""


def refuse_open_bind(settings: ServingSettings) -> None:
    """Raise `UserError` when the host is wider than loopback and no token protects it."""
    if settings.token.get_secret_value() or is_loopback(settings.host):
        return
    message = (
        f"serving.host {settings.host!r} is reachable from other machines and serving.token is empty; nothing was started. "
        "Set a token (PERENNIAL_SERVING__TOKEN, or serving.token in perennial.toml), or listen on 127.0.0.1."
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


class TokenGuard:
    """Refuses requests without the bearer token; `/healthz` and `/readyz` stay open."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            sent = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(sent, self._expected):
                remedy = "send the header `Authorization: Bearer TOKEN` with the token of serving.token"
                refusal = ApiError(
                    401,
                    "the bearer token is missing or wrong",
                    remedy,
                    field="Authorization",
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


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
            if size <= self._max_bytes:
                chunks.append(chunk)
            else:
                chunks.clear()
                if size > _DISCARD_LIMIT_BYTES:
                    break
        if size > self._max_bytes:
            refusal = ApiError(
                413, f"the body is larger than {self._max_bytes} bytes",
                "send fewer or shorter texts per request, or raise serving.max_body_bytes", field="body",
            )  # fmt: skip
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, _replay(b"".join(chunks), receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    handed_out = False

    async def receive_again() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again

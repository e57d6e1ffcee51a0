"""What is refused whoever asks: a bind that anybody could reach, other sites' web pages, and bodies that are too large."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.addresses import is_loopback
from config.errors import UserError
from config.sections import ServingSettings
from daemon.serving.http.errors import ApiError
from registry.people.api_keys import PREFIX

_DISCARD_LIMIT_BYTES = 64 << 20
"""An oversize body is read to its end up to this size, so that the sender reads the answer instead of a broken connection."""
_PORT = re.compile(r":\d*$")
_ASK_HERE = "ask 127.0.0.1 or localhost from this machine; for other names and for web pages make a key (`perennial keys create`)"


def refuse_open_bind(settings: ServingSettings, has_keys: Callable[[], bool]) -> None:
    """Raise `UserError` when the host is wider than loopback and neither a token nor an API key protects it."""
    token = settings.token.get_secret_value()
    if token.startswith(PREFIX):
        message = (
            "serving.token holds an API key. A key belongs to one client and has scopes; as the token it would allow "
            "everything. Nothing was started: clear serving.token (PERENNIAL_SERVING__TOKEN), or set another token"
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


def foreign(headers: Iterable[tuple[bytes, bytes]], host: str) -> ApiError | None:
    """Return the refusal of a request that a web page sent through the browser of somebody here; None for any other.

    Without keys everybody on this machine may ask. A page elsewhere may not: neither under a name of its own that it lets point
    here (DNS rebinding), nor under its own origin. `host` is serving's own address.
    """
    named = {b"host": "", b"origin": "", b"sec-fetch-site": ""}
    named |= {name: value.decode("latin-1").strip().lower() for name, value in headers if name in named}
    if (refusal := misdirected(named[b"host"], host)) is not None:
        return refusal
    _scheme, separator, origin = named[b"origin"].partition("://")
    if (named[b"origin"] and not (separator and _is_here(origin, host))) or named[b"sec-fetch-site"] == "cross-site":
        told = f"Origin: {named[b'origin'][:80]!r} is another site"
        return ApiError(403, told, _ASK_HERE, field="Origin")
    return None


def misdirected(named: str, host: str) -> ApiError | None:
    """Return the refusal of a request whose Host header is no name of this machine's own; `host` is serving's own address."""
    if not named or _is_here(named.lower(), host):
        return None
    return ApiError(421, f"Host: {named[:80]!r} is not a name of this machine's own", _ASK_HERE, field="Host")


def _is_here(authority: str, host: str) -> bool:
    name = _PORT.sub("", authority).rstrip(".")
    if name in ("localhost", host.lower()):
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


class BodyLimit:
    """Reads each request's body before the app sees it: at most `max_bytes` (413), and of all requests at once `all_bytes` (503).

    FastAPI's own `max_body_size` answers while the sender still writes: with a 50 MB body, 10 of 10 requests of Python's
    urllib then ended in a broken connection instead of the answer.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, all_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._all_bytes = all_bytes
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or answer 413 or 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks: list[bytes] = []
        size = 0
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                chunk = message.get("body", b"")
                size += len(chunk)
                self._held_bytes += len(chunk)
                more = message.get("more_body", False)
                chunks.append(chunk)
                if (refusal := self._refusal(size)) is None:
                    continue
                chunks.clear()
                self._held_bytes -= size
                size = 0
                if more:
                    await discard(receive, _DISCARD_LIMIT_BYTES)
                await refusal.response()(scope, receive, send)
                return
            body = b"".join(chunks)
            chunks.clear()
            await self._app(scope, _replay(body, receive), send)
        finally:
            self._held_bytes -= size

    def _refusal(self, size: int) -> ApiError | None:
        if size > self._max_bytes:
            remedy = "send fewer or shorter texts per request, or raise serving.max_body_bytes"
            return ApiError(413, f"the body is larger than {self._max_bytes} bytes", remedy, field="body")
        if self._held_bytes > self._all_bytes:
            message = "all open requests together are larger than serving.max_bodies_bytes"
            return ApiError(503, message, "send it again in a moment", field="body", headers={"Retry-After": "2"})
        return None


class HeadAsGet:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as GET; what its body would be is left out."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # What never ends as GET has to know that nobody reads on.
        await self._app({**scope, "method": "GET", "state": {**scope.get("state", {}), "head": True}}, receive, without_body)


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

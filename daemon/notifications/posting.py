"""One HTTP POST to a receiver: no redirect, little memory, an end in time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from config.errors import RetryError
from daemon.notifications.channel import RefusedError

_TIMEOUT_S = 5.0
_LIMIT_S = 15.0
"""The whole attempt ends after this: `_TIMEOUT_S` limits each wait for bytes, and each byte begins the next wait."""
_ANSWER_BYTES = 500
_TRY_AGAIN = (408, 425, 429)
_SERVER_ERROR = 500


def post(url: str, body: bytes, headers: Mapping[str, str], *, what: str) -> None:
    """Post `body`; `what` names the setting of the address.

    Raises `RetryError` or `RefusedError`. Neither shows the path of the address, which may be a secret.
    """
    try:
        where = f"{what} ({urlsplit(url).hostname})"
        status, said = asyncio.run(_posted(url, body, headers))
    except TimeoutError as error:
        message = f"{where} does not answer within {_LIMIT_S:g} s"
        raise RetryError(message) from error
    except httpx.HTTPError as error:
        message = f"{where} does not answer: {error or type(error).__name__}"
        raise RetryError(message) from error
    except (httpx.InvalidURL, ValueError) as error:
        message = f"{what} is no address that can be used: {error}"
        raise RefusedError(message) from error
    if status in _TRY_AGAIN or status >= _SERVER_ERROR:
        message = f"{where} answered {status}{_quoted(said)}"
        raise RetryError(message)
    if not 200 <= status < 300:  # noqa: PLR2004 - success, by the standard
        message = f"{where} refused with {status}{_quoted(said)}"
        raise RefusedError(message)


async def _posted(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Return the status and the beginning of the answer. Raises `TimeoutError` where no status came in time."""
    status, said = None, b""
    try:
        # Only an event loop ends a wait of httpx at a moment of ours.
        async with (
            asyncio.timeout(_LIMIT_S),
            httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as client,
            client.stream("POST", url, content=body, headers=dict(headers)) as answer,
        ):
            status = answer.status_code
            async for part in answer.aiter_raw():
                said += part
                if len(said) >= _ANSWER_BYTES:
                    break
    except TimeoutError:
        if status is None:
            raise
    assert status is not None  # noqa: S101 - the stream has one
    return status, said


def _quoted(said: bytes) -> str:
    text = " ".join(said[:_ANSWER_BYTES].decode("utf-8", "replace").split())
    return f": {text}" if text else ""

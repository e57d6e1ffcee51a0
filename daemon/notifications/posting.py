"""One HTTP POST to a receiver: no redirect, little memory, an end in time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from config.errors import RetryError
from daemon.notifications.channel import RefusedError

_TIMEOUT_S = 5.0
_LIMIT_S = 15.0
"""A receiver that answers byte by byte is given up after this."""
_ANSWER_BYTES = 500
_TRY_AGAIN = (408, 425, 429)
_SERVER_ERROR = 500


def post(url: str, body: bytes, headers: Mapping[str, str], *, what: str) -> None:
    """Post `body`; `what` names the setting of the address.

    Raises `RetryError` or `RefusedError`. Neither shows the path of the address, which may be a secret.
    """
    began, said = time.monotonic(), b""
    try:
        where = f"{what} ({urlsplit(url).hostname})"
        with (
            httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client,
            client.stream("POST", url, content=body, headers=dict(headers)) as answer,
        ):
            status = answer.status_code
            for part in answer.iter_raw():
                said += part
                if len(said) >= _ANSWER_BYTES or time.monotonic() - began > _LIMIT_S:
                    break
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


def _quoted(said: bytes) -> str:
    text = " ".join(said[:_ANSWER_BYTES].decode("utf-8", "replace").split())
    return f": {text}" if text else ""

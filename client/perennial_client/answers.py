"""What a server sends, read within bounds: bytes, time, depth. A server may be wrong, hostile, or something else altogether."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from perennial_artifact.foreign import inert
from perennial_client.errors import RefusedError

SMALL_BYTES = 1 << 20
"""The largest answer that holds particulars: a receipt, a fate, a champion, a refusal."""
PREDICTIONS_BYTES = 32 << 20
MANIFEST_BYTES = 4 << 20
KEYWORDS_BYTES = 4 << 20


class Body:
    """The bytes of one answer, taken piece by piece. Raises `RefusedError` where it is not an answer that was asked for."""

    def __init__(self, response: httpx.Response, *, where: str, largest_bytes: int, ends: float) -> None:
        """`ends` is when the whole answer must be here, on the monotonic clock."""
        self._response = response
        self._where = where
        self._largest_bytes = largest_bytes
        self._ends = ends
        self._pieces: list[bytes] = []
        self._size = 0
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            # A few kilobytes may unfold to gigabytes; this client never asks for it.
            what = f"the answer is compressed ({inert(encoding)[:80]}), which was not asked for"
            raise RefusedError(what, where, "turn off compression between this app and serving", response.status_code)

    def add(self, piece: bytes) -> None:
        """Take one piece as it came. Raises `httpx.ReadTimeout` once the time is over."""
        self._size += len(piece)
        if self._size > self._largest_bytes:
            what = f"the answer is larger than {self._largest_bytes} bytes"
            remedy = "send fewer or shorter texts in one call; if that does not help, check url"
            raise RefusedError(what, self._where, remedy, self._response.status_code)
        self._pieces.append(piece)
        if time.monotonic() >= self._ends:
            message = f"the answer was incomplete at the time limit, after {self._size} bytes"
            raise httpx.ReadTimeout(message, request=self._response.request)

    def whole(self) -> httpx.Response:
        """Return the answer with its content."""
        response = self._response
        return httpx.Response(
            response.status_code, headers=response.headers, content=b"".join(self._pieces), request=response.request
        )


def here(response: httpx.Response) -> bool:
    """Return whether the content came with the response, as from a transport that an app's own tests bring."""
    return response.is_stream_consumed


def string(body: Mapping[str, Any], name: str) -> str:
    """Return a field that must be a string. Raises `KeyError` or `TypeError`."""
    found = body[name]
    if not isinstance(found, str):
        message = f"{name} is not a string"
        raise TypeError(message)
    return found


def string_or_none(body: Mapping[str, Any], name: str) -> str | None:
    """Return a field that may be missing or null and else is a string. Raises `TypeError`."""
    return None if body.get(name) is None else string(body, name)

"""Who is signed in at the page: sessions in memory, each good for one key or the token, and the proof that a form is ours."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

LIFE_S = 12 * 3600.0
"""After this long a person signs in again."""
_MOST = 1_000
_ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in."""

    cookie: str
    key_id: str | None
    """Of the API key; None: with the token."""
    until_s: float
    """On the clock of `Sessions`."""


class Sessions:
    """The open sessions of one process. One thread uses it; they end with the process."""

    def __init__(self, *, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._secret = secrets.token_bytes(_ID_BYTES)
        self._open: OrderedDict[str, Session] = OrderedDict()

    def open(self, key_id: str | None) -> Session:
        """Begin a session; where there are too many, the one that began first ends."""
        session = Session(secrets.token_urlsafe(_ID_BYTES), key_id, self._elapsed() + LIFE_S)
        self._open[_digest(session.cookie)] = session
        if len(self._open) > _MOST:
            self._open.popitem(last=False)
        return session

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None where there is none, or no longer."""
        session = self._open.get(_digest(cookie))
        if session is not None and session.until_s <= self._elapsed():
            self.close(cookie)
            return None
        return session

    def close(self, cookie: str) -> None:
        """End a session; nothing happens where there is none."""
        self._open.pop(_digest(cookie), None)

    def csrf(self, whose: str) -> str:
        """Return what forms of a session (its cookie; any fixed text without one) carry, which no other site can know."""
        return hmac.new(self._secret, whose.encode(), hashlib.sha256).hexdigest()


def _digest(cookie: str) -> str:
    # Looked up by its hash: how long a look takes tells nothing of what is right.
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()

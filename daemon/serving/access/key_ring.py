"""The API keys as serving knows them: read from the registry every few seconds, good for a while when it is away."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from config.clock import Clock
from config.errors import PerennialError
from registry.people import api_keys
from registry.people.api_keys import ApiKey, ApiKeys

REFRESH_S = 2.0
"""A key made or revoked counts after at most this long and one read of the registry."""
NOTE_USE_EVERY = timedelta(minutes=10)
"""A use is written down when the recorded one is older than this: a write per request would cost more than it tells."""
# What an unknown key is compared with, so that it costs what a known one costs: no key hashes to this.
_NOBODY = "-" * 64

log = structlog.get_logger(__name__)


class KeyRing:
    """Tells who presents a key. `identify` is called from one thread, `watch` runs on another."""

    def __init__(self, keys: ApiKeys, *, clock: Clock, elapsed: Callable[[], float] = time.monotonic) -> None:
        """Read the keys. Raises `RetryError` when the registry does not answer."""
        self._keys = keys
        self._clock = clock
        self._elapsed = elapsed
        self._used: dict[str, datetime] = {}
        self._trouble = ""
        self._known: Mapping[str, ApiKey] = {}
        self.looked_at = time.monotonic()
        """When `watch` last began to read, on the monotonic clock."""
        self.exists = False
        """Whether there was ever a key, revoked ones included. Never false again."""
        self.refresh()

    @property
    def age_s(self) -> float:
        """Seconds since the registry was read."""
        return self._elapsed() - self._read_at

    def identify(self, presented: bytes) -> ApiKey | None:
        """Return the key that was presented, whatever its state; None when there is no such key."""
        text = presented.decode("latin-1")
        known = self._known.get(api_keys.id_of(text))
        same = hmac.compare_digest(api_keys.hash_of(text), known.sha256 if known else _NOBODY)
        if known is None or not same:
            return None
        self._used[known.key_id] = self._clock()
        return known

    def of_id(self, key_id: str) -> ApiKey | None:
        """Return the key of a public id, whatever its state; None when there is no such key. Notes its use."""
        known = self._known.get(key_id)
        if known is not None:
            self._used[known.key_id] = self._clock()
        return known

    def refresh(self) -> None:
        """Read all keys, then note which were used. Raises `RetryError` or `StopError` when the registry cannot be used."""
        began = self._elapsed()
        self._known = {key.key_id: key for key in self._keys.list()}
        self._read_at = began
        self.exists = self.exists or bool(self._known)
        due = {
            key_id: at
            for key_id, at in list(self._used.items())
            if (key := self._known.get(key_id)) and (key.last_used_at is None or at - key.last_used_at >= NOTE_USE_EVERY)
        }
        if due:
            self._keys.note_used(list(due), max(due.values()))

    def watch(self, stop: threading.Event) -> None:
        """Refresh until `stop`; while the registry is away the last known keys stay."""
        while not stop.wait(REFRESH_S):
            self.looked_at = time.monotonic()
            try:
                self.refresh()
            except PerennialError as error:
                if not self._trouble:
                    log.warning(
                        "serving.keys_unread", reason=str(error), next="the keys read last stay valid for serving.keys_grace_s"
                    )
                self._trouble = str(error)
            else:
                if self._trouble:
                    log.info("serving.keys_read_again")
                self._trouble = ""

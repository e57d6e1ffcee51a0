"""Waits for what a process does by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(happened: Callable[[], object], limit_s: float, *, every_s: float = 0.05, what: str = "it") -> float:
    """Return the seconds until `happened` was true. Raises AssertionError when that takes longer than `limit_s`."""
    began = looked = time.monotonic()
    while not happened():
        now = time.monotonic()
        assert now - began < limit_s, f"{what} did not happen within {limit_s:.0f} s"
        # A look takes what the process needs: at most a fifth of the time.
        time.sleep(max(every_s, 4 * (now - looked)))
        looked = time.monotonic()
    return time.monotonic() - began

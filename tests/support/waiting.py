"""Waits for what a process does by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    happened: Callable[[], object], limit_s: float, *, every_s: float = 0.05, rest: float = 4.0, what: str = "it"
) -> float:
    """Return the seconds until `happened` was true. Raises AssertionError when that takes longer than `limit_s`.

    A look takes what the process needs: after each, that process has `rest` times as long for itself, `every_s` at least.
    """
    began = looked = time.monotonic()
    while not happened():
        now = time.monotonic()
        assert now - began < limit_s, f"{what} did not happen within {limit_s:.0f} s"
        time.sleep(max(every_s, rest * (now - looked)))
        looked = time.monotonic()
    return time.monotonic() - began

"""Paces background work: it pauses as long as it worked, so that half a processor and the GIL stay free for ingest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, TypeVar

S = TypeVar("S", bound=Any)

_WORK_S = 0.05
_LONGEST_REST_S = 1.0


class Pace:
    """One stretch of work. Not thread-safe: each stretch has its own."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def breathe(self) -> None:
        """Rest when it has worked for a while since the last rest."""
        worked_s = time.monotonic() - self._since
        if worked_s >= _WORK_S:
            time.sleep(min(worked_s, _LONGEST_REST_S))
            self._since = time.monotonic()


def portions(values: S, size: int) -> Iterator[S]:
    """Cut `values` (a sequence, or rows of Arrow's) into parts of at most `size`."""
    return (values[start : start + size] for start in range(0, len(values), size))

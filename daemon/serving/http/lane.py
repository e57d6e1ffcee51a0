"""Blocking work off the event loop, each kind on its own threads: a flood of one kind does not delay another."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

from daemon.serving.http.errors import ApiError

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Runs functions on at most `threads` threads while at most `waiting` callers wait. Used from the event loop alone."""

    def __init__(self, *, threads: int, waiting: int) -> None:
        self._threads = threads
        self._most = threads + waiting
        self._inside = 0
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Return what `work` returns. Raises `ApiError` (503) when too many wait already."""
        if self._inside >= self._most:
            message = "too many such requests wait already"
            raise ApiError(503, message, "send it again in a moment", headers={"Retry-After": "1"})
        self._limiter = self._limiter or anyio.CapacityLimiter(self._threads)
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(lambda: work(*args, **named), limiter=self._limiter)
        finally:
            self._inside -= 1

"""Whose turn it is: short requests and long ones take turns, so that neither waits for all of the other. No thread, no clock.

Short is what fits into one call. Short requests go in the order in which they came; long ones get a call each in turn, one after
the other. So a short request waits for one call of a long one, however many long ones there are and however long; and a long
one gets every second call at least, however many short ones come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from daemon.serving.models.requests import Part, Request
from perennial_artifact.portions import MAX_TEXTS

Turn = tuple[Request, list[Part]]
"""A request and those of its parts that are answered now."""


class Schedule:
    """What waits for one model. Not thread-safe."""

    def __init__(self) -> None:
        self._short: deque[Request] = deque()
        self._long: deque[Request] = deque()
        self._long_was_last = False
        self.texts = 0
        """Texts that wait."""
        self.chars = 0
        """Characters that wait."""

    def add(self, request: Request, limit: int) -> None:
        """Let a request wait; `limit` is how much a call holds now, counted as the cost of parts."""
        fits = request.cost <= limit and len(request.parts) <= MAX_TEXTS
        (self._short if fits else self._long).append(request)
        self.texts += len(request.texts)
        self.chars += request.chars

    def next(self, limit: int) -> list[Turn]:
        """Return the turns of the next call, none where nothing waits; they cost `limit` together, or are one part."""
        kinds = (self._next_short, self._next_long) if self._long_was_last else (self._next_long, self._next_short)
        for kind in kinds:
            if turns := kind(limit):
                self._long_was_last = kind == self._next_long
                return turns
        return []

    def next_short(self, limit: int) -> list[Turn]:
        """Return the turns of a call between two steps of a long part; none where no short request waits."""
        return self._next_short(limit)

    def _next_short(self, limit: int) -> list[Turn]:
        turns: list[Turn] = []
        room = MAX_TEXTS
        while (request := self._first(self._short)) is not None:
            if turns and (request.cost > limit or len(request.parts) > room):
                break
            self._short.popleft()
            turns.append(self._turn(request, MAX_TEXTS, request.cost))
            room -= len(request.parts)
            limit -= request.cost
        return turns

    def _next_long(self, limit: int) -> list[Turn]:
        request = self._first(self._long)
        if request is None:
            return []
        self._long.popleft()
        turn = self._turn(request, MAX_TEXTS, limit)
        if request.rest():
            self._long.append(request)
        return [turn]

    def _first(self, waiting: deque[Request]) -> Request | None:
        while waiting:
            if not waiting[0].future.done():
                return waiting[0]
            # Cancelled, or an earlier part of it failed.
            self._forget(waiting.popleft().rest())
        return None

    def _turn(self, request: Request, room: int, chars: int) -> Turn:
        parts = request.turn(room, chars)
        self._forget(parts)
        return request, parts

    def _forget(self, parts: Sequence[Part]) -> None:
        self.texts -= sum(part.start == 0 for part in parts)
        self.chars -= sum(part.end - part.start for part in parts)

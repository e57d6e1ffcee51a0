"""How busy one serving process has been of late, from two readings of its own counters."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from daemon.views.view import JsonFloat, View

WINDOW_S = 60.0
_SHARE = 0.99


class ServingPace(View):
    """What one serving process answered in the last `over_s` seconds."""

    over_s: float
    requests_per_s: float
    """Predict requests."""
    p99_ms: JsonFloat | None
    """99 of 100 were answered within this time (an upper estimate, to the bucket of the histogram); None without requests."""
    serving: Mapping[str, str]
    """The version that answers, by task."""
    problems: Mapping[str, str]
    """Why a task's champion does not answer, by task."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment."""

    at_s: float
    """On a clock that only goes forward."""
    within: Sequence[tuple[float, float]]
    """Requests since the process began that took at most so many seconds, for rising limits; the last limit is infinite."""


class Paces:
    """Keeps the readings of the last minute. Thread-safe."""

    def __init__(self, read: Callable[[], Reading], serving: Callable[[], tuple[Mapping[str, str], Mapping[str, str]]]) -> None:
        """`serving` returns the versions that answer and the problems, both by task."""
        self._read = read
        self._serving = serving
        self._kept: deque[Reading] = deque()
        self._lock = Lock()
        # Before the first question: so that it has something to compare with.
        self._kept.append(read())

    def look(self) -> ServingPace:
        """Return the pace since the oldest reading of the last minute, or since the last question if that was longer ago."""
        with self._lock:
            now = self._read()
            while len(self._kept) > 1 and now.at_s - self._kept[1].at_s >= WINDOW_S:
                self._kept.popleft()
            before = self._kept[0]
            self._kept.append(now)
        serving, problems = self._serving()
        over_s = max(now.at_s - before.at_s, 1e-3)
        within = [(limit, count - earlier) for (limit, count), (_limit, earlier) in zip(now.within, before.within, strict=True)]
        return ServingPace(
            over_s=over_s,
            requests_per_s=(within[-1][1] if within else 0.0) / over_s,
            p99_ms=quantile_ms(within, _SHARE),
            serving=dict(serving),
            problems=dict(problems),
        )


def quantile_ms(within: Sequence[tuple[float, float]], share: float) -> float | None:
    """Return the time within which a share of requests was answered, in ms; linear inside a bucket, as Prometheus has it.

    Infinite where it lies beyond the last finite limit; None without requests.
    """
    total = within[-1][1] if within else 0.0
    if total <= 0:
        return None
    wanted, below, counted = share * total, 0.0, 0.0
    for limit, count in within:
        if count >= wanted:
            if math.isinf(limit):
                return math.inf
            inside = count - counted
            return 1_000 * (below + (limit - below) * ((wanted - counted) / inside if inside else 1.0))
        below, counted = limit, count
    return math.inf

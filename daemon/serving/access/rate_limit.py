"""Token buckets: how much one caller may ask for, in memory that no number of callers can grow."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_CALLERS = 10_000
"""Callers remembered at once; whoever has been quiet longest is forgotten, and would find a full bucket again."""
# Sums of fractions may miss a whole token by less than this.
_ROUNDING = 1e-9


class RateLimit:
    """One bucket per caller: it holds at most `capacity`, is full at first and fills at `rate_per_s`. One thread uses it.

    So a caller gets at most `capacity + rate_per_s * t` in any `t` seconds. A rate of 0 is no limit.
    """

    def __init__(
        self,
        rate_per_s: float,
        capacity: float,
        *,
        max_callers: int = MAX_CALLERS,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate_per_s = rate_per_s
        self._capacity = capacity
        self._max_callers = max_callers
        self._elapsed = elapsed
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, amount: float = 1.0) -> float:
        """Take `amount` and return 0, or take nothing and return the seconds after which it will be there."""
        wait_s = self.wait_s(caller, amount)
        if self.rate_per_s and not wait_s:
            now = self._elapsed()
            self._buckets[caller] = (self._level(caller, now) - min(amount, self._capacity), now)
            self._buckets.move_to_end(caller)
            if len(self._buckets) > self._max_callers:
                self._buckets.popitem(last=False)
        return wait_s

    def give_back(self, caller: str, amount: float) -> None:
        """Undo a `take` for something that was not done after all."""
        if caller in self._buckets:
            now = self._elapsed()
            self._buckets[caller] = (min(self._capacity, self._level(caller, now) + amount), now)

    def wait_s(self, caller: str, amount: float = 1.0) -> float:
        """Return the seconds until `amount` is there (0: now). What is more than a full bucket waits for a full one."""
        if not self.rate_per_s:
            return 0.0
        missing = min(amount, self._capacity) - self._level(caller, self._elapsed())
        return missing / self.rate_per_s if missing > _ROUNDING else 0.0

    def __len__(self) -> int:
        return len(self._buckets)

    def _level(self, caller: str, now: float) -> float:
        level, at = self._buckets.get(caller, (self._capacity, now))
        return min(self._capacity, level + (now - at) * self.rate_per_s)

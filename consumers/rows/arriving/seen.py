"""Which ids a table may hold already: a filter in memory that saves a table lookup for every new id."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_MERGE_AT = 100_000


class SeenIds:
    """Remembers ids as 8-byte hashes. It never misses one it was given; what it reports may rarely be new after all."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        # Python's own string hash: fast, 64 bits, and stable for the life of the process, which is all that is needed.
        self._sorted = np.unique(np.fromiter(map(hash, ids), dtype=np.int64))
        self._recent: set[int] = set()

    def add(self, ids: Iterable[str]) -> None:
        """Remember ids."""
        self._recent.update(map(hash, ids))
        if len(self._recent) >= _MERGE_AT:
            self._sorted = np.union1d(self._sorted, np.fromiter(self._recent, dtype=np.int64))
            self._recent = set()

    def among(self, ids: Iterable[str]) -> list[str]:
        """Return those of `ids` that were probably given before, in order."""
        candidates = list(ids)
        hashes = np.fromiter(map(hash, candidates), dtype=np.int64, count=len(candidates))
        places = np.searchsorted(self._sorted, hashes)
        old = places < len(self._sorted)
        old[old] = self._sorted[places[old]] == hashes[old]
        return [one for one, is_old in zip(candidates, old, strict=True) if is_old or hash(one) in self._recent]

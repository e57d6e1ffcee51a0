"""The split of each document, in about ten bytes a document: its texts may arrive months apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

Side = Literal["train", "test", "anchor"]

_WEAKEST_FIRST: tuple[Side, ...] = ("train", "anchor", "test")
_MERGE_AT = 100_000


def document_of(document_id: str | None, article_id: str | None) -> str | None:
    """Return the document that a text belongs to: what its label names, else its article; None for a separate text."""
    return document_id or article_id


def is_test_document(document: str, test_fraction: float) -> bool:
    """Return whether a document is held out: the hash of its id, read as a number in 0..1, lies below `test_fraction`."""
    return place_of(document) < test_fraction


def place_of(document: str) -> float:
    """Return a document's place in 0..1, the same on any machine: the lower ones are held out first."""
    return int.from_bytes(hashlib.sha256(f"document\n{document}".encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64


class DocumentSides:
    """Remembers the side of each document. Held out wins: what once stood on the test side never trains."""

    def __init__(self, placed: Iterable[tuple[str, Side]] = ()) -> None:
        # Python's own string hash, as in `SeenIds`: stable for the life of the process, which is all that is needed.
        self._hashes: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._sides: npt.NDArray[np.int8] = np.empty(0, np.int8)
        self._recent: dict[int, int] = {}
        for document, side in placed:
            self.put(document, side)

    def put(self, document: str, side: Side) -> None:
        """Record that a text of `document` is in `side`."""
        key, rank = hash(document), _WEAKEST_FIRST.index(side)
        self._recent[key] = max(rank, self._recent.get(key, rank))
        if len(self._recent) >= _MERGE_AT:
            self._merge()

    def side(self, document: str) -> Side | None:
        """Return where a document's texts go; None before the first one is placed."""
        key = hash(document)
        at = int(np.searchsorted(self._hashes, key))
        old = int(self._sides[at]) if at < len(self._hashes) and self._hashes[at] == key else -1
        rank = max(old, self._recent.get(key, -1))
        return _WEAKEST_FIRST[rank] if rank >= 0 else None

    def _merge(self) -> None:
        count = len(self._recent)
        hashes = np.concatenate([self._hashes, np.fromiter(self._recent.keys(), np.int64, count)])
        sides = np.concatenate([self._sides, np.fromiter(self._recent.values(), np.int8, count)])
        # Per document the highest rank, which the sort puts last.
        order = np.lexsort((sides, hashes))
        hashes, sides = hashes[order], sides[order]
        last = np.append(hashes[1:] != hashes[:-1], True)
        self._hashes, self._sides, self._recent = hashes[last], sides[last], {}

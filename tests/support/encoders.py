"""An encoder without a model: a text's vector is the sum of its words' fixed random directions."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class WordEncoder:
    """Texts that share most of their words get similar vectors; others are nearly orthogonal."""

    def __init__(self, encoder_id: str = "words@1", dimensions: int = 64) -> None:
        self.encoder_id = encoder_id
        self.dimensions = dimensions
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.encoded += texts
        vectors = np.array(
            [np.sum([self._direction(word) for word in text.split()], axis=0) for text in texts], dtype=np.float32
        ).reshape(len(texts), self.dimensions)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def readable_shares(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        return np.ones(len(texts))

    def _direction(self, word: str) -> npt.NDArray[np.float64]:
        return _direction(f"{self.encoder_id} {word.lower()}", self.dimensions)


@functools.cache
def _direction(name: str, dimensions: int) -> npt.NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(dimensions)

"""The vector by which a text finds its story: the sentence encoder's, or its letters' where the encoder cannot read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from consumers.text import ngrams
from consumers.text.scripts import LEAST_READABLE


class TextEncoder(Protocol):
    """What turns texts into vectors. `encoder_id` changes whenever the same text would get another vector."""

    encoder_id: str
    dimensions: int

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one vector of length 1 per text: float32, shape (texts, dimensions)."""
        ...

    def readable_shares(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return per text the share of its letters, 0..1, that the encoder can read."""
        ...


@dataclass(frozen=True, slots=True)
class TextVector:
    """A vector of length 1, and what made it: vectors of different makers are never compared."""

    vector: npt.NDArray[np.float32]
    encoder_id: str


def vectors_of(encoder: TextEncoder, texts: Sequence[str]) -> list[TextVector]:
    """Return the vector of each text, in order.

    Those of the two makers lie in one space and are nearly at right angles, as random directions are: a text that the encoder
    can read finds no story of one that it cannot.
    """
    readable = encoder.readable_shares(texts) >= LEAST_READABLE
    by_place: dict[int, TextVector] = {}
    for wanted, encode, name in (
        (True, encoder.encode, encoder.encoder_id),
        (False, lambda some: ngrams.vectors_of(some, encoder.dimensions), ngrams.ENCODER_ID),
    ):
        places = np.flatnonzero(readable == wanted).tolist()
        if places:
            found = encode([texts[place] for place in places])
            by_place |= {place: TextVector(vector, name) for place, vector in zip(places, found, strict=True)}
    return [by_place[place] for place in range(len(texts))]

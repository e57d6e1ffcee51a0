"""Pairs of texts that are nearly the same: by the words they share (TF-IDF), or by their embeddings; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from consumers.text import words

Floats = npt.NDArray[np.float32]

READ_CHARS = 2_000
"""Of a longer text only the beginning is compared."""
LEAST_BY_WORDS = 0.6
LEAST_BY_EMBEDDING = 0.95
_AT_ONCE = 1_024


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts, by their places, and how alike they are (cosine)."""

    one: int
    other: int
    alike: float


def by_embedding(one: Floats, other: Floats | None = None, *, least: float = LEAST_BY_EMBEDDING) -> Iterator[Pair]:
    """Yield the pairs of rows of `one` and `other` with a cosine of at least `least`; without `other` those within `one`.

    Shapes (n, d) and (m, d). Time grows with n * m; memory with n + m.
    """
    left, right = unit(one), unit(one if other is None else other)
    for start in range(0, len(left), _AT_ONCE):
        alike = left[start : start + _AT_ONCE] @ right.T
        rows, columns = np.nonzero(alike >= least)
        yield from _pairs(rows, columns, alike[rows, columns], start, within=other is None)


def by_words(one: Sequence[str], other: Sequence[str] | None = None, *, least: float = LEAST_BY_WORDS) -> Iterator[Pair]:
    """Yield the pairs of texts with a cosine of at least `least` between the TF-IDF of their words and pairs of words.

    Likewise within `one` without `other`. Words are weighted by how rare they are among all these texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - half a second to import

    texts = [*one, *(other or ())]
    if not texts:
        return
    vectorizer = TfidfVectorizer(analyzer=_terms, sublinear_tf=True, dtype=np.float32)
    try:
        terms = vectorizer.fit_transform(texts)
    except ValueError:  # no text has a word
        return
    left, right = terms[: len(one)], terms if other is None else terms[len(one) :]
    for start in range(0, len(one), _AT_ONCE):
        alike = (left[start : start + _AT_ONCE] @ right.T).tocoo()
        chosen = alike.data >= least
        yield from _pairs(alike.row[chosen], alike.col[chosen], alike.data[chosen], start, within=other is None)


def _terms(text: str) -> list[str]:
    found = [word.lower() for word in words.words(text[:READ_CHARS])]
    return [*found, *(f"{one} {other}" for one, other in pairwise(found))]


def unit(rows: Floats) -> Floats:
    """Return rows, shape (n, d), at length 1; a row of zeros stays one."""
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12).astype(np.float32)
    return found


def _pairs(
    rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], alike: Floats, start: int, *, within: bool
) -> Iterator[Pair]:
    for row, column, value in zip(rows.tolist(), columns.tolist(), alike.tolist(), strict=True):
        if not within or row + start < column:
            yield Pair(row + start, column, value)

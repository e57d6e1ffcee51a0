"""BIO tags: O, and of each entity type one for the word that begins an entity and one for the words inside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

OUTSIDE = 0
"""The tag of a word that belongs to no entity."""

Scores = npt.NDArray[np.float32]
Path = npt.NDArray[np.intp]


def names(types: Sequence[str]) -> list[str]:
    """Return the tags by their ids, as `id2label` of a token classifier names them."""
    return ["O", *(f"{mark}-{name}" for name in types for mark in "BI")]


def begins(number: int) -> int:
    """Return the id of the tag that begins an entity of type `number`; the next one is that of its further words."""
    return 1 + 2 * number


def of_types(numbers: Iterable[int]) -> list[int]:
    """Return the tags of the types with these numbers."""
    return [tag for number in numbers for tag in (begins(number), begins(number) + 1)]


def best_path(scores: Scores) -> Path:
    """Return the tag of each word: of all paths in which no entity goes on that has not begun, the one of the highest sum.

    `scores` are log probabilities or logits, shape (words, tags).
    """
    best = scores.argmax(axis=1)
    # Where the best tag of each word by itself makes such a path, no other is better.
    return best if _is_valid(best) else _viterbi(scores)


def entities(path: Path) -> list[tuple[int, int, int]]:
    """Return (first word, word after the last, number of the type) of each entity on a path."""
    found: list[tuple[int, int, int]] = []
    for at, tag in enumerate(path.tolist()):
        number, goes_on = divmod(tag - 1, 2)
        if tag == OUTSIDE:
            continue
        if goes_on:
            first, _after, _number = found.pop()
            found.append((first, at + 1, number))
        else:
            found.append((at, at + 1, number))
    return found


def _is_valid(path: Path) -> bool:
    inside = (path > OUTSIDE) & (path % 2 == 0)
    before = np.concatenate([[OUTSIDE], path[:-1]])
    return bool(np.all(~inside | (before == path) | (before == path - 1)))


def _viterbi(scores: Scores) -> Path:
    """Viterbi's algorithm; a step costs as much as there are tags, because only two tags may come before one of inside."""
    count, tags = scores.shape
    came_from = np.zeros((count, tags), dtype=np.intp)
    sums = scores[0].copy()
    sums[2::2] = -np.inf
    for at in range(1, count):
        best = int(sums.argmax())
        goes_on = sums[2::2] >= sums[1::2]
        came_from[at] = best
        came_from[at, 2::2] = np.arange(1, tags, 2) + goes_on
        before = np.full(tags, sums[best])
        before[2::2] = np.where(goes_on, sums[2::2], sums[1::2])
        sums = before + scores[at]
    path = np.zeros(count, dtype=np.intp)
    path[-1] = sums.argmax()
    for at in range(count - 1, 0, -1):
        path[at - 1] = came_from[at, path[at]]
    return path

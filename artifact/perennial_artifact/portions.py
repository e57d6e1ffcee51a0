"""How many texts a model is given at once: what serving and an app's process have in common.

A score's last digits depend on which texts are computed together; in the same portions the same request gets the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MAX_TEXTS = 32
"""Texts, or parts of texts, handed to the model in one call."""
MAX_CHARS = 10_000
"""Characters in one call, where one part alone does not have more. Serving gives a slow model fewer."""
WHOLE_CHARS = 2_500
"""What a text counts at most where the model does not divide it: such a model reads only its beginning."""


def portions(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in the portions that an idle serving process would answer them in."""
    portion: list[str] = []
    chars = 0
    for text in texts:
        cost = min(len(text), WHOLE_CHARS)
        if portion and (len(portion) == MAX_TEXTS or chars + cost > MAX_CHARS):
            yield portion
            portion, chars = [], 0
        portion.append(text)
        chars += cost
    if portion:
        yield portion

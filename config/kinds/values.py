"""What the models of several kinds are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sized

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Read once, never changed, and with no key that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answered(BaseModel):
    """Read once, never changed; later versions of serving may say more of an answer."""

    model_config = ConfigDict(frozen=True, extra="allow")


MAX_SCORES = 100_000
"""Labels of an answer: more than any model has."""


def at_most(entries: int, remedy: str = "") -> Callable[[object], object]:
    """Return a validator that refuses longer lists.

    It belongs before pydantic looks at each entry: a `max_length` alone still collects every fault of every entry, a gigabyte
    from 2 MB of `{}`.
    """

    def check(value: object) -> object:
        if isinstance(value, Sized) and len(value) > entries:
            message = f"it has {len(value)} entries; at most {entries} are allowed{remedy}"
            raise ValueError(message)
        return value

    return check


def whole(number: object) -> object:
    """Return a whole number as one: JSON has one kind of number, and 7.0 is as whole as 7."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def as_sent(number: float) -> str:
    """Return a number with all its digits, for a message about a limit that it passes by little."""
    return repr(number).removesuffix(".0")


def spelt(label: str) -> str:
    """Return how the JSON of a target (without white space) contains a label under the key `label`."""
    return f'"label":{json.dumps(label, ensure_ascii=False)}'


def renamed_scores(
    scores: Mapping[str, float], new_name: Callable[[str], str | None], merge: Callable[[float, float], float]
) -> dict[str, float]:
    """Return the probabilities of labels under their new names, the highest first; those without one (None) are left out."""
    found: dict[str, float] = {}
    for old, score in scores.items():
        if (name := new_name(old)) is not None:
            found[name] = merge(found[name], score) if name in found else score
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def excerpt(text: str, most: int = 100) -> str:
    """Return a text as one readable line holds it."""
    return text if len(text) <= most else text[: most - 1] + "…"

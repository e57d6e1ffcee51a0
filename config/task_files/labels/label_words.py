"""What the labels of a task mean in words, from which a model's head may start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from config.foreign.characters import first_invisible
from config.foreign.labels import LabelName

if TYPE_CHECKING:
    from config.tasks import TaskSpec

MAX_WORDS_CHARS = 500
_PLACE = "{}"
_LETTERS = re.compile(r"[^\W\d_]{2}")
_APART = re.compile(r"[_\s]+")


def _words(text: str) -> str:
    """Return the words as they are read; empty: the label has none."""
    tidy = " ".join(text.split())
    if len(tidy) > MAX_WORDS_CHARS:
        message = f"the words have {len(tidy)} characters; at most {MAX_WORDS_CHARS} are read; shorten them"
        raise ValueError(message)
    if (hidden := first_invisible(tidy)) is not None:
        message = f"the words contain an invisible character, {hidden}; remove it"
        raise ValueError(message)
    return tidy


def _hypothesis(text: str) -> str:
    if text.count(_PLACE) != 1:
        message = "it must hold {} once, where the words of a label stand, such as `This text is about {}.`"
        raise ValueError(message)
    return _words(text)


Words = Annotated[str, AfterValidator(_words)]
LabelWords = Literal["auto", "names", "none"] | dict[LabelName, Words]
Hypothesis = Annotated[str, AfterValidator(_hypothesis), Field(max_length=MAX_WORDS_CHARS)]


def words_of(name: str, given: LabelWords) -> str | None:
    """Return what a label means in words: those that are given, else its name as a person would say it.

    None where the words given are empty, and where a name holds no two letters side by side, as `A7`.
    """
    if isinstance(given, Mapping) and name in given:
        return given[name] or None
    if not _LETTERS.search(name):
        return None
    said = _APART.sub(" ", name).strip()
    return said.lower() if said.isupper() else said


def misfit(task: TaskSpec, *, of_whole_texts: bool) -> str | None:
    """Return, in words, what of a task's words for labels does not fit it; None where all does."""
    given = task.label_words
    if given == "auto":
        return None
    if not of_whole_texts:
        return f"label_words starts heads that give labels of whole texts, and kind {task.kind} has others; remove it"
    unknown = sorted(name for name in given if not task.accepts_label(name)) if isinstance(given, Mapping) else []
    if unknown:
        return f"label_words has words for {', '.join(unknown)}, which label_names of this closed task lacks; remove them"
    return None

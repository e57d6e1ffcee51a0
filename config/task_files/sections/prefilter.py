"""Rules that leave a text out before anything is learnt from it: too short, or of a sort that the task is not about."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_MOST_RULES, _MOST_PHRASES = 100, 500

Phrase = Annotated[str, Field(min_length=2, max_length=200, pattern=r"\w")]
Phrases = Annotated[tuple[Phrase, ...], Field(max_length=_MOST_PHRASES)]


class Rule(BaseModel):
    """Blocks texts that hold any of some phrases, unless they hold one of others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    any: Annotated[Phrases, Field(min_length=1)]
    unless: Phrases = ()

    @cached_property
    def _any(self) -> re.Pattern[str]:
        return _pattern(self.any)

    @cached_property
    def _unless(self) -> re.Pattern[str]:
        return _pattern(self.unless)

    def blocks(self, text: str) -> bool:
        """Return whether the rule blocks a text."""
        return bool(self._any.search(text)) and not (self.unless and self._unless.search(text))


class Prefilter(BaseModel):
    """All rules of a task. Phrases are whole words, in any case; white space between them may be of any sort."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_words: Annotated[int, Field(ge=0, description="Texts with fewer words are left out.")] = 0
    require: Annotated[Phrases, Field(description="Texts without any of these are left out; empty: all may stay.")] = ()
    block: Annotated[tuple[Rule, ...], Field(max_length=_MOST_RULES, description="Rules that leave a text out.")] = ()

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [rule.name for rule in self.block]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"two rules are called {twice[0]!r}; rename one"
            raise ValueError(message)
        return self

    @cached_property
    def _require(self) -> re.Pattern[str]:
        return _pattern(self.require)

    def reason(self, text: str) -> str | None:
        """Return why a text is left out, in a few words; None where it stays."""
        if self.min_words and len(text.split(maxsplit=self.min_words)) < self.min_words:
            return f"fewer than {self.min_words} words"
        if self.require and not self._require.search(text):
            return "none of the words that are required"
        return next((f"rule {rule.name!r}" for rule in self.block if rule.blocks(text)), None)


def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    # Escaped words and single runs of white space: nothing that could be matched in more than one way.
    words = (r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)

"""spaCy's tokenizer in linear time: its patterns look where their match must lie and not at the rest of the text.

The tokenizer takes one prefix and one suffix at a time off each run of text without white space, and its patterns search all
of that run for each: 10,000 dollar signs take 25 s. Within these bounds the tokens are the same for every text, short or
hostile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from spacy.language import Language
from spacy.tokenizer import Tokenizer

NEAR_CHARS = 32
"""Of a run without white space, so much is searched for an affix; no language's affix is as long, but for runs of one sign."""
LONGEST_URL = 2_048
"""A longer run is not a web address: the pattern for one tries every way to read it."""
LONGEST_EXCEPTION = 256
"""A longer run cannot be a word that some languages keep whole (a pattern that is tried after each affix)."""
INFIX_CHARS = 512
"""Infixes are looked for in parts of this size: some languages' patterns try every beginning with every end."""
_CONTEXT_CHARS = 6
"""More than any pattern looks at behind its match."""


def make_linear(nlp: Language) -> Language:
    """Bound the patterns of a pipeline's tokenizer, and return the pipeline. Tokenizers of other kinds stay as they are."""
    tokenizer = nlp.tokenizer
    if isinstance(tokenizer, Tokenizer):
        # Each change lays all special cases on tokens again; without any that is quick.
        rules, tokenizer.rules = tokenizer.rules, {}
        tokenizer.prefix_search = _bounded(tokenizer.prefix_search, lambda pattern: Prefix(pattern).find)
        tokenizer.suffix_search = _bounded(tokenizer.suffix_search, lambda pattern: Suffix(pattern).find)
        tokenizer.infix_finditer = _bounded(tokenizer.infix_finditer, lambda pattern: Infixes(pattern).find)
        tokenizer.token_match = _bounded(tokenizer.token_match, lambda pattern: Short(pattern, LONGEST_EXCEPTION).find)
        tokenizer.url_match = _bounded(tokenizer.url_match, lambda pattern: Short(pattern, LONGEST_URL).find)
        tokenizer.rules = rules
    return nlp


class _Bounded:
    """Stands where a compiled pattern's method is expected; spaCy saves `pattern` with the pipeline, as without the bound."""

    def __init__(self, compiled: re.Pattern[str]) -> None:
        self._compiled = compiled
        self.pattern = compiled.pattern


class Prefix(_Bounded):
    """Finds what a run begins with."""

    def find(self, run: str) -> re.Match[str] | None:
        """Return the match at the run's start."""
        found = self._compiled.search(run, 0, NEAR_CHARS)
        if found is None or found.end() < NEAR_CHARS - _CONTEXT_CHARS:
            return found
        # A sign repeated beyond the part that was read is one prefix in some patterns.
        return self._compiled.search(run)


class Suffix(_Bounded):
    """Finds what a run ends with."""

    def find(self, run: str) -> re.Match[str] | None:
        """Return the match at the run's end."""
        begin = max(0, len(run) - NEAR_CHARS)
        found = self._compiled.search(run, begin)
        return found if found is None or found.start() > begin or not begin else self._compiled.search(run)


class Infixes(_Bounded):
    """Finds what separates the words inside a run."""

    def find(self, run: str) -> Iterator[re.Match[str]]:
        """Yield the matches in order, looking for each in a limited part of a long run."""
        begin = 0
        while len(run) - begin > INFIX_CHARS:
            end = begin + INFIX_CHARS
            following = end - NEAR_CHARS
            for found in self._compiled.finditer(run, begin, end):
                # What the part's end may have cut short is looked for again, from where it begins.
                if found.end() >= end - NEAR_CHARS:
                    following = min(following, found.start())
                    break
                yield found
            if following <= begin:
                whole = self._compiled.search(run, begin)
                following = max(whole.end() if whole else 0, begin + 1)
                if whole:
                    yield whole
            begin = following
        yield from self._compiled.finditer(run, begin)


class Short(_Bounded):
    """Matches whole runs up to a length."""

    def __init__(self, compiled: re.Pattern[str], longest: int) -> None:
        super().__init__(compiled)
        self._longest = longest

    def find(self, run: str) -> re.Match[str] | None:
        """Return the match of the whole run; None for a longer one."""
        return self._compiled.match(run) if len(run) <= self._longest else None


def _bounded(
    search: Callable[[str], Any] | None, bound: Callable[[re.Pattern[str]], Callable[[str], Any]]
) -> Callable[[str], Any] | None:
    # None, a function of a pipeline's own, or bounded already: as it is.
    compiled = getattr(search, "__self__", None)
    return bound(compiled) if isinstance(compiled, re.Pattern) else search

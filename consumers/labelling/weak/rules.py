"""Rules at work: which of a task's rules find something in a text. What a pattern may cost is bounded.

Patterns run in the module `regex`, which stops a search after a time (its own clock counts the processor seconds of the process).
A pattern that takes longer than that on a text says nothing of it; after `MOST_STOPPED` such texts the rule's patterns are
switched off, and the report says so by name.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import regex

from config.task_files.sections.weak_labels import TEXT, Place, RuleOf
from consumers.labelling.weak.texts import WeakText
from perennial_artifact.keywords import Keywords, Rule

PATTERN_TIME_S = 0.1
"""For one pattern and one text."""
MOST_STOPPED = 10
"""Texts on which a rule's patterns may be stopped before they are switched off."""
_MOST_CHARS = 50_000
"""Of a text, as for keywords."""
_KIND = "signals"
"""Any that keywords know: only their hits are asked for."""

Mark = tuple[int, int, int]
"""Start and end of a mark in a text, in code points, and the number of its rule."""


class Rules:
    """The rules of a task, compiled. Not thread-safe: it counts what was stopped."""

    def __init__(self, rules: Sequence[RuleOf], *, pattern_time_s: float = PATTERN_TIME_S) -> None:
        self.rules = tuple(rules)
        self.stopped: Counter[int] = Counter()
        """By number of a rule, the texts on which one of its patterns took too long."""
        self._time_s = pattern_time_s
        by_places: dict[tuple[Place, ...], list[int]] = defaultdict(list)
        for number, rule in enumerate(self.rules):
            if rule.phrases:
                by_places[rule.fields].append(number)
        # The words of all rules that look in the same places are looked for at once.
        self._words = {
            places: (numbers, Keywords(_KIND, [Rule(str(number), "", 0.0, self.rules[number].phrases) for number in numbers]))
            for places, numbers in by_places.items()
        }
        self._patterns = {
            number: [regex.compile(pattern) for pattern in rule.patterns]
            for number, rule in enumerate(self.rules)
            if rule.patterns
        }
        self._exact: dict[int, regex.Pattern[str]] = {}

    def is_off(self, number: int) -> bool:
        """Return whether a rule's patterns were switched off."""
        return self.stopped[number] >= MOST_STOPPED

    def found(self, text: WeakText) -> list[int]:
        """Return the numbers of the rules that find something, in order."""
        hits: set[int] = set()
        for places, (numbers, keywords) in self._words.items():
            for part in _parts(text, places):
                hits.update(numbers[number] for number in keywords.hits(part))
        hits = {number for number in hits if self._reads(number, text)}
        for number in self._patterns:
            if number not in hits and self._reads(number, text) and self._searched(number, text):
                hits.add(number)
        return sorted(hits)

    def marks(self, text: WeakText) -> list[Mark]:
        """Return what the rules mark in a text: their words in the case that they are written in, and their patterns.

        Of a pattern with a group, what its first one holds. Without white space around it; nothing that is empty.
        """
        found: set[Mark] = set()
        for number, rule in enumerate(self.rules):
            if self._reads(number, text):
                patterns = [*([self._exactly(number)] if rule.phrases else []), *self._patterns.get(number, [])]
                for pattern in patterns:
                    found.update((start, end, number) for start, end in self._matches(number, pattern, text.text[:_MOST_CHARS]))
        return sorted(found)

    def _reads(self, number: int, text: WeakText) -> bool:
        wanted = self.rules[number].languages
        return not wanted or text.language in wanted

    def _searched(self, number: int, text: WeakText) -> bool:
        if self.is_off(number):
            return False
        try:
            return any(
                pattern.search(part[:_MOST_CHARS], timeout=self._time_s) is not None
                for part in _parts(text, self.rules[number].fields)
                for pattern in self._patterns[number]
            )
        except TimeoutError:
            self.stopped[number] += 1
            return False

    def _matches(self, number: int, pattern: regex.Pattern[str], text: str) -> list[tuple[int, int]]:
        if self.is_off(number):
            return []
        group = 1 if pattern.groups else 0
        try:
            places = [match.span(group) for match in pattern.finditer(text, timeout=self._time_s)]
        except TimeoutError:
            self.stopped[number] += 1
            return []
        return [place for start, end in places if start >= 0 and (place := _tight(text, start, end)) is not None]

    def _exactly(self, number: int) -> regex.Pattern[str]:
        """Return what finds a rule's words in a text, where they stand, longest first."""
        if number not in self._exact:
            phrases = sorted(self.rules[number].phrases, key=len, reverse=True)
            whole = [" ".join(phrase.split()) for phrase in phrases if "*" not in phrase]
            open_ = [r"\s+".join(map(_word, phrase.split())) for phrase in phrases if "*" in phrase]
            said = "|".join([*open_, *([r"\L<whole>"] if whole else [])])
            pattern = rf"(?<!\w)(?:{said})(?!\w)"
            self._exact[number] = regex.compile(pattern, whole=whole) if whole else regex.compile(pattern)
        return self._exact[number]


def _parts(text: WeakText, places: Sequence[Place]) -> list[str]:
    """Return what stands in these places; title and body together are the text as a whole."""
    if {*places} >= {*TEXT}:
        return [text.text, *(text.part(place) for place in places if place not in TEXT)]
    return [text.part(place) for place in places]


def _word(word: str) -> str:
    return re.escape(word.strip("*")).join(("\\w*" if word.startswith("*") else "", "\\w*" if word.endswith("*") else ""))


def _tight(text: str, start: int, end: int) -> tuple[int, int] | None:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None

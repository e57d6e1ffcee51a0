"""Answers by the words that a task file lists: what speaks for a task that has no model yet. Needs no library.

A phrase is one word or several in a row, in any case; a star at one end of a word stands for further letters. Words of all
languages are looked for in every text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import inert
from perennial_artifact.predictor import Answer

_FORMAT_VERSION = 1
_VERSION = "keywords"
_WORD = re.compile(r"\w+")
_PATTERN = re.compile(r"\*?\w+\*?")
_LEAST_LETTERS = 3
"""Beside a star: fewer letters would stand for half the language."""
_MOST_CHARS = 50_000
"""Of a text: more is not read, and the answer says so."""
NOTHING = "none"
"""The tag of a text that says nothing of a category."""

_Where = Literal["whole", "start", "end"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What phrases stand for."""

    group: str
    """What is decided by itself, such as a category of signals."""
    label: str
    score: float
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Word:
    letters: str
    where: _Where
    """Of a word of the text: all of it, its start, or its end."""

    def is_in(self, word: str) -> bool:
        if self.where == "whole":
            return word == self.letters
        return word.startswith(self.letters) if self.where == "start" else word.endswith(self.letters)


_Phrase = tuple[int, tuple[_Word, ...]]
"""The number of its rule, and its words."""


def version_of(task: str) -> str:
    """Return what stands in the place of a version where a task answers by its keywords."""
    return f"{task}/{_VERSION}"


def is_version_of_keywords(version: str) -> bool:
    """Return whether keywords answered, not a model."""
    return version.rpartition("/")[2] == _VERSION


def wrong(phrase: str) -> str | None:
    """Return, in words, what is wrong with a phrase; None where nothing is."""
    words = _PATTERN.findall(_plain(phrase))
    if not words or "*" in _PATTERN.sub("", _plain(phrase)) or re.search(r"\w\*\w", phrase):
        return f"{phrase!r} has no word, or a star that stands at no end of one; write words, with a star at one end at most"
    for word in words:
        letters = word.strip("*")
        if len(word) - len(letters) > 1:
            return f"{phrase!r} has a star at both ends of a word; leave one"
        if letters != word and len(words) == 1 and len(letters) < _LEAST_LETTERS:
            return f"{phrase!r} has a star beside fewer than {_LEAST_LETTERS} letters, too few to tell; write more"
    return None


class Keywords:
    """A predictor made of rules: of each group the rule whose phrases occur most often answers, of several the first.

    Immutable, safe for threads. Its answers are those of the kind of task that it is made for: `signals`, `classification`,
    `multilabel`.
    """

    def __init__(self, kind: str, rules: Sequence[Rule]) -> None:
        """Raises `ValueError` for a kind whose answers are not known here, and for a phrase that is `wrong`."""
        if kind not in _ANSWERS:
            message = f"keywords cannot answer for kind {kind!r}; they do for {', '.join(_ANSWERS)}"
            raise ValueError(message)
        self.kind = kind
        self.rules = tuple(rules)
        self._groups = tuple(dict.fromkeys(rule.group for rule in self.rules))
        self._whole: dict[str, list[_Phrase]] = defaultdict(list)
        self._starts: dict[int, dict[str, list[_Phrase]]] = {}
        self._ends: dict[int, dict[str, list[_Phrase]]] = {}
        for number, rule in enumerate(self.rules):
            for words in dict.fromkeys(map(_words, rule.phrases)):
                self._add((number, words))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keywords) and (self.kind, self.rules) == (other.kind, other.rules)

    def __hash__(self) -> int:
        return hash((self.kind, self.rules))

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return one answer per text, in order; `truncated`: only the first 50,000 characters were read."""
        say = _ANSWERS[self.kind]
        return [{**say(self, text), "truncated": len(text) > _MOST_CHARS} for text in texts]

    @property
    def groups(self) -> tuple[str, ...]:
        """What is decided by itself, in order."""
        return self._groups

    def found(self, text: str) -> Mapping[str, Rule]:
        """Return the rule that answers for each group of which a phrase occurs."""
        hits = self.hits(text)
        best: dict[str, int] = {}
        for number in sorted(hits):
            group = self.rules[number].group
            if group not in best or hits[number] > hits[best[group]]:
                best[group] = number
        return {group: self.rules[number] for group, number in best.items()}

    def hits(self, text: str) -> Mapping[int, int]:
        """Return how often phrases of each rule occur, by the number of the rule; one without any is not there."""
        words = _WORD.findall(_plain(text[:_MOST_CHARS]))
        hits: Counter[int] = Counter()
        for at, word in enumerate(words):
            # Once for a place in the text, however many phrases of a rule begin there.
            hits.update({number for number, phrase in self._beginning(word) if _goes_on(phrase, words, at)})
        return hits

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {"format_version": _FORMAT_VERSION, "kind": self.kind, "rules": [asdict(rule) for rule in self.rules]}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Keywords:
        """Read what `as_json` returned. Raises `UnusableError` for a newer format, else one of `foreign.WRONG`."""
        if body["format_version"] != _FORMAT_VERSION:
            other = inert(body["format_version"])[:80]
            message = f"the keywords have format {other}, and this program reads {_FORMAT_VERSION}; upgrade it"
            raise UnusableError(message)
        rules = [
            Rule(str(one["group"]), str(one["label"]), float(one["score"]), tuple(str(phrase) for phrase in one["phrases"]))
            for one in body["rules"]
        ]
        return cls(str(body["kind"]), rules)

    def _add(self, phrase: _Phrase) -> None:
        first = phrase[1][0]
        if first.where == "whole":
            self._whole[first.letters].append(phrase)
            return
        by_length = self._starts if first.where == "start" else self._ends
        by_length.setdefault(len(first.letters), defaultdict(list))[first.letters].append(phrase)

    def _beginning(self, word: str) -> Iterator[_Phrase]:
        """Yield the phrases whose first word stands for this one."""
        yield from self._whole.get(word, ())
        for length, phrases in self._starts.items():
            yield from phrases.get(word[:length], ())
        for length, phrases in self._ends.items():
            yield from phrases.get(word[-length:], ())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _words(phrase: str) -> tuple[_Word, ...]:
    if (problem := wrong(phrase)) is not None:
        raise ValueError(problem)
    found = []
    for word in _PATTERN.findall(_plain(phrase)):
        where: _Where = "end" if word.startswith("*") else "start" if word.endswith("*") else "whole"
        found.append(_Word(word.strip("*"), where))
    return tuple(found)


def _goes_on(phrase: tuple[_Word, ...], words: Sequence[str], at: int) -> bool:
    """Return whether the words behind the first one of a phrase stand behind place `at`."""
    behind = words[at + 1 : at + len(phrase)]
    return len(behind) == len(phrase) - 1 and all(one.is_in(word) for one, word in zip(phrase[1:], behind, strict=True))


def _signals(keywords: Keywords, text: str) -> Answer:
    found = keywords.found(text)

    def said(group: str) -> dict[str, Any]:
        rule = found.get(group)
        return {"score": 0.0, "tag": NOTHING} if rule is None else {"score": rule.score, "tag": rule.label}

    return {"signals": {group: said(group) for group in keywords.groups}}


def _label(keywords: Keywords, text: str) -> Answer:
    """Answer with the label whose phrases occur most often, of several the first; of none that of the first rule without phrases.

    Where there is no such rule either, the first label is given and the answer abstains.
    """
    hits = _by_label(keywords, text)
    if hits:
        return {"label": max(hits, key=hits.__getitem__), "scores": {}}
    otherwise = next((rule.label for rule in keywords.rules if not rule.phrases), None)
    if otherwise is None:
        return {"label": keywords.rules[0].label, "scores": {}, "abstained": True}
    return {"label": otherwise, "scores": {}}


def _labels(keywords: Keywords, text: str) -> Answer:
    return {"labels": sorted(_by_label(keywords, text)), "scores": {}}


def _by_label(keywords: Keywords, text: str) -> dict[str, int]:
    """Return how often phrases of each label occur, in the order of the rules."""
    hits = keywords.hits(text)
    found: dict[str, int] = {}
    for number in sorted(hits):
        label = keywords.rules[number].label
        found[label] = found.get(label, 0) + hits[number]
    return found


_ANSWERS: Mapping[str, Callable[[Keywords, str], Answer]] = {
    "signals": _signals, "classification": _label, "multilabel": _labels,
}  # fmt: skip
"""By kind of task, what keywords answer to a text."""

"""Templates become text with entity spans: slots are filled from one story's cast, and offsets are kept as code points."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from config.kinds.ner.models import Span
from daemon.demo.names import AFTER, BEFORE, MAKERS, TYPES, Names, short_form

_SLOT = re.compile(r"\{(?P<label>[A-Z_]+?)(?P<number>\d?)(?P<short>~?)\}|\{subject\}")


@dataclass(slots=True)
class Cast:
    """The names of one story: a slot that comes again gets the same name."""

    rng: random.Random
    subject: str
    new_share: float
    """How many of the names are new ones, 0..1."""
    _names: dict[str, str] = field(default_factory=dict)

    def name(self, label: str, number: str, *, short: bool) -> str:
        """Return the name in a slot; the short form only where the full name has been met."""
        key = f"{label}{number}"
        met = key in self._names
        # Dates, sums and shares are new at every mention; who and where stay the same within a story.
        if not met or TYPES[label] in {"DATE", "MONEY", "PERCENT"}:
            names: Names = AFTER if self.rng.random() < self.new_share else BEFORE
            self._names[key] = MAKERS[label](names, self.rng)
        return short_form(label, self._names[key]) if short and (met or label == "ORG") else self._names[key]


def realise(templates: list[str], cast: Cast) -> tuple[list[str], list[list[Span]]]:
    """Return the sentences and, for each, the spans of its names (offsets into the sentence)."""
    texts, spans = [], []
    for template in templates:
        text, found = _fill(template, cast)
        texts.append(text)
        spans.append(found)
    return texts, spans


def join(sentences: list[str], spans: list[list[Span]], separator: str, offset: int = 0) -> tuple[str, list[Span]]:
    """Return the sentences joined, and their spans moved to their places (the first sentence starts at `offset`)."""
    moved: list[Span] = []
    place = offset
    for sentence, found in zip(sentences, spans, strict=True):
        moved.extend(Span(start=span.start + place, end=span.end + place, label=span.label) for span in found)
        place += len(sentence) + len(separator)
    return separator.join(sentences), moved


def _fill(template: str, cast: Cast) -> tuple[str, list[Span]]:
    pieces: list[str] = []
    spans: list[Span] = []
    length = end = 0
    for slot in _SLOT.finditer(template):
        before = template[end : slot.start()]
        end = slot.end()
        length += len(before)
        label = slot["label"]
        filled = cast.subject if label is None else cast.name(label, slot["number"], short=bool(slot["short"]))
        if label is not None:
            spans.append(Span(start=length, end=length + len(filled), label=TYPES[label]))
        pieces += [before, filled]
        length += len(filled)
    text = "".join([*pieces, template[end:]])
    # The capital letter at the start changes no length: no name here begins with a letter whose capital is two.
    return text[0].upper() + text[1:], spans

"""Rows with code-point spans become spaCy training examples: spans are laid on tokens, and what is unknown stays unknown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example as SpacyExample

from trainers.task import Example
from trainers.tasks.alignment import Tokens, TokenSpan, lay

PIECE_CHARS = 10_000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row laid on the tokens of its text."""

    text: str
    words: int
    weight: float
    entities: tuple[TokenSpan, ...]
    unknown: tuple[tuple[int, int], ...]
    """Token ranges whose annotation cannot be used; the loss leaves them out."""
    partial: bool
    """Only `entities` are known; every other token is left out of the loss."""

    def example(self, nlp: Language) -> SpacyExample:
        """Return spaCy's pair of a bare and an annotated document, made anew so that memory holds one batch at a time."""
        predicted = nlp.make_doc(self.text)
        reference = predicted.copy()
        entities = [Span(reference, start, end, label=label) for start, end, label in self.entities]
        unknown = [Span(reference, start, end) for start, end in self.unknown]
        reference.set_ents(entities, missing=unknown, default="missing" if self.partial else "outside")
        return SpacyExample(predicted, reference)


@dataclass(slots=True)
class AlignmentReport:
    """What became of the spans; nothing is dropped without being counted here."""

    exact: int = 0
    expanded: int = 0
    """Began or ended inside a token and were widened to its borders."""
    skipped: int = 0
    """Could not be laid on tokens (only whitespace, or another span already holds the token); their tokens count as unknown."""
    not_yet_learnt: int = 0
    """Carry a type that too few rows have; their tokens count as unknown."""
    empty_rows: int = 0
    """Texts without a token; not learnt from."""

    def __str__(self) -> str:
        parts = [
            f"{self.expanded} spans widened to token borders" if self.expanded else "",
            f"{self.skipped} spans skipped (no token of their own)" if self.skipped else "",
            f"{self.not_yet_learnt} spans of types with too few rows left unknown" if self.not_yet_learnt else "",
            f"{self.empty_rows} rows without a word skipped" if self.empty_rows else "",
        ]
        return "; ".join(part for part in parts if part)


def readable(text: str) -> str:
    """Return the text with lone surrogates replaced, which spaCy cannot encode; every offset stays valid."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def pieces(text: str, spans: Sequence[Mapping[str, Any]] = (), *, longest: int = PIECE_CHARS) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of parts of a long text, cut where a paragraph, line or word ends and never inside one of `spans`.

    spaCy needs some 2.5 KB of memory per character while it works; parts bound that, and entities do not reach across them.
    """
    start = 0
    while len(text) - start > longest:
        ends = (text.rfind(mark, start + longest // 2, start + longest) + len(mark) for mark in ("\n\n", "\n", " "))
        end = next((end for end in ends if end > start + longest // 2), start + longest)
        around = next((span for span in spans if span["start"] < end < span["end"]), None)
        if around is not None:
            end = around["start"] if around["start"] > start else around["end"]
        yield start, end
        start = end
    yield start, len(text)


def learnable_types(rows: Iterable[Example], *, known: Collection[str], open_set: bool, min_rows: int) -> list[str]:
    """Return the entity types to learn, sorted: the known ones and, in an open task, those that `min_rows` rows carry."""
    carried = Counter(label for row in rows for label in {span["label"] for span in row.target["spans"]})
    joined = {label for label, count in carried.items() if count >= min_rows} if open_set else set()
    return sorted(joined.union(known))


def lay_on_tokens(nlp: Language, rows: Sequence[Example], types: Collection[str]) -> tuple[list[TokenRow], AlignmentReport]:
    """Return the rows that have a word, laid on tokens and long ones in pieces, and what became of their spans."""
    report = AlignmentReport()
    laid = []
    for row in rows:
        text, spans = readable(row.text), row.target["spans"]
        if not text.strip():
            report.empty_rows += 1
            continue
        for start, end in pieces(text, spans):
            inside = [
                {"start": span["start"] - start, "end": span["end"] - start, "label": span["label"]}
                for span in spans
                if start <= span["start"] < end
            ]
            part = Example(row.example_id, text[start:end], {**row.target, "spans": inside}, row.weight)
            laid.append(_lay(nlp.make_doc(part.text), part, types, report))
    return laid, report


def tokens_of(nlp: Language, text: str) -> Tokens:
    """Return the tokens of a text as a pipeline reads it, long ones in pieces."""
    borders = []
    for start, end in pieces(readable(text)):
        doc = nlp.make_doc(readable(text[start:end]))
        borders += [(start + token.idx, start + token.idx + len(token)) for token in doc]
    return Tokens.of(borders)


def _lay(doc: Doc, row: Example, types: Collection[str], report: AlignmentReport) -> TokenRow:
    laid = lay(doc.text, row.target["spans"], Tokens.of([(token.idx, token.idx + len(token)) for token in doc]))
    learnt = tuple(entity for entity in laid.entities if entity[2] in types)
    not_yet = [(first, after) for first, after, label in laid.entities if label not in types]
    report.exact += laid.exact
    report.expanded += laid.expanded
    report.skipped += laid.skipped
    report.not_yet_learnt += len(not_yet)
    return TokenRow(
        text=doc.text,
        words=len(doc),
        weight=row.weight,
        entities=learnt,
        unknown=tuple(sorted([*((at, at + 1) for at in laid.unknown), *not_yet])),
        partial=bool(row.target.get("partial", False)),
    )

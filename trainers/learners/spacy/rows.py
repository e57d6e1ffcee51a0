"""Rows with code-point spans become spaCy training examples: spans are laid on tokens, and what is unknown stays unknown."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import structlog
from numpy.typing import NDArray
from spacy.attrs import NORM, ORTH, SPACY
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example as SpacyExample

from config.tasks import TaskSpec
from config.text_budget import budget_s
from config.words import named
from perennial_artifact.pieces import pieces, readable
from trainers.learners.entities.alignment import Tokens, TokenSpan, lay
from trainers.learners.label_set import joining
from trainers.learners.protocols import Example

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row laid on the tokens of its text."""

    text: str
    words: int
    tokens: NDArray[np.uint64]
    """What makes the document again without reading the text a second time: a line per token, its columns ORTH, SPACY, NORM."""
    weight: float
    entities: tuple[TokenSpan, ...]
    unknown: tuple[tuple[int, int], ...]
    """Token ranges whose annotation cannot be used; the loss leaves them out."""
    partial: bool
    """Only `entities` are known; every other token is left out of the loss."""
    is_new: bool = True
    """Whether the champion has not learnt from it."""
    scope: frozenset[str] | None = None
    """The types that whoever marked the text knew; None: all."""

    def example(self, nlp: Language) -> SpacyExample:
        """Return spaCy's pair of a bare and an annotated document, made anew so that memory holds one batch at a time."""
        # Whole numbers are the words' keys in the vocabulary that read them, which is this one.
        words, spaces = self.tokens[:, 0].tolist(), self.tokens[:, 1].astype(bool).tolist()
        predicted = Doc(nlp.vocab, words=words, spaces=spaces)
        predicted.from_array([NORM], cast("Any", self.tokens[:, 2:]))
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
    """Carry a type that has not joined the model; their tokens count as unknown."""
    empty_rows: int = 0
    """Texts without a token; not learnt from."""
    over_time: list[str] = field(default_factory=list)
    """Ids of the examples whose text took longer than its time; not learnt from."""

    def __str__(self) -> str:
        parts = [
            f"{self.expanded} spans widened to token borders" if self.expanded else "",
            f"{self.skipped} spans skipped (no token of their own)" if self.skipped else "",
            f"{self.not_yet_learnt} spans of types that have not joined left unknown" if self.not_yet_learnt else "",
            f"{self.empty_rows} rows without a word skipped" if self.empty_rows else "",
            f"{len(self.over_time)} rows left out, whose text took too long to read: {named(list(map(repr, self.over_time)))}"
            if self.over_time
            else "",
        ]
        return "; ".join(part for part in parts if part)


def learnable_types(
    spec: TaskSpec, rows: Iterable[Example], *, known: Collection[str], waiting: Collection[str] = ()
) -> list[str]:
    """Return the entity types to learn, sorted: the known ones and, in an open task, those that join, none that is `waiting`."""
    if spec.labels != "open":
        return sorted(known)
    carried = Counter(label for row in rows for label in {span["label"] for span in row.target["spans"]}.difference(waiting))
    return sorted({*known, *joining(spec, carried, known=known)})


def lay_on_tokens(
    nlp: Language,
    rows: Sequence[Example],
    types: Collection[str],
    *,
    text_time_s: float = float("inf"),
    report: Callable[[int], None] = lambda _rows: None,
    elapsed: Callable[[], float] = time.thread_time,
) -> tuple[list[TokenRow], AlignmentReport]:
    """Return the rows that have a word, laid on tokens and long ones in pieces, and what became of their spans.

    A row whose text takes longer than its time (`text_time_s` for 10,000 characters) is left out as a whole. `report` is told
    after each row how many are done.
    """
    found = AlignmentReport()
    laid: list[TokenRow] = []
    for done, row in enumerate(rows, start=1):
        if not row.text.strip():
            found.empty_rows += 1
            continue
        counted = replace(found)
        limit_s = budget_s(text_time_s, len(row.text))
        parts = list(_laid_in_time(nlp, row, types, counted, elapsed=elapsed, limit_s=limit_s))
        if parts[-1] is None:
            found.over_time.append(row.example_id)
            _LOG.warning(
                "text_over_time", example_id=row.example_id, chars=len(row.text), text_time_s=text_time_s,
                next="the row is left out of this run; the others are learnt",
            )  # fmt: skip
        else:
            found = counted
            laid += cast("list[TokenRow]", parts)
        report(done)
    return laid, found


def _laid_in_time(
    nlp: Language,
    row: Example,
    types: Collection[str],
    found: AlignmentReport,
    *,
    elapsed: Callable[[], float],
    limit_s: float,
) -> Iterator[TokenRow | None]:
    """Yield the pieces of a row, and None as the last one when its time is over."""
    text, spans = readable(row.text), row.target["spans"]
    began = elapsed()
    for start, end in pieces(text, spans):
        inside = [
            {"start": span["start"] - start, "end": span["end"] - start, "label": span["label"]}
            for span in spans
            if start <= span["start"] < end
        ]
        part = replace(row, text=text[start:end], target={**row.target, "spans": inside})
        yield _lay(nlp.make_doc(part.text), part, types, found)
        if elapsed() - began > limit_s:
            yield None
            return


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
        tokens=cast("NDArray[np.uint64]", doc.to_array([ORTH, SPACY, NORM])),  # its annotation says floats
        weight=row.weight,
        entities=learnt,
        unknown=tuple(sorted([*((at, at + 1) for at in laid.unknown), *not_yet])),
        partial=bool(row.target.get("partial", False)),
        is_new=row.is_new,
        scope=row.scope,
    )

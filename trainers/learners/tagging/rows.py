"""Rows with code-point spans become windows of tokens, each with the tags that may stand at its words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from perennial_artifact.labels import LabelSet
from perennial_artifact.pieces import pieces
from perennial_artifact.tagging import tags
from perennial_artifact.tagging.entities import PIECE_CHARS
from perennial_artifact.tagging.windows import Reading, read
from trainers.learners.entities.alignment import Laid, Tokens, TokenSpan, lay
from trainers.learners.protocols import Example
from trainers.learners.tagging.tagger import Tagger

NOT_SAID = -100
"""In place of a tag: no word begins here, its annotation cannot be used, or another window reads it better."""
_TEXTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Window:
    """What one window teaches."""

    input_ids: Sequence[int]
    tags: Sequence[int]
    """Of each token the tag of the word that begins there, or `NOT_SAID`."""
    silent_on: Sequence[int]
    """Tags of types outside the row's scope: any of them may be right where the tag says that nothing was marked."""
    weight: float


@dataclass(frozen=True, slots=True)
class TaggedRow:
    """One row, read."""

    windows: Sequence[Window]
    entities: Sequence[TokenSpan]
    example: Example
    """What was read."""

    @property
    def is_new(self) -> bool:
        """Whether the champion has not learnt from it."""
        return self.example.is_new


@dataclass(slots=True)
class Report:
    """What became of rows and spans; nothing is left out without being counted here."""

    expanded: int = 0
    """Began or ended inside a word and were widened to its borders."""
    skipped: int = 0
    """Could not be laid on words (only white space, or another span already holds the word)."""
    not_yet_learnt: int = 0
    """Carry a type that has not joined the model; their words count as unknown."""
    silent_rows: int = 0
    """Texts without a word, and partial targets without a span; not learnt from."""

    def __str__(self) -> str:
        parts = [
            f"{self.expanded} spans widened to word borders" if self.expanded else "",
            f"{self.skipped} spans skipped (no word of their own)" if self.skipped else "",
            f"{self.not_yet_learnt} spans of types that have not joined left unknown" if self.not_yet_learnt else "",
            f"{self.silent_rows} rows that say nothing of any word skipped" if self.silent_rows else "",
        ]
        return "; ".join(part for part in parts if part)


def tagged(
    tagger: Tagger,
    rows: Sequence[Example],
    labels: LabelSet,
    *,
    learnt_before: Collection[str] = (),
    report: Callable[[int], None] = lambda _rows: None,
) -> tuple[list[TaggedRow], Report]:
    """Return the rows that weigh something and have a word, and what became of their spans.

    A row's scope leaves out only types that some row carries or that were `learnt_before`: one that nothing teaches would be
    answered at random if nothing spoke against it either. `report` is told now and then how many are done.
    """
    found = Report()
    learnt = [row for row in rows if row.weight > 0]
    taught = {*learnt_before, *(span["label"] for row in learnt for span in row.target["spans"])} & labels.seen
    done: list[TaggedRow] = []
    for start in range(0, len(learnt), _TEXTS_AT_ONCE):
        batch = learnt[start : start + _TEXTS_AT_ONCE]
        cut = [pieces(row.text, row.target["spans"], longest=PIECE_CHARS) for row in batch]
        parts = [(at, begin, end) for at, borders in enumerate(cut) for begin, end in borders]
        texts = [batch[at].text[begin:end] for at, begin, end in parts]
        readings = read(tagger.tokenizer, texts, max_tokens=tagger.max_tokens)
        windows: list[list[Window]] = [[] for _row in batch]
        entities: list[list[TokenSpan]] = [[] for _row in batch]
        for (at, begin, end), reading in zip(parts, readings, strict=True):
            row = batch[at]
            laid = lay(row.text[begin:end], _inside(row, begin, end), Tokens.of(reading.words))
            learnt_here = [entity for entity in laid.entities if entity[2] in labels.seen]
            entities[at] += learnt_here
            windows[at] += _windows(reading, row, laid, labels, taught)
            found.expanded += laid.expanded
            found.skipped += laid.skipped
            found.not_yet_learnt += len(laid.entities) - len(learnt_here)
        found.silent_rows += windows.count([])
        laid_rows = zip(windows, entities, batch, strict=True)
        done += (TaggedRow(taught_by, found_in, row) for taught_by, found_in, row in laid_rows if taught_by)
        report(start + len(batch))
    return done, found


def targets(windows: Sequence[Window], count: int) -> Tensor:
    """Return which tags may stand at each token: booleans of shape (windows, longest window, `count` tags), none where unsaid."""
    longest = max(len(window.input_ids) for window in windows)
    may = torch.zeros((len(windows), longest, count), dtype=torch.bool)
    for at, window in enumerate(windows):
        said = torch.tensor(window.tags)
        places = (said != NOT_SAID).nonzero()[:, 0]
        may[at, places, said[places]] = True
        if window.silent_on:
            silent = (said == tags.OUTSIDE).nonzero()
            may[at, silent, torch.tensor(window.silent_on)] = True
    return may


def _inside(row: Example, begin: int, end: int) -> list[dict[str, Any]]:
    return [
        {"start": span["start"] - begin, "end": span["end"] - begin, "label": span["label"]}
        for span in row.target["spans"]
        if begin <= span["start"] < end
    ]


def _windows(reading: Reading, row: Example, laid: Laid, labels: LabelSet, taught: set[str]) -> list[Window]:
    partial = bool(row.target.get("partial", False))
    of_words = [NOT_SAID if partial else tags.OUTSIDE] * len(reading.words)
    for word in laid.unknown:
        of_words[word] = NOT_SAID
    for first, after, label in laid.entities:
        begins = tags.begins(labels.ids[label]) if label in labels.seen else None
        for word in range(first, after):
            of_words[word] = NOT_SAID if begins is None else begins + (word > first)
    outside = taught - row.scope if row.scope is not None else set()
    silent_on = tags.of_types(sorted(labels.ids[label] for label in outside))
    of_tokens = [[NOT_SAID] * len(ids) for ids in reading.windows]
    for tag, (window, place) in zip(of_words, reading.places, strict=True):
        of_tokens[window][place] = tag
    return [
        Window(ids, said, silent_on, row.weight)
        for ids, said in zip(reading.windows, of_tokens, strict=True)
        if any(tag != NOT_SAID for tag in said)
    ]

"""spaCy's own files (DocBin): a folder for each side, as `spacy train` takes them, with some thousand texts a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.formats.layouts.recognise import PARTIAL
from consumers.formats.written.columns import schema_of, values_of
from consumers.training_set.labelled import LabelledRow

if TYPE_CHECKING:
    from spacy.tokens import Doc, DocBin
    from spacy.vocab import Vocab

_KEYS = ("label", "labels", "spans")
TEXTS_PER_FILE = 5_000
_TOKEN = re.compile(r"\w+|[^\w\s]|\s+")


def holds(task: TaskSpec) -> bool:
    """Return whether spaCy has a place for what a task's targets say: labels of texts, or entities."""
    return kinds.get(task.kind).key in _KEYS


def write_folder(folder: Path, task: TaskSpec, rows: Iterable[LabelledRow], labels: Sequence[str]) -> None:
    """Write `SIDE/00000.spacy` and so on into a folder; each text has all `labels` as categories, or its entities.

    What else is known of a row stands in the `user_data` of its text. Raises OSError.
    """
    from spacy.tokens import DocBin  # noqa: PLC0415 - heavy
    from spacy.vocab import Vocab  # noqa: PLC0415 - heavy

    schema = schema_of(task)
    facts = [name for name in schema.names if name not in ("text", "time", *_KEYS)]
    open_bins: dict[str, DocBin] = {}
    written: dict[str, int] = {}

    def close(side: str) -> None:
        (folder / side).mkdir(exist_ok=True)
        (folder / side / f"{written.get(side, 0):05d}.spacy").write_bytes(open_bins.pop(side).to_bytes())
        written[side] = written.get(side, 0) + 1

    vocab = Vocab()
    for row in rows:
        said = values_of(row, schema)
        document = _with_entities(vocab, row) if "spans" in row.target else _with_categories(vocab, row, labels)
        document.user_data = {name: said[name] for name in facts if said[name] is not None} | {"time": row.time.isoformat()}
        found = open_bins.setdefault(row.side, DocBin(store_user_data=True))
        found.add(document)
        if len(found) == TEXTS_PER_FILE:
            close(row.side)
            vocab = Vocab()  # it keeps each word that it has seen
    for side in list(open_bins):
        close(side)


def _with_categories(vocab: Vocab, row: LabelledRow, labels: Sequence[str]) -> Doc:
    document = _document(vocab, row.text, frozenset(), frozenset())
    holding = {row.target["label"]} if "label" in row.target else set(row.target["labels"])
    document.cats = {name: float(name in holding) for name in labels}
    return document


def _with_entities(vocab: Vocab, row: LabelledRow) -> Doc:
    spans = row.target["spans"]
    document = _document(vocab, row.text, frozenset(span["start"] for span in spans), frozenset(span["end"] for span in spans))
    found = [document.char_span(span["start"], span["end"], label=span["label"]) for span in spans]
    document.set_ents([span for span in found if span], default="missing" if row.target.get(PARTIAL) else "outside")
    return document


def _document(vocab: Vocab, text: str, starts: frozenset[int], ends: frozenset[int]) -> Doc:
    """Return a text in tokens that begin and end where its entities do, and put together give every character of it.

    Not spaCy's own tokens: it needs seconds for some texts, and a pipeline lays its own over these when it is trained.
    """
    from spacy.tokens import Doc  # noqa: PLC0415 - heavy

    edges = sorted({0, len(text), *starts, *ends, *(found.end() for found in _TOKEN.finditer(text))})
    words: list[str] = []
    spaces: list[bool] = []
    for start, end in pairwise(edges):
        piece = text[start:end]
        if piece == " " and words and not spaces[-1] and start not in starts and end not in ends:
            spaces[-1] = True
        else:
            words.append(piece)
            spaces.append(False)
    return Doc(vocab, words=words, spaces=spaces)

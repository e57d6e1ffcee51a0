"""Entity recognition with spaCy: the answers of a published pipeline, as serving gives them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.pipeline import EntityRecognizer
from spacy.tokens import Doc

from perennial_client.errors import ModelError
from perennial_client.loading import Answer
from perennial_client.spacy_layers import unknown_part
from perennial_client.tokens import make_linear

_META_KEY = "perennial"
_PIECE_CHARS = 10_000
_PORTION_CHARS = 50_000


class Entities:
    """A loaded pipeline."""

    def __init__(self, folder: Path) -> None:
        unknown = unknown_part(spacy.util.load_config(folder / "config.cfg"))
        if unknown is not None:
            what = f"it is not opened: {unknown}"
            raise ModelError(what, f"model {folder}", "publish another version, or roll back")
        self._nlp = make_linear(spacy.load(folder))
        types = self._nlp.meta.get(_META_KEY, {}).get("types")
        self._types = None if types is None else frozenset(types)
        self._disable = _without_influence(self._nlp)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return `{"spans": [{"start", "end", "label"}]}` per text, offsets in code points, in order of the text."""
        spans: list[list[dict[str, Any]]] = [[] for _text in texts]
        for portion in _portions(texts):
            # Without it spaCy keeps every new word for ever.
            with self._nlp.memory_zone():
                docs = self._nlp.pipe((text for _at, _offset, text in portion), disable=self._disable, batch_size=len(portion))
                for (at, offset, _text), doc in zip(portion, docs, strict=True):
                    spans[at] += _spans(doc, offset, self._types)
        return [{"spans": found} for found in spans]


def _spans(doc: Doc, offset: int, types: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the entities of a document that are of `types` (None: of any), without the white space around them."""
    for entity in doc.ents:
        inner = entity.text.strip()
        start = entity.start_char + len(entity.text) - len(entity.text.lstrip())
        if inner and (types is None or entity.label_ in types):
            yield {"start": offset + start, "end": offset + start + len(inner), "label": entity.label_}


def _portions(texts: Sequence[str]) -> Iterator[list[tuple[int, int, str]]]:
    """Yield (number of the text, offset in it, piece) in portions of bounded size."""
    portion: list[tuple[int, int, str]] = []
    chars = 0
    for at, text in enumerate(texts):
        for start, end in _pieces(text):
            portion.append((at, start, text[start:end]))
            chars += end - start
            if chars >= _PORTION_CHARS:
                yield portion
                portion, chars = [], 0
    if portion:
        yield portion


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of parts of a long text, cut where a paragraph, line or word ends."""
    start = 0
    while len(text) - start > _PIECE_CHARS:
        least, most = start + _PIECE_CHARS // 2, start + _PIECE_CHARS
        ends = (text.rfind(mark, least, most) + len(mark) for mark in ("\n\n", "\n", " "))
        end = next((end for end in ends if end > least), most)
        yield start, end
        start = end
    yield start, len(text)


def _without_influence(nlp: Language) -> list[str]:
    """Return the pipes that entities do not depend on; none when a later pipe changes entities by rules of its own."""
    recogniser = next((pipe for _name, pipe in nlp.pipeline if isinstance(pipe, EntityRecognizer)), None)
    setters = [name for name in nlp.pipe_names if "doc.ents" in nlp.get_pipe_meta(name).assigns]
    if recogniser is None or setters != [recogniser.name]:
        return []
    sources = {name for name, pipe in nlp.pipeline if recogniser.name in getattr(pipe, "listening_components", ())}
    return [name for name in nlp.pipe_names if name not in {recogniser.name, *sources}]

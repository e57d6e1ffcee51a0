"""Entities found by a spaCy pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import spacy
from spacy.language import Language
from spacy.pipeline import EntityRecognizer
from spacy.tokens import Doc

from perennial_artifact.compute import Compute
from perennial_artifact.description import Description
from perennial_artifact.errors import UnusableError
from perennial_artifact.pieces import PIECE_CHARS, holds_a_word, joined, pieces, portions, readable, without_outer_space
from perennial_artifact.predictor import Answer
from perennial_artifact.spacy.layers import has_curated, unknown_part
from perennial_artifact.spacy.tokens import make_linear

FORMAT = "spacy-ner"


class Entities:
    """A loaded pipeline. Memory that a call takes is given back at its end."""

    may_be_curated: ClassVar[bool] = False
    """Whether it may have a transformer of `spacy-curated-transformers`."""

    def __init__(self, nlp: Language, types: Collection[str] | None, *, piece_chars: int = PIECE_CHARS) -> None:
        """Answer with `nlp`, keeping only entities of `types` (None: all), and reading long texts in pieces."""
        self._nlp = nlp
        self._piece_chars = piece_chars
        self._types = None if types is None else frozenset(types)
        self._disable = _without_influence(nlp)
        self._needs_a_word = has_curated(nlp.config)

    @classmethod
    def open(cls, folder: Path, description: Description, compute: Compute) -> Self:  # noqa: ARG003 - spaCy runs on the CPU
        """Return the pipeline in `folder`. Raises `UnusableError` when it cannot be read, or is built of unknown parts."""
        try:
            # Looked at before any of it is built.
            unknown = unknown_part(spacy.util.load_config(folder / "config.cfg"), curated=cls.may_be_curated)
            nlp = make_linear(cls.read(folder)) if unknown is None else None
        except Exception as error:  # a damaged folder fails in msgpack, JSON, config, numpy or thinc
            message = (
                f"the spaCy pipeline {folder} cannot be loaded ({type(error).__name__}: {error}); check that it is complete "
                "and fits this spaCy version"
            )
            raise UnusableError(message) from error
        if nlp is None:
            message = f"the spaCy pipeline {folder} is not opened: {unknown}"
            raise UnusableError(message)
        return cls(nlp, description.labels or None, piece_chars=description.input.piece_chars or PIECE_CHARS)

    @staticmethod
    def read(folder: Path) -> Language:
        """Return the pipeline in `folder`, whose configuration is known. Raises whatever a broken one raises."""
        return spacy.load(folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity types this model may answer with, sorted."""
        return tuple(sorted(label for label in types_of(self._nlp) if self._types is None or label in self._types))

    def divide(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the parts of a text that can be answered one by one; `join` puts their answers together."""
        return list(pieces(text, longest=self._piece_chars))

    def join(self, starts: Sequence[int], answers: Sequence[Answer]) -> Answer:
        """Return the answer to a text from those to its parts, which begin at `starts`."""
        return joined(starts, answers)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return `{"spans": [{"start", "end", "label"}]}` per text, offsets in code points, in order of the text."""
        spans: list[list[dict[str, Any]]] = [[] for _text in texts]
        for every in portions([readable(text) for text in texts], longest=self._piece_chars):
            portion = [one for one in every if not self._needs_a_word or holds_a_word(one[2])]
            # Without it spaCy keeps every new word for ever.
            with self._nlp.memory_zone():
                docs = self._nlp.pipe((text for _at, _offset, text in portion), disable=self._disable, batch_size=len(portion))
                for (at, offset, _text), doc in zip(portion, docs, strict=True):
                    spans[at] += _spans(doc, offset, self._types)
        return [{"spans": found} for found in spans]

    def borders_of(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the tokens of a text, in code points."""
        return borders_of(self._nlp, text)


def borders_of(nlp: Language, text: str) -> list[tuple[int, int]]:
    """Return (start, end) of the tokens of a text as a pipeline reads it, long ones in pieces."""
    borders = []
    for start, end in pieces(readable(text)):
        doc = nlp.make_doc(readable(text[start:end]))
        borders += [(start + token.idx, start + token.idx + len(token)) for token in doc]
    return borders


def recogniser_of(nlp: Language) -> EntityRecognizer | None:
    """Return the pipeline's entity recogniser, if it has one."""
    return next((pipe for _name, pipe in nlp.pipeline if isinstance(pipe, EntityRecognizer)), None)


def types_of(nlp: Language) -> tuple[str, ...]:
    """Return the entity types that the pipeline's recogniser knows."""
    recogniser = recogniser_of(nlp)
    return () if recogniser is None else tuple(recogniser.labels)


def vector_sources(nlp: Language, recogniser: EntityRecognizer) -> list[str]:
    """Return the pipes whose token vectors the recogniser listens to."""
    return [name for name, pipe in nlp.pipeline if recogniser.name in getattr(pipe, "listening_components", ())]


def _spans(doc: Doc, offset: int, types: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the entities of a document that are of `types` (None: of any), without the white space around them."""
    for entity in doc.ents:
        start, end = without_outer_space(doc.text, entity.start_char, entity.end_char)
        if start < end and (types is None or entity.label_ in types):
            yield {"start": offset + start, "end": offset + end, "label": entity.label_}


def _without_influence(nlp: Language) -> list[str]:
    """Return the pipes that entities do not depend on; none when a later pipe changes entities by its own rules."""
    recogniser = recogniser_of(nlp)
    setters = [name for name in nlp.pipe_names if "doc.ents" in nlp.get_pipe_meta(name).assigns]
    if recogniser is None or setters != [recogniser.name]:
        return []
    needed = {recogniser.name, *vector_sources(nlp, recogniser)}
    return [name for name in nlp.pipe_names if name not in needed]

"""Further blocks of features of a text, beside what an encoder makes of it. Nothing here loads a model library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import HashingVectorizer

from perennial_artifact.durable import write_atomic
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, decode, inert
from perennial_artifact.sentence.head import Features, Matrix
from perennial_artifact.sentence.layout import HEAD_FOLDER

BLOCKS_FILE = f"{HEAD_FOLDER}/blocks.json"
"""Beside the head, because it says what the head reads; the encoder's files are those of a classifier without blocks."""
NAMES = ("base", "ngrams")
"""In the order in which a head reads them, behind the encoder's features."""
_FORMAT_VERSION = 1
_MOST_COLUMNS = 1 << 20
_MOST_WORDS = 5


@dataclass(frozen=True)
class Base:
    """What the base model as it came makes of a text: the features of a second encoder, in `layout.BASE_FOLDER`."""

    columns: int


@dataclass(frozen=True)
class Ngrams:
    """Runs of words, hashed into columns (Weinberger et al. 2009): a sparse vector of length 1 for each text."""

    columns: int = 1 << 15
    shortest: int = 1
    longest: int = 2
    """Words in a run."""
    characters: int = 20_000
    """What is read of a text: one of any length takes a bounded time."""

    def of(self, texts: Sequence[str]) -> csr_array:
        """Return float32, shape (texts, columns); a text without a word is a row of zeros."""
        return csr_array(self._vectorizer.transform([text[: self.characters] for text in texts]))

    @cached_property
    def _vectorizer(self) -> HashingVectorizer:
        runs = (self.shortest, self.longest)
        return HashingVectorizer(ngram_range=runs, n_features=self.columns, norm="l2", dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a head reads behind an encoder's features: at least one block. Safe for threads."""

    base: Base | None = None
    ngrams: Ngrams | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks that are there, in the order in which a head reads them."""
        return tuple(name for name in NAMES if getattr(self, name) is not None)

    def join(self, features: Features, texts: Sequence[str]) -> Matrix:
        """Return what the head reads of texts.

        `features`, shape (texts, features), is what the encoders make of them, the base model's behind the others; what is made
        of the words comes last, and then the result is sparse.
        """
        if self.ngrams is None:
            return features
        return hstack([csr_array(features), self.ngrams.of(texts)], format="csr", dtype=np.float32)

    def write(self, folder: Path) -> None:
        """Write `BLOCKS_FILE` into a model folder that has a head."""
        content = {"format_version": _FORMAT_VERSION} | {name: asdict(getattr(self, name)) for name in self.names}
        write_atomic(folder / BLOCKS_FILE, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> Blocks:
        """Return the blocks of a model folder. Raises `UnusableError` when they are missing, damaged or not known here."""
        try:
            return _blocks(decode((folder / BLOCKS_FILE).read_bytes()))
        except (OSError, *WRONG) as error:
            message = f"the feature blocks in {folder} cannot be read ({type(error).__name__}: {inert(error)[:200]})"
            raise UnusableError(message) from error


def named(names: Sequence[str], *, base_columns: int | None) -> Blocks | None:
    """Return the blocks of a task that asks for them by name; None where there is none.

    `base_columns` is the number of the base model's features; None: its block is left out. Raises `UnusableError`.
    """
    if unknown := sorted(set(names) - set(NAMES)):
        message = f"feature block {inert(unknown[0])[:80]!r} is not known here (known are {', '.join(NAMES)})"
        raise UnusableError(message)
    base = Base(base_columns) if "base" in names and base_columns is not None else None
    ngrams = Ngrams() if "ngrams" in names else None
    return None if base is None and ngrams is None else Blocks(base, ngrams)


def _blocks(body: Mapping[str, Any]) -> Blocks:
    found = {name: body[name] for name in body if name != "format_version"}
    if body["format_version"] != _FORMAT_VERSION or not found or not found.keys() <= set(NAMES):
        message = (
            f"{BLOCKS_FILE} has format {inert(body['format_version'])[:80]} with blocks {inert(sorted(found))[:80]}; upgrade"
        )
        raise UnusableError(message)
    base = Base(**found["base"]) if "base" in found else None
    ngrams = Ngrams(**found["ngrams"]) if "ngrams" in found else None
    numbers = [*asdict(base).values()] if base else []
    numbers += asdict(ngrams).values() if ngrams else ()
    usable = all(type(number) is int and 0 < number <= _MOST_COLUMNS for number in numbers)
    if not usable or (ngrams and not ngrams.shortest <= ngrams.longest <= _MOST_WORDS):
        message = f"{BLOCKS_FILE} asks for blocks that are not made here: {inert(found)[:200]}"
        raise UnusableError(message)
    return Blocks(base, ngrams)

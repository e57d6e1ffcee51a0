"""A loaded model whose head reads a sentence encoder's features, whatever the head answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from perennial_artifact.compute import Compute, Used
from perennial_artifact.description import Description
from perennial_artifact.errors import UnusableError
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.encoder import SentenceEncoder
from perennial_artifact.sentence.head import Answers, Features
from perennial_artifact.sentence.layout import is_of_the_encoder


class Encodes(Protocol):
    """An encoder, or several side by side. Thread-safe."""

    @property
    def max_tokens(self) -> int:
        """Tokens that it reads of a text."""
        ...

    @property
    def used(self) -> Used:
        """What computes."""
        ...

    def features(self, texts: Sequence[str]) -> tuple[Features, list[bool]]:
        """Return features, float32, shape (texts, features), in order, and of each text whether it was cut."""
        ...


HeadT = TypeVar("HeadT", bound=Answers)


class SentenceModel(Generic[HeadT]):
    """A loaded encoder and its head. A subclass says how the head is read from a folder."""

    def __init__(self, encoder: Encodes, head: HeadT) -> None:
        self.encoder = encoder
        self.head = head

    @classmethod
    def open(cls, folder: Path, description: Description, compute: Compute) -> Self:
        """Return the model in `folder`. Raises `UnusableError` when it cannot be read."""
        head = cls._head(folder, description)
        return cls._fitting(folder, cls._encoder(folder, compute, max_tokens=description.input.max_tokens), head)

    @classmethod
    def open_after(cls, folder: Path, description: Description, *, before: Predictor, changed: Collection[str]) -> Self | None:
        """Return the model in `folder` on what `before` reads texts with; None where more than the head has changed."""
        same_encoder = not any(map(is_of_the_encoder, changed))
        if same_encoder and isinstance(before, cls) and before.encoder.max_tokens == description.input.max_tokens:
            return cls._fitting(folder, before.encoder, cls._head(folder, description))
        return None

    @property
    def used(self) -> Used:
        """What the encoder computes by."""
        return self.encoder.used

    @classmethod
    def _head(cls, folder: Path, description: Description) -> HeadT:
        """Return the head of a folder, which answers as its format says. Raises `UnusableError`."""
        raise NotImplementedError

    @classmethod
    def _reads(cls, head: HeadT) -> int:
        """Return how many features a head reads of the encoder."""
        return int(head.weight.shape[1])

    @classmethod
    def _encoder(cls, folder: Path, compute: Compute, *, max_tokens: int | None) -> Encodes:
        return SentenceEncoder.open(folder, compute, max_tokens=max_tokens)

    @classmethod
    def _fitting(cls, folder: Path, encoder: Encodes, head: HeadT) -> Self:
        width = encoder.features([""])[0].shape[1]
        if width != (reads := cls._reads(head)):
            message = f"the encoder in {folder} has {width} features, and its head reads {reads}"
            raise UnusableError(message)
        return cls(encoder, head)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the head's answer to each text, in order; `truncated`: the text is longer than the model reads.

        Raises `UnusableError` where the encoder computes no numbers.
        """
        if not texts:
            return []
        return self.head.answers(*self._read(texts))

    def _read(self, texts: Sequence[str]) -> tuple[Features, list[bool]]:
        """Return the features of texts, and of each whether it was cut. Raises `UnusableError` where they are not finite."""
        features, cut = self.encoder.features(texts)
        if not np.isfinite(features).all():
            message = f"the encoder ({self.used.name}) computes numbers that are not finite, so it answers nothing"
            raise UnusableError(message)
        return features, cut

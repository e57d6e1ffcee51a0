"""The label, or the labels, of a text: a sentence encoder's features, read by a linear head."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol, Self

from perennial_artifact.compute import Compute
from perennial_artifact.description import Description
from perennial_artifact.errors import UnusableError
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.encoder import SentenceEncoder
from perennial_artifact.sentence.head import Features, Head
from perennial_artifact.sentence.layout import WITH_THRESHOLDS, is_of_the_encoder


class Encodes(Protocol):
    """An encoder, or several side by side. Thread-safe."""

    @property
    def max_tokens(self) -> int:
        """Tokens that it reads of a text."""
        ...

    def features(self, texts: Sequence[str]) -> tuple[Features, list[bool]]:
        """Return features, float32, shape (texts, features), in order, and of each text whether it was cut."""
        ...


class SentenceClassifier:
    """A loaded classifier: answers limited to the labels that its training rows have shown."""

    def __init__(self, encoder: Encodes, head: Head) -> None:
        self.encoder = encoder
        self.head = head

    @classmethod
    def open(cls, folder: Path, description: Description, compute: Compute) -> Self:
        """Return the classifier in `folder`. Raises `UnusableError` when it cannot be read."""
        head = _head_of(folder, description)
        return cls._fitting(folder, cls._encoder(folder, compute, max_tokens=description.input.max_tokens), head)

    @classmethod
    def open_after(cls, folder: Path, description: Description, *, before: Predictor, changed: Collection[str]) -> Self | None:
        """Return the classifier in `folder` on what `before` reads texts with; None where more than the head has changed."""
        same_encoder = not any(map(is_of_the_encoder, changed))
        if same_encoder and isinstance(before, cls) and before.encoder.max_tokens == description.input.max_tokens:
            return cls._fitting(folder, before.encoder, _head_of(folder, description))
        return None

    @classmethod
    def _encoder(cls, folder: Path, compute: Compute, *, max_tokens: int | None) -> Encodes:
        return SentenceEncoder.open(folder, compute, max_tokens=max_tokens)

    @classmethod
    def _fitting(cls, folder: Path, encoder: Encodes, head: Head) -> Self:
        width = encoder.features([""])[0].shape[1]
        if width != head.weight.shape[1]:
            message = f"the encoder in {folder} has {width} features, and its head reads {head.weight.shape[1]}"
            raise UnusableError(message)
        return cls(encoder, head)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the head's answer to each text, in order; `truncated`: the text is longer than the model reads."""
        if not texts:
            return []
        return self.head.answers(*self.encoder.features(texts))


def _head_of(folder: Path, description: Description) -> Head:
    """Return the head of a folder, which answers as its format says. Raises `UnusableError`."""
    head = Head.read(folder)
    if (head.thresholds is not None) != (description.format in WITH_THRESHOLDS):
        has = "no thresholds" if head.thresholds is None else "thresholds"
        message = f"the head in {folder} has {has}, which does not fit format {description.format}"
        raise UnusableError(message)
    return head

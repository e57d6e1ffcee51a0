"""Numbers in named dimensions: a sentence encoder's features, read by a linear head."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

from perennial_artifact.compute import Compute
from perennial_artifact.description import Description
from perennial_artifact.errors import UnusableError
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.encoder import SentenceEncoder
from perennial_artifact.sentence.layout import is_of_the_encoder
from perennial_artifact.sentence.numbers import NumberHead


class SentenceRegressor:
    """A loaded regression."""

    def __init__(self, encoder: SentenceEncoder, head: NumberHead) -> None:
        self.encoder = encoder
        self.head = head

    @classmethod
    def open(cls, folder: Path, description: Description, compute: Compute) -> Self:
        """Return the regression in `folder`. Raises `UnusableError` when it cannot be read."""
        head = NumberHead.read(folder)
        return cls._fitting(folder, SentenceEncoder.open(folder, compute, max_tokens=description.input.max_tokens), head)

    @classmethod
    def open_after(cls, folder: Path, description: Description, *, before: Predictor, changed: Collection[str]) -> Self | None:
        """Return the regression in `folder` on the encoder of `before`; None where more than the head has changed."""
        same_encoder = not any(map(is_of_the_encoder, changed))
        if same_encoder and isinstance(before, cls) and before.encoder.max_tokens == description.input.max_tokens:
            return cls._fitting(folder, before.encoder, NumberHead.read(folder))
        return None

    @classmethod
    def _fitting(cls, folder: Path, encoder: SentenceEncoder, head: NumberHead) -> Self:
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

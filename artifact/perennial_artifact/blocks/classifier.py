"""The label, or labels, of a text: a sentence encoder's features and further blocks beside them, read by one linear head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from perennial_artifact.blocks.features import Blocks
from perennial_artifact.errors import UnusableError
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.classifier import SentenceClassifier
from perennial_artifact.sentence.encoder import SentenceEncoder
from perennial_artifact.sentence.head import Head


class BlocksClassifier(SentenceClassifier):
    """A loaded classifier with further blocks; sentence-transformers does not open its folder."""

    def __init__(self, encoder: SentenceEncoder, head: Head, blocks: Blocks) -> None:
        super().__init__(encoder, head)
        self.blocks = blocks

    @classmethod
    def _fitting(cls, folder: Path, encoder: SentenceEncoder, head: Head) -> Self:
        blocks = Blocks.read(folder)
        width = encoder.features([""])[0].shape[1]
        if width + blocks.columns != head.weight.shape[1]:
            message = (
                f"the encoder in {folder} has {width} features and its blocks have {blocks.columns}, and its head reads "
                f"{head.weight.shape[1]}"
            )
            raise UnusableError(message)
        # By column: a sparse row reads a few columns, and else all of them would be copied into that order at each answer.
        return cls(encoder, replace(head, weight=np.asfortranarray(head.weight)), blocks)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the head's answer to each text, in order; `truncated`: longer than the encoder reads."""
        if not texts:
            return []
        features, cut = self.encoder.features(texts)
        return self.head.answers(self.blocks.join(features, texts), cut)

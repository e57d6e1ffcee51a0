"""A sentence encoder's features and further blocks beside them, read by one linear head, whatever the head answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from perennial_artifact.blocks.encoders import SideBySide
from perennial_artifact.blocks.features import Blocks
from perennial_artifact.compute import Compute
from perennial_artifact.errors import UnusableError
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.encoder import SentenceEncoder
from perennial_artifact.sentence.layout import BASE_FOLDER
from perennial_artifact.sentence.model import Encodes, HeadT, SentenceModel


class BlocksModel(SentenceModel[HeadT]):
    """A loaded model with further blocks; sentence-transformers does not open its folder."""

    def __init__(self, encoder: Encodes, head: HeadT, blocks: Blocks) -> None:
        super().__init__(encoder, head)
        self.blocks = blocks

    @classmethod
    def _encoder(cls, folder: Path, compute: Compute, *, max_tokens: int | None) -> Encodes:
        tuned, beside = SentenceEncoder.open(folder, compute, max_tokens=max_tokens), Blocks.read(folder).base
        if beside is None:
            return tuned
        base = SentenceEncoder.open(folder / BASE_FOLDER, compute, max_tokens=max_tokens)
        width = base.features([""])[0].shape[1]
        if width != beside.columns:
            message = f"the base model in {folder} has {width} features, and the model was made with {beside.columns}"
            raise UnusableError(message)
        return SideBySide(tuned, base)

    @classmethod
    def _fitting(cls, folder: Path, encoder: Encodes, head: HeadT) -> Self:
        blocks = Blocks.read(folder)
        width = blocks.join(encoder.features([""])[0], [""]).shape[1]
        if width != head.weight.shape[1]:
            message = (
                f"the encoder in {folder} and its blocks ({', '.join(blocks.names)}) make {width} features, and its head reads "
                f"{head.weight.shape[1]}"
            )
            raise UnusableError(message)
        # By column: a sparse row reads a few columns, and else all of them would be copied into that order at each answer.
        return cls(encoder, head if blocks.ngrams is None else cls._by_column(head), blocks)

    @classmethod
    def _by_column(cls, head: HeadT) -> HeadT:
        """Return the same head, its weights laid out by column."""
        raise NotImplementedError

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the head's answer to each text, in order; `truncated`: longer than the encoder reads."""
        if not texts:
            return []
        features, cut = self._read(texts)
        return self.head.answers(self.blocks.join(features, texts), cut)

"""Signals: a sentence encoder's features, and hits of keywords, read by a score and a tag head for each category."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perennial_artifact.description import Description
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.model import SentenceModel
from perennial_artifact.sentence.signal_head import SignalHead


class SentenceSignals(SentenceModel[SignalHead]):
    """A loaded model of signals."""

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the signals of each text, in order; `truncated`: the text is longer than the encoder reads."""
        if not texts:
            return []
        features, cut = self._read(texts)
        return self.head.answers(self.head.read_by(features, texts), cut)

    def weigh(self, texts: Sequence[str]) -> list[Answer]:
        """Return the score and the probability of every tag in each category, for each text, in order."""
        if not texts:
            return []
        features, _cut = self._read(texts)
        return self.head.weighed(self.head.read_by(features, texts))

    @classmethod
    def _head(cls, folder: Path, description: Description) -> SignalHead:  # noqa: ARG003 - the format has one kind of head
        return SignalHead.read(folder)

    @classmethod
    def _reads(cls, head: SignalHead) -> int:
        return head.encoder_width

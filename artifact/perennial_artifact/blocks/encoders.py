"""A tuned encoder and the base model that it came from, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perennial_artifact.compute import Used
from perennial_artifact.sentence.encoder import SentenceEncoder
from perennial_artifact.sentence.head import Features


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two loaded encoders that read the same texts. Thread-safe."""

    tuned: SentenceEncoder
    base: SentenceEncoder

    @property
    def max_tokens(self) -> int:
        """Tokens that the tuned one reads of a text."""
        return self.tuned.max_tokens

    @property
    def used(self) -> Used:
        """What the tuned one computes by."""
        return self.tuned.used

    def features(self, texts: Sequence[str]) -> tuple[Features, list[bool]]:
        """Return the tuned one's features and the base's behind them, float32, shape (texts, features of both).

        And of each text whether the tuned one's was cut; both read as much.
        """
        first, cut = self.tuned.features(texts)
        second, _cut = self.base.features(texts)
        return np.hstack([first, second]), cut

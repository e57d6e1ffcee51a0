"""Signals: a sentence encoder's features, read by a score and a tag head for each category."""

from __future__ import annotations

from pathlib import Path

from perennial_artifact.description import Description
from perennial_artifact.sentence.model import SentenceModel
from perennial_artifact.sentence.signal_head import SignalHead


class SentenceSignals(SentenceModel[SignalHead]):
    """A loaded model of signals."""

    @classmethod
    def _head(cls, folder: Path, description: Description) -> SignalHead:  # noqa: ARG003 - the format has one kind of head
        return SignalHead.read(folder)

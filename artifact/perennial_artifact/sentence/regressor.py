"""Numbers in named dimensions: a sentence encoder's features, read by a linear head."""

from __future__ import annotations

from pathlib import Path

from perennial_artifact.description import Description
from perennial_artifact.sentence.model import SentenceModel
from perennial_artifact.sentence.numbers import NumberHead


class SentenceRegressor(SentenceModel[NumberHead]):
    """A loaded regression."""

    @classmethod
    def _head(cls, folder: Path, description: Description) -> NumberHead:  # noqa: ARG003 - the format has one kind of head
        return NumberHead.read(folder)

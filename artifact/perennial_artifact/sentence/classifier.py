"""The label, or the labels, of a text: a sentence encoder's features, read by a linear head."""

from __future__ import annotations

from pathlib import Path

from perennial_artifact.description import Description
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import WITH_THRESHOLDS
from perennial_artifact.sentence.model import SentenceModel


class SentenceClassifier(SentenceModel[Head]):
    """A loaded classifier: answers limited to the labels that its training rows have shown."""

    @classmethod
    def _head(cls, folder: Path, description: Description) -> Head:
        head = Head.read(folder)
        if (head.thresholds is not None) != (description.format in WITH_THRESHOLDS):
            has = "no thresholds" if head.thresholds is None else "thresholds"
            message = f"the head in {folder} has {has}, which does not fit format {description.format}"
            raise UnusableError(message)
        return head

"""The label, or labels, of a text: a sentence encoder's features and further blocks beside them, read by one linear head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perennial_artifact.blocks.model import BlocksModel
from perennial_artifact.sentence.classifier import SentenceClassifier
from perennial_artifact.sentence.head import Head


class BlocksClassifier(BlocksModel[Head], SentenceClassifier):
    """A loaded classifier with further blocks."""

    @classmethod
    def _by_column(cls, head: Head) -> Head:
        return replace(head, weight=np.asfortranarray(head.weight))

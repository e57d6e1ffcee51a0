"""Numbers in named dimensions: a sentence encoder's features and further blocks beside them, read by one linear head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perennial_artifact.blocks.model import BlocksModel
from perennial_artifact.sentence.numbers import NumberHead
from perennial_artifact.sentence.regressor import SentenceRegressor


class BlocksRegressor(BlocksModel[NumberHead], SentenceRegressor):
    """A loaded regressor with further blocks."""

    @classmethod
    def _by_column(cls, head: NumberHead) -> NumberHead:
        return replace(head, weight=np.asfortranarray(head.weight))

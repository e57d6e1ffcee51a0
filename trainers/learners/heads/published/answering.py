"""Published heads that answer texts from stored features. Nothing here imports what solves a head: that takes a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from config.errors import RunFailedError
from perennial_artifact.description import Description, describe
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.head import Answers, Features, Head, Matrix
from perennial_artifact.sentence.layout import SIGNALS_FORMAT, WITH_BLOCKS, WITH_HEAD, WITH_NUMBERS
from perennial_artifact.sentence.numbers import NumberHead
from perennial_artifact.sentence.signal_head import SignalHead
from trainers.learners.features import FeatureSet
from trainers.learners.opening import usable

if TYPE_CHECKING:
    from perennial_artifact.blocks.features import Blocks


def open_from_features(folder: Path, features: FeatureSet, rows: Mapping[str, str]) -> Predictor:
    """Return the published model in `folder`, answering texts whose features are stored; `rows` is example id by text.

    Raises `RunFailedError` where its files cannot be used, or nothing in them answers from features.
    """
    with usable():
        description = describe(folder)
        if description.format == SIGNALS_FORMAT:
            signals = SignalHead.read(folder)
            return _FromFeatures(signals, features, rows, read=signals.read_by)
        if description.format not in (*WITH_HEAD, *WITH_NUMBERS):
            message = f"the model's format is {description.format}, which does not answer from features; ask for a full run"
            raise RunFailedError(message)
        head = Head.read(folder) if description.format in WITH_HEAD else NumberHead.read(folder)
        blocks = blocks_of(folder, description)
        return _FromFeatures(head, features, rows, read=lambda found, texts: read(found, texts, blocks))


def blocks_of(folder: Path, description: Description) -> Blocks | None:
    """Return the blocks that the head of a published model reads beside its encoder's features; None for one without."""
    if description.format not in WITH_BLOCKS:
        return None
    from perennial_artifact.blocks.features import Blocks  # noqa: PLC0415 - only such a model pays for it

    with usable():
        return Blocks.read(folder)


def read(features: Features, texts: Sequence[str], blocks: Blocks | None) -> Matrix:
    """Return what a head with these blocks reads of texts, of which `features` are what the encoders make."""
    return features if blocks is None else blocks.join(features, texts)


class _FromFeatures:
    """Answers texts whose features are stored."""

    def __init__(
        self,
        head: Answers,
        features: FeatureSet,
        rows: Mapping[str, str],
        *,
        read: Callable[[Features, Sequence[str]], Matrix],
    ) -> None:
        """`rows` is example id by text; `read` makes of features and their texts what the head reads."""
        self._head = head
        self._features = features
        self._rows = rows
        self._read = read

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return one answer per text, in order. Whether a text was cut is not stored. Raises `KeyError` for an unknown text."""
        if not texts:
            return []
        features = self._read(self._features.rows([self._rows[text] for text in texts]), texts)
        answers = self._head.answers(features, [False] * len(texts))
        return [{key: value for key, value in answer.items() if key != "truncated"} for answer in answers]

"""A head that answers texts whose features are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.head import Answers, Features
from trainers.learners.features import FeatureSet
from trainers.learners.heads.solving import Matrix


class FromFeatures:
    """Answers texts whose features are stored."""

    def __init__(
        self,
        head: Answers,
        features: FeatureSet,
        rows: Mapping[str, str],
        *,
        read: Callable[[Features, Sequence[str]], Matrix] = lambda features, _texts: features,
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

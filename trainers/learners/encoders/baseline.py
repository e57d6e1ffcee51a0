"""What a first classifier must beat: the most frequent label, or the untouched base model with nearest class means."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from config.kinds.kind import Target
from config.tasks import TaskSpec
from perennial_artifact.compute import Compute
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.head import Features
from trainers.learners.encoders import encoder as encoders
from trainers.learners.protocols import Example

_ROWS_PER_LABEL = 100
"""The newest rows of a label make its mean; more would cost time and move it little."""
_TEMPERATURE = 0.05
"""Cosines differ by a few hundredths; divided by this, their softmax reads like a probability."""


Said = Callable[[str], Mapping[str, Any]]
"""Returns the answer that gives one label and no other."""


class MostFrequentLabel:
    """Answers the most frequent label of the training rows, with the labels' shares as scores."""

    def __init__(self, rows: Sequence[Example], labels: Callable[[Target], Sequence[str]], said: Said) -> None:
        counts = Counter(label for row in rows for label in labels(row.target))
        ordered = sorted(counts, key=lambda label: (-counts[label], label))
        self._answer: Answer = {**said(ordered[0]), "scores": {label: counts[label] / len(rows) for label in ordered}}

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the same answer for every text."""
        return [self._answer for _ in texts]


class NearestCentroid:
    """The base model as it came: a text gets the label whose mean training embedding is nearest by cosine.

    An embedding is the mean of the last layer over the text's tokens, scaled to length 1. A label's mean is made from its
    100 newest rows. Scores are the softmax of the cosines at temperature 0.05.
    """

    def __init__(self, spec: TaskSpec, rows: Sequence[Example], labels: Callable[[Target], Sequence[str]], said: Said) -> None:
        self._said = said
        texts: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            for label in labels(row.target):
                texts[label].append(row.text)
        self._labels = sorted(texts)
        self._encoder = encoders.open_base(spec.base_model, max_tokens=spec.training.max_tokens).as_served(Compute())
        means = [self._embed(texts[label][-_ROWS_PER_LABEL:]).mean(axis=0) for label in self._labels]
        self._centroids = _of_length_one(np.stack(means))

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the nearest label of each text, in order, and scores, highest first."""
        if not texts:
            return []
        cosines = (self._embed(texts) @ self._centroids.T).astype(np.float64)
        return [self._answer(row) for row in softmax(cosines / _TEMPERATURE, axis=1).tolist()]

    def _answer(self, probabilities: Sequence[float]) -> Answer:
        scores = dict(sorted(zip(self._labels, probabilities, strict=True), key=lambda pair: -pair[1]))
        return {**self._said(next(iter(scores))), "scores": scores}

    def _embed(self, texts: Sequence[str]) -> Features:
        """Return one vector of length 1 per text: float32, shape (texts, features)."""
        return _of_length_one(self._encoder.features(texts)[0])


def _of_length_one(vectors: Features) -> Features:
    found: Features = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return found

"""Opens a version's folder and makes sure that it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from perennial_client.errors import ModelError, missing_extra
from perennial_client.results import Champion

Answer = Mapping[str, Any]

_PORTION_TEXTS = 32
_PORTION_CHARS = 10_000
_WHOLE_CHARS = 2_500
"""What a text counts at most."""
_WARM_TEXTS = (
    "The council voted on the new bridge on Thursday.",
    "Shares fell by three percent after the carmaker cut its forecast for the year and named a new chief. " * 3,
    "Rescue teams reached the last of the villages on the coast, the interior ministry in Lisbon said. " * 12,
)
_WARM_SIZES = (1, 8, _PORTION_TEXTS)


class Predictor(Protocol):
    """A loaded model; for one caller at a time."""

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return one answer per text, in order."""
        ...


def opener(champion: Champion) -> Callable[[Path, str], Predictor]:
    """Return what opens a folder of this kind in a precision. Raises `MissingExtraError`, or `ModelError` for an unknown kind."""
    if (champion.kind, champion.backend) == ("ner", "spacy"):
        try:
            from perennial_client.entities import Entities  # noqa: PLC0415 - spaCy is heavy, and an extra
        except ImportError as error:
            raise missing_extra(error, "spacy") from error
        return lambda folder, _precision: Entities(folder)
    if (champion.kind, champion.backend) == ("classification", "transformer"):
        try:
            from perennial_client.classifier import Classifier  # noqa: PLC0415 - so are torch and transformers
        except ImportError as error:
            raise missing_extra(error, "transformers") from error
        return Classifier
    what = f"kind {champion.kind!r} with backend {champion.backend!r} is not known to this client"
    raise ModelError(what, champion.version, "upgrade perennial-client, or ask serving with Client.predict")


def load(champion: Champion, folder: Path, precision: str) -> Predictor:
    """Return the model in a verified folder, warm. Raises what `opener` raises, and whatever a broken model raises."""
    predictor = opener(champion)(folder, precision)
    # The first calls are slow; and a model that cannot answer never gets to answer anybody.
    for size in _WARM_SIZES:
        answers = predictor.predict([_WARM_TEXTS[number % len(_WARM_TEXTS)] for number in range(size)])
        if len(answers) != size:
            what = f"it gave {len(answers)} answers to {size} texts"
            raise ModelError(what, champion.version, "publish it again, or roll back")
        json.dumps(answers, allow_nan=False)
    return predictor


def portions(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in the portions that an idle serving process would answer them in.

    A score's last digits depend on which texts are computed together; so the same request gets the same answer from both.
    """
    portion: list[str] = []
    chars = 0
    for text in texts:
        portion.append(text)
        chars += min(len(text), _WHOLE_CHARS)
        if len(portion) == _PORTION_TEXTS or chars >= _PORTION_CHARS:
            yield portion
            portion, chars = [], 0
    if portion:
        yield portion

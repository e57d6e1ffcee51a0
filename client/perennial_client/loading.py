"""Opens a version's folder and makes sure that it answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from perennial_artifact.compute import Compute
from perennial_artifact.errors import UnusableError
from perennial_artifact.predictor import Predictor
from perennial_artifact.warming import warm
from perennial_client.errors import ModelError, missing_extra, unusable
from perennial_client.results import Champion


def opener(champion: Champion) -> Callable[[Path, Compute], Predictor]:
    """Return what opens a folder of this kind. Raises `MissingExtraError`, or `ModelError` for an unknown kind."""
    if (champion.kind, champion.backend) == ("ner", "spacy"):
        try:
            from perennial_artifact.spacy.entities import Entities  # noqa: PLC0415 - spaCy is heavy, and an extra
        except ImportError as error:
            raise missing_extra(error, "spacy") from error
        return lambda folder, _compute: Entities.open(folder)
    if (champion.kind, champion.backend) == ("classification", "transformer"):
        try:
            from perennial_artifact.transformer.classifier import Classifier  # noqa: PLC0415 - so are torch and transformers
        except ImportError as error:
            raise missing_extra(error, "transformers") from error
        return Classifier.open
    what = f"kind {champion.kind!r} with backend {champion.backend!r} is not known to this client"
    raise ModelError(what, champion.version, "upgrade perennial-client, or ask serving with Client.predict")


def load(champion: Champion, folder: Path, precision: str) -> Predictor:
    """Return the model in a verified folder, warm. Raises what `opener` raises, and whatever a broken model raises."""
    try:
        predictor = opener(champion)(folder, Compute(precision=precision))
        warm(predictor)
    except UnusableError as error:
        raise unusable(error, champion.version) from error
    return predictor

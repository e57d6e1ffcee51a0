"""The formats of published models: how a folder of each is opened, found by name and imported when it is first needed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from perennial_artifact.compute import Compute
from perennial_artifact.description import Description, describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.predictor import Predictor


class ModelFormat(Protocol):
    """Opens folders of one format."""

    def open(self, folder: Path, description: Description, compute: Compute) -> Predictor:
        """Return the model in `folder`. Raises `UnusableError` when it cannot be read."""
        ...


_FORMATS = {
    "sentence-classification": "perennial_artifact.sentence.classifier:SentenceClassifier",
    "spacy-ner": "perennial_artifact.spacy.entities:Entities",
    "transformers-classification": "perennial_artifact.transformer.classifier:Classifier",
}
"""By name. Paths, because model libraries are heavy and one process may need one of them."""


def register(name: str, path: str) -> None:
    """Say what opens folders of format `name`: `path` is `MODULE:NAME` of a `ModelFormat`.

    Raises `ValueError` when another is registered under the name.
    """
    if _FORMATS.setdefault(name, path) != path:
        message = f"format {name!r} is already opened by {_FORMATS[name]}, not by {path}"
        raise ValueError(message)


def find(name: str) -> ModelFormat:
    """Return a format, its library imported. Raises `UnusableError` for an unknown one, `ImportError` without the library."""
    if name not in _FORMATS:
        message = f"format {name!r} is not known here (known are {', '.join(sorted(_FORMATS))}); upgrade this program"
        raise UnusableError(message)
    module, _, attribute = _FORMATS[name].partition(":")
    found: ModelFormat = getattr(import_module(module), attribute)
    return found


def open_model(folder: Path, compute: Compute) -> Predictor:
    """Return the model in a folder, by what it says of itself. Raises as `describe` and `find` do."""
    description = describe(folder)
    return find(description.format).open(folder, description, compute)

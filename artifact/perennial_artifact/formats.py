"""The formats of published models: how a folder of each is opened, found by name and imported when it is first needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from perennial_artifact.compute import Compute, Used
from perennial_artifact.description import Description, describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.manifest import unchecked
from perennial_artifact.predictor import Predictor, Tells


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that answers, and the folder's content that it was opened from; the folder itself may be gone."""

    predictor: Predictor
    format: str
    compute: Compute
    content: Mapping[str, str]
    """SHA-256 of each file by its name, as the manifest says; empty for a folder without one."""
    shares: bool = False
    """Whether it took over what another had loaded, and warmed."""

    @property
    def used(self) -> Used | None:
        """What it computes by; None where it does not tell."""
        return self.predictor.used if isinstance(self.predictor, Tells) else None


class ModelFormat(Protocol):
    """Opens folders of one format."""

    def open(self, folder: Path, description: Description, compute: Compute) -> Predictor:
        """Return the model in `folder`. Raises `UnusableError` when it cannot be read."""
        ...


@runtime_checkable
class Reuses(Protocol):
    """A format that can open a version by what it shares with another that is open: a new head on an encoder that stays."""

    def open_after(
        self, folder: Path, description: Description, *, before: Predictor, changed: Collection[str]
    ) -> Predictor | None:
        """Return the model in `folder`, with what of `before` its unchanged files stand for; None where that is nothing.

        It computes as `before` does, which has the same format. `changed` are the files that are new, gone or have other
        content than those that `before` was opened from. `before` answers on meanwhile and for a while after: what both have
        in common must bear two callers at once. Raises `UnusableError`.
        """
        ...


_FORMATS = {
    "blocks-classification": "perennial_artifact.blocks.classifier:BlocksClassifier",
    "blocks-multilabel": "perennial_artifact.blocks.classifier:BlocksClassifier",
    "blocks-regression": "perennial_artifact.blocks.regressor:BlocksRegressor",
    "sentence-classification": "perennial_artifact.sentence.classifier:SentenceClassifier",
    "sentence-multilabel": "perennial_artifact.sentence.classifier:SentenceClassifier",
    "sentence-regression": "perennial_artifact.sentence.regressor:SentenceRegressor",
    "sentence-signals": "perennial_artifact.sentence.signals:SentenceSignals",
    "spacy-curated-ner": "perennial_artifact.spacy.curated:CuratedEntities",
    "spacy-ner": "perennial_artifact.spacy.entities:Entities",
    "transformers-classification": "perennial_artifact.transformer.classifier:Classifier",
    "transformers-ner": "perennial_artifact.tagging.entities:TokenClassifier",
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
    return open_after(folder, compute, None).predictor


def open_after(folder: Path, compute: Compute, before: Opened | None) -> Opened:
    """Return the model in a verified folder; a format that can takes what is unchanged from `before`. As `open_model`."""
    description = describe(folder)
    found = find(description.format)
    content = {name: file.sha256 for name, file in unchecked(folder).items()}
    alike = before is not None and (before.format, before.compute) == (description.format, compute)
    if before is not None and alike and content and before.content and isinstance(found, Reuses):
        changed = {name for name in content.keys() | before.content.keys() if content.get(name) != before.content.get(name)}
        taken_over = found.open_after(folder, description, before=before.predictor, changed=changed)
        if taken_over is not None:
            return Opened(taken_over, description.format, compute, content, shares=True)
    return Opened(found.open(folder, description, compute), description.format, compute, content)

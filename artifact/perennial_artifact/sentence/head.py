"""The linear head of a sentence classifier: what turns an encoder's features into logits, and logits into an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from perennial_artifact.durable import write_atomic
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, decode, inert
from perennial_artifact.labels import LabelSet
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.layout import HEAD_FOLDER
from perennial_artifact.sentence.weights import check_weights, read_weights, readable, write_weights

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # a head alone needs numpy only

HEAD_FILE = "head.json"
_THRESHOLDS = "thresholds"
_FORMAT_VERSION = 1
UNLEARNT_BIAS = -1e4
"""Logit of a label that no row has shown: low enough for no answer, and a number that every program can compute with."""

Features = npt.NDArray[np.float32]
Matrix: TypeAlias = "Features | csr_array"
"""What a head reads, a row for each text: an encoder's features, or these and further blocks, sparse."""


class Answers(Protocol):
    """A head."""

    @property
    def weight(self) -> npt.NDArray[Any]:
        """Shape (answers, features)."""

    def answers(self, features: Any, cut: Sequence[bool]) -> list[Answer]:  # noqa: ANN401 - dense or sparse
        """Return one answer a row of features; `cut` says of each whether its text was read in part."""


@dataclass(frozen=True, slots=True)
class Solved:
    """How a head came about, for people and for the next run; times are ISO, UTC."""

    rows: int = 0
    half_life_days: float | None = None
    """After so many days a row weighs half; None: all ages weigh alike."""
    prior_days: float | None = None
    """The label prior is that of so many last days; None: that of all rows."""
    strength: float = 1.0
    """Inverse of the L2 penalty (scikit-learn's C)."""
    strengths: Mapping[str, float] = field(default_factory=dict)
    """Of a regression, that of each dimension whose strength is another."""
    words: float = 0.0
    """How far the words of labels were trusted: the standard deviation of the logits that they began with; 0: not at all."""
    temperature: float = 1.0
    """Weights and bias were divided by this after solving, so that the logits are calibrated."""
    prior: Mapping[str, float] = field(default_factory=dict)
    """Share of each label that the bias assumes; empty: that of the training rows."""
    tuned_rows: int = 0
    """Rows that the encoder was tuned on; 0: it is the base as it came."""
    tuned_until: str | None = None
    """The newest of them."""
    refreshes: int = 0
    """How often the head was solved anew since the encoder came to be what it is."""

    @property
    def tuned_until_days(self) -> float | None:
        """`tuned_until` in days since 1970."""
        return None if self.tuned_until is None else datetime.fromisoformat(self.tuned_until).timestamp() / 86_400


@dataclass(frozen=True, slots=True)
class Head:
    """A linear head; immutable, safe for threads."""

    weight: npt.NDArray[np.float32]
    """Shape (labels, features)."""
    bias: npt.NDArray[np.float32]
    """Shape (labels)."""
    labels: LabelSet
    solved: Solved = Solved()
    thresholds: npt.NDArray[np.float32] | None = None
    """Shape (labels): the probability from which each label is given, by itself; None: the most probable label is."""

    def logits(self, features: Matrix) -> Features:
        """Return the logits, shape (rows, labels), of features of shape (rows, features)."""
        found: Features = features @ self.weight.T + self.bias
        return found

    def probabilities(self, features: Matrix) -> Features:
        """Return the probabilities of the labels that may be answered, shape (rows, answerable labels), in order of their ids.

        With thresholds each is a probability by itself; without, a row's add up to 1.
        """
        logits = self.logits(features)[:, self.labels.seen_ids].astype(np.float64)
        if self.thresholds is not None:
            each: Features = (0.5 + 0.5 * np.tanh(0.5 * logits)).astype(np.float32)
            return each
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Features = (grown / grown.sum(axis=1, keepdims=True)).astype(np.float32)
        return found

    def answers(self, features: Matrix, cut: Sequence[bool]) -> list[Answer]:
        """Return one answer a row: `{"label", "scores", "truncated"}`, or with thresholds `labels`, by name.

        Scores are probabilities, highest first.
        """
        names = [self.labels.names[number] for number in self.labels.seen_ids]
        least = None if self.thresholds is None else self.thresholds[self.labels.seen_ids].tolist()
        found: list[Answer] = []
        for row, truncated in zip(self.probabilities(features).tolist(), cut, strict=True):
            scores = dict(sorted(zip(names, row, strict=True), key=lambda pair: -pair[1]))
            if least is None:
                said: Answer = {"label": next(iter(scores))}
            else:
                said = {"labels": sorted(name for name, score, needed in zip(names, row, least, strict=True) if score >= needed)}
            found.append({**said, "scores": scores, "truncated": truncated})
        return found

    def write(self, folder: Path) -> None:
        """Write the head's files into a model folder: a dense module, the labels, and how it was solved."""
        place = folder / HEAD_FOLDER
        write_weights(folder, self.weight, self.bias)
        content = {"format_version": _FORMAT_VERSION} | asdict(self.solved)
        if self.thresholds is not None:
            content[_THRESHOLDS] = dict(zip(self.labels.names, self.thresholds.tolist(), strict=True))
        write_atomic(place / HEAD_FILE, (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())
        self.labels.write(folder)

    @classmethod
    def read(cls, folder: Path) -> Head:
        """Return the head in a model folder. Raises `UnusableError` when it is missing, damaged or does not fit its labels."""
        labels = LabelSet.read(folder)
        place = folder / HEAD_FOLDER
        with readable(folder):
            weight, bias = read_weights(folder)
            said = decode((place / HEAD_FILE).read_bytes())
            solved, thresholds = solved_of(said), _thresholds(said, labels)
        check_weights(folder, weight, bias, rows=len(labels.names), what="labels")
        if not labels.seen:
            message = f"the head in {folder} has no label that it may answer"
            raise UnusableError(message)
        return cls(weight, bias, labels, solved, thresholds)


def read_solved(folder: Path) -> Solved:
    """Return how the head in a model folder came about, without reading its weights. Raises `UnusableError`."""
    path = folder / HEAD_FOLDER / HEAD_FILE
    try:
        return solved_of(decode(path.read_bytes()))
    except (OSError, *WRONG) as error:
        message = f"{path} cannot be read ({type(error).__name__}: {inert(error)[:200]})"
        raise UnusableError(message) from error


def solved_of(body: Mapping[str, object]) -> Solved:
    """Return what the content of a `head.json` says. Raises `UnusableError` for a newer format, else one of `foreign.WRONG`."""
    if body["format_version"] != _FORMAT_VERSION:
        message = (
            f"{HEAD_FILE} has format {inert(body['format_version'])[:80]}, and this program reads {_FORMAT_VERSION}; upgrade it"
        )
        raise UnusableError(message)
    return Solved(**{name: body[name] for name in Solved.__dataclass_fields__ if name in body})  # type: ignore[arg-type]  # ours


def _thresholds(body: Mapping[str, Any], labels: LabelSet) -> npt.NDArray[np.float32] | None:
    """Return the threshold of each label, shape (labels); None where the file has none. Raises one of `WRONG`."""
    if _THRESHOLDS not in body:
        return None
    found = np.array([body[_THRESHOLDS][name] for name in labels.names], dtype=np.float32)
    if not ((found >= 0.0) & (found <= 1.0)).all():
        message = "a threshold is not a number from 0 to 1"
        raise ValueError(message)
    return found

"""The linear heads of signals: for each category one row that gives its score, and one for each of its tags.

Where the task lists keywords, the heads read behind the encoder's features which of them occur: a column for each rule, 1 or 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial_artifact.durable import write_atomic
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import decode, inert
from perennial_artifact.keywords import NOTHING, Keywords
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.head import HEAD_FILE, Features, Solved, solved_of
from perennial_artifact.sentence.layout import HEAD_FOLDER
from perennial_artifact.sentence.weights import check_weights, read_weights, readable, write_weights

SIGNALS_FILE = "signals.json"
KEYWORDS_FILE = "keywords.json"
_FORMAT_VERSION = 1
_LOWEST, _HIGHEST = -1.0, 1.0


@dataclass(frozen=True, slots=True)
class Told:
    """A category as training rows have shown it."""

    name: str
    tags: tuple[str, ...] = ()
    """In the order of the rows that give them; empty: no row had a tag."""
    threshold: float = 0.5
    """Where `none` is among the tags: the probability of all others together from which one of them is given."""


@dataclass(frozen=True, slots=True)
class ScoresSolved:
    """How the scores were solved; the tags are told by `Solved`."""

    half_life_days: float | None = None
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class SignalHead:
    """Linear heads that read the same features; immutable, safe for threads."""

    weight: npt.NDArray[np.float32]
    """Shape (categories + tags of all, features): the scores' rows, then those of the tags, category by category."""
    bias: npt.NDArray[np.float32]
    """Shape (categories + tags of all)."""
    categories: tuple[Told, ...]
    solved: Solved = Solved()  # noqa: RUF009 - frozen
    scores_solved: ScoresSolved = ScoresSolved()
    keywords: Keywords | None = None
    """Those whose hits the heads read, as the task had them when these were solved; None: the encoder's features alone."""

    @property
    def encoder_width(self) -> int:
        """How many features the heads read of an encoder."""
        return int(self.weight.shape[1]) - (0 if self.keywords is None else len(self.keywords.rules))

    def read_by(self, features: Features, texts: Sequence[str]) -> Features:
        """Return what the heads read of texts, of which `features` (texts, features) are what the encoder makes."""
        return with_hits(features, texts, self.keywords)

    def answers(self, features: Features, cut: Sequence[bool]) -> list[Answer]:
        """Return one answer a row: `{"signals": {category: {"score", "tag", "probability"}}, "truncated"}`.

        A category whose tag is `none` has score 0. One without a tag in training has a score alone.
        """
        found = (features @ self.weight.T + self.bias).astype(np.float64)
        first = len(self.categories)
        said: list[dict[str, Any]] = [{} for _row in range(len(found))]
        for at, told in enumerate(self.categories):
            scores = np.clip(found[:, at], _LOWEST, _HIGHEST)
            last = first + len(told.tags)
            if told.tags:
                chosen, probabilities = _chosen(found[:, first:last], told)
                scores = np.where(np.array(told.tags)[chosen] == NOTHING, 0.0, scores)
                for row, score, tag, sure in zip(said, scores.tolist(), chosen.tolist(), probabilities.tolist(), strict=True):
                    row[told.name] = {"score": score, "tag": told.tags[tag], "probability": sure}
            else:
                for row, score in zip(said, scores.tolist(), strict=True):
                    row[told.name] = {"score": score}
            first = last
        return [{"signals": row, "truncated": truncated} for row, truncated in zip(said, cut, strict=True)]

    def weighed(self, features: Features) -> list[Answer]:
        """Return for each row `{"signals": {category: {"score", "tags": {tag: probability}}}}`; a score whatever the tags are."""
        found = (features @ self.weight.T + self.bias).astype(np.float64)
        first = len(self.categories)
        said: list[dict[str, Any]] = [{} for _row in range(len(found))]
        for at, told in enumerate(self.categories):
            last = first + len(told.tags)
            scores = np.clip(found[:, at], _LOWEST, _HIGHEST).tolist()
            for row, score, probabilities in zip(said, scores, _probabilities(found[:, first:last]).tolist(), strict=True):
                row[told.name] = {"score": score, "tags": dict(zip(told.tags, probabilities, strict=True))}
            first = last
        return [{"signals": row} for row in said]

    def write(self, folder: Path) -> None:
        """Write the heads' files into a model folder: one dense module, the categories, and how they were solved."""
        place = folder / HEAD_FOLDER
        write_weights(folder, self.weight, self.bias)
        told = {"categories": [asdict(one) for one in self.categories], "scores": asdict(self.scores_solved)}
        for name, content in ((SIGNALS_FILE, told), (HEAD_FILE, asdict(self.solved))):
            body = {"format_version": _FORMAT_VERSION} | content
            write_atomic(place / name, (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode())
        if self.keywords is not None:
            write_atomic(place / KEYWORDS_FILE, (json.dumps(self.keywords.as_json(), ensure_ascii=False) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> SignalHead:
        """Return the heads in a model folder. Raises `UnusableError` when they are missing, damaged or do not fit each other."""
        place = folder / HEAD_FOLDER
        with readable(folder):
            weight, bias = read_weights(folder)
            categories, scores = _told(decode((place / SIGNALS_FILE).read_bytes()))
            solved = solved_of(decode((place / HEAD_FILE).read_bytes()))
            listed = place / KEYWORDS_FILE
            keywords = Keywords.of(decode(listed.read_bytes())) if listed.exists() else None
        rows = sum(1 + len(one.tags) for one in categories)
        check_weights(folder, weight, bias, rows=rows, what="scores and tags")
        head = cls(weight, bias, categories, solved, scores, keywords)
        if head.encoder_width <= 0:
            message = f"the head in {folder} has weights of shape {weight.shape}, fewer columns than it has keywords"
            raise UnusableError(message)
        return head


def with_hits(features: Features, texts: Sequence[str], keywords: Keywords | None) -> Features:
    """Return features with a column more for each rule of keywords: 1 where one of its phrases occurs in the text, else 0."""
    if keywords is None:
        return features
    hits = np.zeros((len(texts), len(keywords.rules)), dtype=np.float32)
    for row, text in zip(hits, texts, strict=True):
        row[list(keywords.hits(text))] = 1.0
    return np.hstack([features, hits])


def _chosen(logits: npt.NDArray[np.float64], told: Told) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the place of each row's tag, and its probability."""
    probabilities = _probabilities(logits)
    chosen = probabilities.argmax(axis=1)
    if NOTHING in told.tags and len(told.tags) > 1:
        nothing = told.tags.index(NOTHING)
        others = probabilities.copy()
        others[:, nothing] = -1.0
        speaks = 1.0 - probabilities[:, nothing] >= told.threshold
        chosen = np.where(speaks, others.argmax(axis=1), nothing)
    return chosen, probabilities[np.arange(len(chosen)), chosen]


def _probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    grown: npt.NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    found: npt.NDArray[np.float64] = grown / grown.sum(axis=1, keepdims=True)
    return found


def _told(body: Mapping[str, Any]) -> tuple[tuple[Told, ...], ScoresSolved]:
    """Return the categories of the file. Raises `UnusableError` for a newer format, else one of `WRONG`."""
    if body["format_version"] != _FORMAT_VERSION:
        other = inert(body["format_version"])[:80]
        message = f"{SIGNALS_FILE} has format {other}, and this program reads {_FORMAT_VERSION}; upgrade it"
        raise UnusableError(message)
    found = tuple(
        Told(str(one["name"]), tuple(str(tag) for tag in one["tags"]), float(one["threshold"])) for one in body["categories"]
    )
    if not all(math.isfinite(one.threshold) for one in found):
        message = "a threshold is not a number that can be"
        raise ValueError(message)
    half_life = body["scores"]["half_life_days"]
    return found, ScoresSolved(None if half_life is None else float(half_life), float(body["scores"]["strength"]))

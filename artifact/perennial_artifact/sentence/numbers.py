"""The linear head of a regression: what turns an encoder's features into a number for each dimension."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial_artifact.durable import write_atomic
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import decode, inert
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.head import HEAD_FILE, Matrix, Solved, solved_of
from perennial_artifact.sentence.layout import HEAD_FOLDER
from perennial_artifact.sentence.weights import check_weights, read_weights, readable, write_weights

DIMENSIONS_FILE = "dimensions.json"
_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """A dimension as the task had it when the head was solved."""

    name: str
    low: float
    high: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class NumberHead:
    """A linear head that gives numbers; immutable, safe for threads."""

    weight: npt.NDArray[np.float32]
    """Shape (dimensions, features)."""
    bias: npt.NDArray[np.float32]
    """Shape (dimensions)."""
    dimensions: tuple[Measured, ...]
    """Those that training rows have shown, in the order of the task."""
    tiers: Mapping[str, float] = field(default_factory=dict)
    """Tier -> where it begins on the weighted mean; empty: none is answered."""
    solved: Solved = Solved()  # noqa: RUF009 - frozen

    def values(self, features: Matrix) -> npt.NDArray[np.float64]:
        """Return the numbers, each within its range, shape (rows, dimensions), of features of shape (rows, features)."""
        found = (features @ self.weight.T + self.bias).astype(np.float64)
        low, high = (np.array([getattr(one, edge) for one in self.dimensions]) for edge in ("low", "high"))
        clipped: npt.NDArray[np.float64] = np.clip(found, low, high)
        return clipped

    def answers(self, features: Matrix, cut: Sequence[bool]) -> list[Answer]:
        """Return one answer a row: `{"values", "truncated"}`, with tiers also `score` (the weighted mean) and `tier`."""
        names, values = [one.name for one in self.dimensions], self.values(features)
        scores = np.average(values, axis=1, weights=[one.weight for one in self.dimensions]).tolist() if self.tiers else []
        found: list[Answer] = []
        for at, (row, truncated) in enumerate(zip(values.tolist(), cut, strict=True)):
            said: dict[str, Any] = {"values": dict(zip(names, row, strict=True))}
            if self.tiers:
                said |= {"score": scores[at], "tier": self.tier(scores[at])}
            found.append({**said, "truncated": truncated})
        return found

    def tier(self, score: float) -> str:
        """Return the tier that a score falls into: of those that begin at or below it, the highest; below all, the lowest."""
        rising = sorted(self.tiers, key=self.tiers.__getitem__)
        return next((name for name in reversed(rising) if self.tiers[name] <= score), rising[0])

    def write(self, folder: Path) -> None:
        """Write the head's files into a model folder: a dense module, the dimensions, and how it was solved."""
        place = folder / HEAD_FOLDER
        write_weights(folder, self.weight, self.bias)
        measured = {"dimensions": [asdict(one) for one in self.dimensions], "tiers": dict(self.tiers)}
        for name, content in ((DIMENSIONS_FILE, measured), (HEAD_FILE, asdict(self.solved))):
            body = {"format_version": _FORMAT_VERSION} | content
            write_atomic(place / name, (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> NumberHead:
        """Return the head in a model folder. Raises `UnusableError` when it is missing, damaged or does not fit itself."""
        place = folder / HEAD_FOLDER
        with readable(folder):
            weight, bias = read_weights(folder)
            dimensions, tiers = _measured(decode((place / DIMENSIONS_FILE).read_bytes()))
            solved = solved_of(decode((place / HEAD_FILE).read_bytes()))
        check_weights(folder, weight, bias, rows=len(dimensions), what="dimensions")
        return cls(weight, bias, dimensions, tiers, solved)


def _measured(body: Mapping[str, Any]) -> tuple[tuple[Measured, ...], dict[str, float]]:
    """Return the dimensions and tiers of the file. Raises `UnusableError` for a newer format, else one of `WRONG`."""
    if body["format_version"] != _FORMAT_VERSION:
        other = inert(body["format_version"])[:80]
        message = f"{DIMENSIONS_FILE} has format {other}, and this program reads {_FORMAT_VERSION}; upgrade it"
        raise UnusableError(message)
    found = tuple(
        Measured(str(one["name"]), *(float(one[part]) for part in ("low", "high", "weight"))) for one in body["dimensions"]
    )
    tiers = {str(name): float(begins) for name, begins in body["tiers"].items()}
    numbers = [number for one in found for number in (one.low, one.high, one.weight)]
    if not all(map(math.isfinite, [*numbers, *tiers.values()])) or any(one.low >= one.high or one.weight <= 0 for one in found):
        message = "a range, a weight or a tier is not a number that can be"
        raise ValueError(message)
    return found, tiers

"""Targets and answers that are numbers, as arrays: one row a text, one column a dimension."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import RunFailedError
from trainers.compare.metrics.metric import Target

Numbers = NDArray[np.float64]
Read = Callable[[Target], Mapping[str, float]]
"""Takes the numbers of a target or an answer, by dimension, from its wire form."""

_LARGEST = 1e100
"""Squares of larger numbers, summed over many rows, leave what a float can hold."""


@dataclass(frozen=True, slots=True)
class PairedNumbers:
    """Gold and both models' numbers; every array is (rows, dimensions). Only cells that are `known` count; the others are 0.

    A cell is known where gold and both answers have a number, so a dimension that one of the models has not learnt yet decides
    nothing.
    """

    gold: Numbers
    candidate: Numbers
    opponent: Numbers
    known: NDArray[np.bool_]
    dimensions: tuple[str, ...]
    """What the columns are."""

    def shares(self, weights: Mapping[str, float]) -> Numbers:
        """Return what each column weighs, shape (dimensions): 1 where `weights` has nothing for it."""
        return np.array([weights.get(name, 1.0) for name in self.dimensions])


def read_values(target: Target) -> Mapping[str, float]:
    """Return the numbers of `{"values": {dimension: number}}`."""
    values: Mapping[str, float] = target["values"]
    return values


def paired_numbers(
    gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target], read: Read = read_values
) -> PairedNumbers:
    """Return the numbers of the same rows. Raises `RunFailedError` where an answer is not a finite number within 1e100."""
    targets = [read(target) for target in gold]
    dimensions = {name: column for column, name in enumerate(sorted({name for target in targets for name in target}))}
    arrays = [_array(targets, dimensions, "gold")]
    for answers, whose in ((candidate, "the candidate"), (opponent, "the opponent")):
        arrays.append(_array([read(answer) for answer in answers], dimensions, whose))
    known = np.asarray(~np.isnan(np.stack(arrays)).any(axis=0))
    there, ours, theirs = (np.where(known, array, 0.0) for array in arrays)
    return PairedNumbers(there, ours, theirs, known, tuple(dimensions))


def _array(rows: Sequence[Mapping[str, float]], dimensions: Mapping[str, int], whose: str) -> Numbers:
    """Return (rows, dimensions), NaN where a row has no number."""
    array = np.full((len(rows), len(dimensions)), np.nan)
    for index, row in enumerate(rows):
        for name, value in row.items():
            if not (math.isfinite(value) and abs(value) <= _LARGEST):
                message = (
                    f"{whose} says {_told(value)} for {name!r} in test row {index + 1}, which cannot be compared; "
                    "train again with a smaller learning rate, or go back to an earlier version"
                )
                raise RunFailedError(message)
            if name in dimensions:
                array[index, dimensions[name]] = value
    return array


def _told(value: Any) -> str:  # noqa: ANN401 - whatever an answer held
    return f"{value!r:.40}"

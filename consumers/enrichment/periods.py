"""One stretch of event time in memory: the stories that lead there, as one matrix, and which of them are near a text."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from consumers.text.outlines import Outline, fills_the_same_template

Vector = npt.NDArray[np.float32]

_MOST_FILLINGS = 200
"""Nearest leaders that fill a text's template, after which no further ones are looked at: a listing has any number."""


@dataclass(slots=True)
class Period:
    """The texts of one stretch of event time: the leaders' vectors in one growing matrix, the rest by id."""

    vectors: npt.NDArray[np.float32]
    seconds: npt.NDArray[np.float64]
    leaders: list[str] = field(default_factory=list)
    """Story ids, in the order of the matrix."""
    outlines: list[array[int]] = field(default_factory=list)
    """The leaders' outlines, in the same order: as arrays a seventh of what tuples take."""
    members: list[tuple[str, str]] = field(default_factory=list)
    """Row id and story id."""

    def lead(self, story_id: str, vector: Vector, outline: Outline, seconds: float) -> None:
        """Add a leader; the matrix doubles when it is full."""
        size = len(self.leaders)
        if size == len(self.vectors):
            self.vectors = np.concatenate([self.vectors, np.empty_like(self.vectors)])
            self.seconds = np.concatenate([self.seconds, np.empty_like(self.seconds)])
        self.vectors[size], self.seconds[size] = vector, seconds
        self.leaders.append(story_id)
        self.outlines.append(array("i", outline))

    def keep_near(self, found: dict[str, float], outline: Outline, rows: npt.NDArray[np.intp], scores: Vector) -> None:
        """Add to `found` the leaders in these rows that do not fill the template of a text, the nearest first."""
        fillings = 0
        for at in np.argsort(-scores, kind="stable"):
            row = int(rows[at])
            if fills_the_same_template(self.outlines[row], outline):
                fillings += 1
                if fillings >= _MOST_FILLINGS:
                    return
            else:
                story_id = self.leaders[row]
                found[story_id] = max(float(scores[at]), found.get(story_id, -1.0))

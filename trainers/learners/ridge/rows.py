"""The rows that numbers are learnt from, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from config.errors import RunFailedError
from config.kinds.regression.dimensions import VALUES, Dimension
from perennial_artifact.sentence.head import Matrix
from perennial_artifact.sentence.numbers import Measured
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.protocols import Example, TrainingPlan

_SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class NumberRows:
    """n rows with features, and a number for each of d dimensions."""

    features: Matrix
    """Shape (n, features)."""
    values: Floats
    """Shape (n, d); not a number where one is missing."""
    weights: Floats
    """By trust and by who gave it; above 0."""
    days: Floats
    """Event time, in days since 1970."""
    documents: Ids
    """A number for each document; a row of its own has one of its own."""
    independent: npt.NDArray[np.bool_]
    """Whether a row was chosen without looking at a model's answer."""
    dimensions: tuple[Measured, ...]
    """Those of the columns of `values`."""

    def __len__(self) -> int:
        return len(self.values)

    def take(self, places: Ids) -> NumberRows:
        """Return some of the rows."""
        return replace(
            self, features=self.features[places], values=self.values[places], weights=self.weights[places],
            days=self.days[places], documents=self.documents[places], independent=self.independent[places],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usable:
    """What is left to learn from."""

    dimensions: tuple[Measured, ...]
    """Those that a row has a number for."""
    rows: Sequence[Example]
    note: str
    """Which dimensions no row has; empty where none."""


def usable(plan: TrainingPlan) -> Usable:
    """Return the rows that weigh something and have a number, and the dimensions that these have numbers for.

    Raises `RunFailedError` when there are none.
    """
    known = {dimension.name for dimension in plan.spec.dimensions}
    rows = [row for row in plan.rows if row.weight > 0 and not known.isdisjoint(row.target[VALUES])]
    seen = {name for row in rows for name in row.target[VALUES]}
    if not rows:
        message = (
            f"task {plan.spec.name!r} has no usable row with a number of {', '.join(sorted(known))}. Send some; the next trigger "
            "tries again"
        )
        raise RunFailedError(message)
    absent = [dimension.name for dimension in plan.spec.dimensions if dimension.name not in seen]
    note = f"no row has a number of {', '.join(absent)}; the model will not answer with it" if absent else ""
    return Usable(tuple(_measured(one) for one in plan.spec.dimensions if one.name in seen), rows, note)


def number_rows(rows: Sequence[Example], features: Matrix, dimensions: tuple[Measured, ...]) -> NumberRows:
    """Return examples with their features, shape (rows, features)."""
    documents: dict[str, int] = {}
    return NumberRows(
        features,
        matrix(rows, dimensions),
        np.array([row.weight for row in rows], dtype=np.float64),
        np.array([row.event_time.timestamp() for row in rows], dtype=np.float64) / _SECONDS_A_DAY,
        np.array([documents.setdefault(row.document or f"\0{row.example_id}", len(documents)) for row in rows], dtype=np.intp),
        np.array([row.independent for row in rows], dtype=bool),
        dimensions,
    )


def matrix(rows: Sequence[Example], dimensions: Sequence[Measured]) -> Floats:
    """Return the numbers of examples, shape (rows, dimensions); not a number where one is missing."""
    found: Floats = np.array(
        [[row.target[VALUES].get(one.name, np.nan) for one in dimensions] for row in rows], dtype=np.float64
    ).reshape(len(rows), len(dimensions))
    return found


def _measured(dimension: Dimension) -> Measured:
    return Measured(dimension.name, dimension.low, dimension.high, dimension.weight)

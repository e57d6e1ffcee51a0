"""The rows a head is solved on, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Matrix
from trainers.learners.heads.families.family import Family, Gold
from trainers.learners.heads.families.multinomial import Multinomial
from trainers.learners.heads.label_words.starts import Starts
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.protocols import Example

_SECONDS_A_DAY = 86_400.0
MULTINOMIAL: Family = Multinomial()


@dataclass(frozen=True, slots=True)
class HeadRows:
    """n rows with features and labels."""

    features: Matrix
    """Shape (n, features)."""
    labels: Gold
    """As `family` writes them: the id of each row's label, or which labels each has."""
    weights: Floats
    """By trust and by who gave it; above 0."""
    days: Floats
    """Event time, in days since 1970."""
    documents: Ids
    """A number for each document; a row of its own has one of its own."""
    independent: npt.NDArray[np.bool_]
    """Whether a row was chosen without looking at a model's answer."""
    family: Family = MULTINOMIAL
    starts: npt.NDArray[np.float32] | None = None
    """Shape (labels, features): what the words of each label say in these features, by id; None where no label has words."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: Ids) -> HeadRows:
        """Return some of the rows."""
        return HeadRows(
            self.features[places], self.labels[places], self.weights[places], self.days[places], self.documents[places],
            self.independent[places], self.family, self.starts,
        )  # fmt: skip

    def with_features(self, features: Matrix) -> HeadRows:
        """Return the same rows as another encoder sees them, of which nothing is known of words."""
        return replace(self, features=features, starts=None)

    def centre(self, trust: float) -> npt.NDArray[np.float32] | None:
        """Return what weights are drawn to where words are trusted so far: shape (labels, features); None: to zero."""
        return None if self.starts is None or trust <= 0.0 else np.float32(trust) * self.starts


def days_of(rows: Sequence[Example]) -> Floats:
    """Return the event times (n) of examples, in days since 1970."""
    return np.array([row.event_time.timestamp() for row in rows], dtype=np.float64) / _SECONDS_A_DAY


def head_rows(
    rows: Sequence[Example], features: Matrix, labels: LabelSet, family: Family = MULTINOMIAL, starts: Starts | None = None
) -> HeadRows:
    """Return examples, whose labels are among `labels`, and their features, shape (rows, features).

    `starts` is what the words of labels say in these features.
    """
    documents: dict[str, int] = {}
    return HeadRows(
        features,
        family.encoded(rows, labels.ids),
        np.array([row.weight for row in rows], dtype=np.float64),
        days_of(rows),
        np.array([documents.setdefault(row.document or f"\0{row.example_id}", len(documents)) for row in rows], dtype=np.intp),
        np.array([row.independent for row in rows], dtype=bool),
        family,
        None if starts is None else starts.scaled(labels.names, features),
    )

"""How often a run sees each of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from config.task_files.sections.training import Training
from trainers.learners.entities.alignment import TokenSpan

_ENOUGH_OF_A_TYPE = 300
"""Entities of a type that a run sees at least, counted over all passes, where repeating older rows can bring them."""


class Laid(Protocol):
    """A row laid on tokens."""

    @property
    def entities(self) -> Sequence[TokenSpan]:
        """Its entities."""
        ...

    @property
    def is_new(self) -> bool:
        """Whether the champion has not learnt from it."""
        ...


def passes_of(rows: Sequence[Laid], training: Training, *, full: bool) -> list[int]:
    """Return the passes over each row.

    In a full run every row is seen in every epoch. In an incremental one new rows are; older ones have `replay_epochs` passes,
    and more where one of their types is rare.
    """
    epochs = training.full_epochs if full else training.epochs
    few = epochs if full or training.replay_epochs is None else min(training.replay_epochs, epochs)
    carried = Counter(label for row in rows for _first, _after, label in row.entities)
    return [
        epochs
        if row.is_new
        else min(epochs, max([few, *(-(-_ENOUGH_OF_A_TYPE // carried[label]) for _, _, label in row.entities)]))
        for row in rows
    ]

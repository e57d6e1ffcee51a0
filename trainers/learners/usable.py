"""Which rows a classifier can learn from, and which labels it will know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from config.errors import RunFailedError
from config.words import named
from perennial_artifact.labels import LabelSet
from trainers.learners.label_set import grow
from trainers.learners.protocols import Example, TrainingPlan


@dataclass(frozen=True, slots=True)
class Usable:
    """What is left to learn from."""

    labels: LabelSet
    rows: Sequence[Example]
    note: str
    """Which rows were left out and why; empty where none was."""


def usable(plan: TrainingPlan, previous: LabelSet | None, *, from_base: bool) -> Usable:
    """Return the labels of the next model and the rows that carry them; rows that weigh nothing are left out.

    A model `from_base` answers no label that its rows do not carry. Raises `RunFailedError` when too few are left to tell labels
    apart.
    """
    counts = Counter(str(row.target["label"]) for row in plan.rows if row.weight > 0)
    labels = grow(plan.spec, counts, previous, from_base=from_base)
    rows = [row for row in plan.rows if row.weight > 0 and row.target["label"] in labels.seen]
    return Usable(labels, rows, _left_out(plan, labels, rows, counts))


def _left_out(plan: TrainingPlan, labels: LabelSet, rows: Sequence[Example], counts: Counter[str]) -> str:
    """Say which rows cannot be learnt from yet. Raises `RunFailedError` when too few are left to tell labels apart."""
    absent = sorted(counts.keys() - labels.seen, key=lambda name: (-counts[name], name))
    reason = f"a new label joins when {plan.spec.new_label_min_examples} rows carry it"
    if len(labels.names) >= plan.spec.max_labels:
        reason += f", and while a model has fewer than {plan.spec.max_labels} labels (max_labels)"
    note = f"left out {len(plan.rows) - len(rows)} rows with labels {named(absent)}; {reason}" if absent else ""
    if len(labels.seen) >= 2 and rows:  # noqa: PLR2004 - one label alone is nothing to tell apart
        return note
    message = (
        f"task {plan.spec.name!r} has {len(rows)} usable rows with {len(labels.seen)} labels, and at least two labels are needed "
        f"({note or reason}). Send more labelled examples; the next trigger tries again"
    )
    raise RunFailedError(message)

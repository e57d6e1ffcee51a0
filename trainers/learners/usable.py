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


def with_one_label(plan: TrainingPlan, previous: LabelSet | None) -> Usable:
    """Return the labels of the next model and the rows that carry one of them; rows that weigh nothing are left out.

    It answers no label that its rows do not carry. Raises `RunFailedError` when too few are left to tell labels apart.
    """
    counts = Counter(str(row.target["label"]) for row in plan.rows if row.weight > 0)
    labels = grow(plan.spec, counts, previous, from_base=True)
    rows = [row for row in plan.rows if row.weight > 0 and row.target["label"] in labels.seen]
    return Usable(labels, rows, _left_out(plan, labels, rows, counts))


def with_several_labels(plan: TrainingPlan, previous: LabelSet | None) -> Usable:
    """Return the labels of the next model and all rows that weigh something: without a label they say what has none.

    A label that joins no model yet is one that a row says nothing of. Raises `RunFailedError` when no label is left, or no row
    lacks any.
    """
    weighed = [row for row in plan.rows if row.weight > 0]
    counts = Counter(label for row in weighed for label in row.target["labels"] if label not in plan.waiting)
    labels = grow(plan.spec, counts, previous, from_base=True)
    absent = sorted(counts.keys() - labels.seen, key=lambda name: (-counts[name], name))
    note = f"labels {named(absent)} are not learnt yet; {_how_a_label_joins(plan, labels)}" if absent else ""
    if any(counts[label] < len(weighed) for label in labels.seen):
        return Usable(labels, weighed, note)
    message = (
        f"task {plan.spec.name!r} has {len(weighed)} usable rows with {len(labels.seen)} labels, and none of them tells a label "
        f"apart ({note or _how_a_label_joins(plan, labels)}). Send more labelled examples, also of texts without the label; the "
        "next trigger tries again"
    )
    raise RunFailedError(message)


def _left_out(plan: TrainingPlan, labels: LabelSet, rows: Sequence[Example], counts: Counter[str]) -> str:
    """Say which rows cannot be learnt from yet. Raises `RunFailedError` when too few are left to tell labels apart."""
    absent = sorted(counts.keys() - labels.seen, key=lambda name: (-counts[name], name))
    reason = _how_a_label_joins(plan, labels)
    note = f"left out {len(plan.rows) - len(rows)} rows with labels {named(absent)}; {reason}" if absent else ""
    if len(labels.seen) >= 2 and rows:  # noqa: PLR2004 - one label alone is nothing to tell apart
        return note
    message = (
        f"task {plan.spec.name!r} has {len(rows)} usable rows with {len(labels.seen)} labels, and at least two labels are needed "
        f"({note or reason}). Send more labelled examples; the next trigger tries again"
    )
    raise RunFailedError(message)


def _how_a_label_joins(plan: TrainingPlan, labels: LabelSet) -> str:
    reason = f"a new label joins when {plan.spec.new_label_min_examples} rows carry it"
    if len(labels.names) >= plan.spec.max_labels:
        reason += f", and while a model has fewer than {plan.spec.max_labels} labels (max_labels)"
    return reason

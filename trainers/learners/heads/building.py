"""A solved head for a model's labels, with what newer rows say of how it should answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import UNLEARNT_BIAS, Head, Solved
from trainers.learners.heads.families.family import Answering
from trainers.learners.heads.label_words.unseen import from_words
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.solving import Weights
from trainers.learners.heads.validation import forward
from trainers.learners.heads.validation.forward import Choice


def build(
    rows: HeadRows,
    labels: LabelSet,
    choice: Choice,
    about: Solved,
    *,
    start: Head | None = None,
    declared: Collection[str] = (),
) -> Head:
    """Return the head of `choice` on all rows, whose label ids are those of `labels`.

    `about` says what the encoder was tuned on; the rest is filled in. `start` is a head of the same encoder to begin from. A
    label of `declared` that no row carries is answered from its words, where these are trusted. Raises `RunFailedError` when the
    rows have one label only, or features that are not finite.
    """
    found, shares = forward.solved(rows, choice, start=None if start is None else _begin(start, labels))
    answering = rows.family.answering(forward.judged_rows(rows, choice), rows.labels)
    found, answering = from_words(
        rows, found, answering, choice.words, [labels.ids[name] for name in declared if name in labels.ids]
    )
    temperature = answering.temperature
    weight = np.zeros((len(labels.names), rows.features.shape[1]), dtype=np.float32)
    bias = np.full(len(labels.names), UNLEARNT_BIAS, dtype=np.float32)
    weight[found.labels], bias[found.labels] = found.weight / temperature, found.bias / temperature
    answered = {labels.names[number] for number in found.labels}
    answerable = LabelSet(labels.names, frozenset(answered & {*labels.seen, *declared}))
    about = replace(
        about, rows=len(rows), half_life_days=choice.half_life_days, prior_days=choice.prior_days, strength=choice.strength,
        words=choice.words if rows.starts is not None else 0.0, temperature=temperature,
        prior={labels.names[number]: share for number, share in (shares or {}).items()},
    )  # fmt: skip
    return Head(weight, bias, answerable, about, thresholds_of(answering, len(labels.names)))


def choice_of(head: Head) -> Choice:
    """Return how a head was solved; of one that never was, such as a converted one, the default."""
    if head.solved.rows == 0:
        return Choice()
    return Choice(head.solved.half_life_days, head.solved.prior_days, head.solved.strength, head.solved.words)


def thresholds_of(answering: Answering, labels: int) -> npt.NDArray[np.float32] | None:
    """Return the threshold of each of so many labels, shape (labels); None where the most probable label is given."""
    if answering.thresholds is None:
        return None
    found = np.full(labels, answering.threshold, dtype=np.float32)
    found[list(answering.thresholds)] = list(answering.thresholds.values())
    return found


def _begin(head: Head, labels: LabelSet) -> Weights:
    """Return the weights that a head has for labels of `labels`, by their ids there, before they were divided."""
    ids = labels.ids
    kept = sorted(
        (ids[name], number) for number, name in enumerate(head.labels.names) if name in head.labels.seen and name in ids
    )
    places = [number for _new, number in kept]
    temperature = np.float32(head.solved.temperature)
    return Weights(
        np.array([new for new, _number in kept], dtype=np.intp),
        head.weight[places] * temperature,
        head.bias[places] * temperature,
    )

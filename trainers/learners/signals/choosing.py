"""How the heads of signals are solved: the scores' as a regression's, the tags' as a classifier's, each chosen by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from perennial_artifact.keywords import NOTHING, Keywords
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Head, Solved
from perennial_artifact.sentence.signal_head import ScoresSolved, SignalHead, Told
from trainers.learners.heads import building
from trainers.learners.heads.solving import Weights
from trainers.learners.heads.validation import forward
from trainers.learners.protocols import Example
from trainers.learners.ridge import choosing as ridge
from trainers.learners.ridge.solving import Loss, Map
from trainers.learners.signals.rows import Shown, SignalRows
from trainers.learners.tried import Tried

_DEFAULT_THRESHOLD = 0.5
_MOST_CHOSEN_CELLS = 60_000
"""Rows times categories by which it is chosen how tags are solved; more are thinned out evenly, as each category takes a fit."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How the heads are solved."""

    scores: ridge.Choice = ridge.Choice()  # noqa: RUF009 - frozen
    tags: forward.Choice = forward.Choice(strength=3.0)  # noqa: RUF009 - frozen

    @property
    def name(self) -> str:
        """The choice in words, for the run's report."""
        return f"scores: {self.scores.name}; tags: {self.tags.name}"


@dataclass(frozen=True, slots=True)
class Start:
    """Heads to tune an encoder with."""

    scores: Map
    tags: Weights


def choice_of(head: SignalHead) -> Choice:
    """Return how heads were solved."""
    told = head.solved
    return Choice(
        ridge.Choice(head.scores_solved.half_life_days, head.scores_solved.strength),
        forward.Choice(told.half_life_days, told.prior_days, told.strength),
    )


def choose(rows: SignalRows, before: Choice, note: Callable[[Tried], None]) -> Choice:
    """Return the choices whose heads answer newer rows best, of scores and of tags; see `ridge.choosing` and `heads.forward`."""
    scores = ridge.choose(rows.scores, before.scores, _noting("scores", note))
    order = np.argsort(rows.tags.days, kind="stable")
    tags = rows.tags.take(order[:: max(1, -(-rows.tags.labels.size // _MOST_CHOSEN_CELLS))])
    fits = tags.family.can_fit(tags.labels)
    return Choice(scores, forward.choose(tags, before.tags, _noting("tags", note)) if fits else before.tags)


def compare(first: SignalRows, second: SignalRows, choice: Choice, *, newer_than_days: float) -> tuple[Tried, Tried, bool] | None:
    """Return how heads on two encoders' features answer rows newer than a time, and whether the second is better.

    It is where it is clearly better in scores or in tags, and in the other of them no worse. None where too little can be judged.
    """
    numbers = ridge.compare(first.scores, second.scores, choice.scores, newer_than_days=newer_than_days)
    labels = forward.compare(first.tags, second.tags, choice.tags, newer_than_days=newer_than_days)
    if numbers is None or labels is None:
        return numbers or labels
    better = (numbers[2] or labels[2]) and _no_worse(numbers, labels)
    one, other = (
        Tried(
            name=scores.name, scores={**scores.scores, **tags.scores}, cpu_s=scores.cpu_s + tags.cpu_s, chosen=better == is_second
        )
        for is_second, scores, tags in ((False, numbers[0], labels[0]), (True, numbers[1], labels[1]))
    )
    return one, other, better


def start(rows: SignalRows, choice: Choice, loss: Loss) -> Start:
    """Return heads to tune with."""
    tags = rows.tags.family.solve(rows.tags.features, rows.tags.labels, rows.tags.weights, strength=choice.tags.strength)
    return Start(ridge.solved(rows.scores, choice.scores, loss), tags)


def build(
    rows: SignalRows,
    shown: Shown,
    choice: Choice,
    loss: Loss,
    about: Solved,
    *,
    keywords: Keywords | None = None,
    before: SignalHead | None = None,
) -> SignalHead:
    """Return the heads of `choice` on all rows; `about` says what the encoder was tuned on, the rest is filled in.

    `keywords` are those whose hits the rows have behind their features; `before` are heads of the same encoder to begin from.
    Raises `RunFailedError` for features that are not finite.
    """
    scores = ridge.solved(rows.scores, choice.scores, loss)
    labels = shown.labels
    width = rows.scores.features.shape[1]
    if labels.names:
        head = building.build(rows.tags, labels, choice.tags, about, start=None if before is None else tags_of(before))
    else:
        about = replace(about, rows=len(rows), strength=choice.tags.strength)
        head = Head(np.zeros((0, width), np.float32), np.zeros(0, np.float32), labels, about)
    return SignalHead(
        np.concatenate([scores.weight, head.weight]), np.concatenate([scores.bias, head.bias]), _told(shown, head.thresholds),
        head.solved, ScoresSolved(choice.scores.half_life_days, choice.scores.strength), keywords,
    )  # fmt: skip


def tags_of(head: SignalHead) -> Head | None:
    """Return the tags' part as a classifier's head; None where it has none."""
    names = Shown(tuple((one.name, one.tags) for one in head.categories)).labels.names
    first = len(head.categories)
    return Head(head.weight[first:], head.bias[first:], LabelSet(names, frozenset(names)), head.solved) if names else None


def told_by(rows: Sequence[Example], shown: Shown) -> tuple[Told, ...]:
    """Return the categories with thresholds that follow from the share of rows that say something."""
    family, labels = shown.family, shown.labels
    answering = family.answering(None, family.encoded(rows, labels.ids))
    return _told(shown, building.thresholds_of(answering, len(labels.names)))


def _told(shown: Shown, thresholds: npt.NDArray[np.float32] | None) -> tuple[Told, ...]:
    """Return the categories with the thresholds that stand at the places of `none`."""
    found, first = [], 0
    for name, tags in shown.categories:
        known = thresholds is not None and NOTHING in tags
        threshold = float(thresholds[first + tags.index(NOTHING)]) if known and thresholds is not None else _DEFAULT_THRESHOLD
        found.append(Told(name, tags, threshold))
        first += len(tags)
    return tuple(found)


def _no_worse(numbers: tuple[Tried, Tried, bool], labels: tuple[Tried, Tried, bool]) -> bool:
    error, log = "scaled_error", "log_probability"
    return numbers[1].scores[error] <= numbers[0].scores[error] and labels[1].scores[log] >= labels[0].scores[log]


def _noting(what: str, note: Callable[[Tried], None]) -> Callable[[Tried], None]:
    return lambda tried: note(tried.model_copy(update={"name": f"{what}: {tried.name}"}))

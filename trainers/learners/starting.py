"""Before an encoder is tuned: which one to start from, whether tuning it pays, and the head to tune it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Generic, TypeVar

from perennial_artifact.sentence.head import Features, Solved
from trainers.learners.features import FeatureSet
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.tried import Tried

_LEAST_KNOWN = 0.9
"""Share of the rows whose features must be stored for them to speak for all."""

RowsT = TypeVar("RowsT", bound=Sized)
ChoiceT = TypeVar("ChoiceT")
HeadT = TypeVar("HeadT")


@dataclass(frozen=True, slots=True)
class Start(Generic[ChoiceT, HeadT]):
    """What a slow run begins with."""

    from_champion: bool
    """Whether the champion's encoder goes on; else the base model's."""
    tune: bool
    choice: ChoiceT | None
    """How the head is solved, chosen on features that had not seen the rows; None where none are stored."""
    head: HeadT | None
    """A head on the features of the encoder to start from, where these are stored."""


@dataclass(frozen=True, slots=True)
class Ways(Generic[RowsT, ChoiceT, HeadT]):
    """What differs between heads: how rows with features are read, how a head is chosen, judged and solved."""

    rows: Callable[[Sequence[Example], Features], RowsT]
    choose: Callable[[RowsT, ChoiceT], ChoiceT]
    """Returns how a head is solved, given how it was solved before."""
    compare: Callable[[RowsT, RowsT, ChoiceT, float], tuple[Tried, Tried, bool] | None]
    """Of two encoders' features and a time in days since 1970: how newer rows are answered, and whether the second is better."""
    solve: Callable[[RowsT, ChoiceT], HeadT | None]


def where_to_start(
    plan: TrainingPlan,
    rows: Sequence[Example],
    before: ChoiceT,
    champion: Solved | None,
    ways: Ways[RowsT, ChoiceT, HeadT],
) -> Start[ChoiceT, HeadT]:
    """Return how a slow run begins; what was tried on the way is noted. `champion` is what its head says of itself, if any.

    An incremental run goes on tuning the champion's encoder, unless `training.tuning` says never, or (auto) the rows newer than
    what that encoder was tuned on are answered clearly better from the base model's features: then these are taken as they are.
    """
    tuning = plan.spec.training.tuning
    base = _known(plan.base_features, rows, ways)
    choice = None if base is None else ways.choose(base, before)
    used = before if choice is None else choice
    if champion is None:
        return Start(
            from_champion=False, tune=tuning != "never", choice=choice, head=None if base is None else ways.solve(base, used)
        )
    if tuning == "never":
        return Start(from_champion=True, tune=False, choice=choice, head=None)
    ours = _known(plan.champion_features, rows, ways)
    if tuning == "auto" and base is not None and ours is not None and _base_is_better(plan, ours, base, used, champion, ways):
        return Start(from_champion=False, tune=False, choice=choice, head=None)
    return Start(from_champion=True, tune=True, choice=choice, head=None if ours is None else ways.solve(ours, used))


def _base_is_better(  # noqa: PLR0917 - all of them are what one run has
    plan: TrainingPlan, ours: RowsT, base: RowsT, choice: ChoiceT, champion: Solved, ways: Ways[RowsT, ChoiceT, HeadT]
) -> bool:
    """Return whether tuning has not paid so far: the champion's features against the base's on rows its encoder has not seen."""
    until = champion.tuned_until_days
    found = ways.compare(ours, base, choice, until) if until is not None and len(ours) == len(base) else None
    if found is None:
        return False
    first, second, better = found
    plan.note_tried(first.model_copy(update={"name": "tuned features on rows newer than the tuning"}))
    plan.note_tried(second.model_copy(update={"name": "the base model's features on the same rows"}))
    return better


def _known(features: FeatureSet | None, rows: Sequence[Example], ways: Ways[RowsT, ChoiceT, HeadT]) -> RowsT | None:
    """Return the rows whose features are stored; None where that is not nearly all of them."""
    known = [row for row in rows if features is not None and row.example_id in features]
    if features is None or not known or len(known) < _LEAST_KNOWN * len(rows):
        return None
    return ways.rows(known, features.rows([row.example_id for row in known]))

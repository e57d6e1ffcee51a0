"""The rows that signals are learnt from, as columns: scores as numbers of dimensions, tags as labels in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from config.errors import RunFailedError
from config.kinds.signals.categories import SIGNALS, Category, label_of
from perennial_artifact.keywords import NOTHING, Keywords
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Features
from perennial_artifact.sentence.numbers import Measured
from perennial_artifact.sentence.signal_head import with_hits
from trainers.learners.heads.families.grouped import Grouped
from trainers.learners.heads.rows import HeadRows, head_rows
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.ridge.rows import NumberRows, number_rows


@dataclass(frozen=True, slots=True)
class Shown:
    """The categories and tags that rows show."""

    categories: tuple[tuple[str, tuple[str, ...]], ...]
    """Each with the tags that a row has, in the order of the task file."""

    @property
    def measured(self) -> tuple[Measured, ...]:
        """The scores, as dimensions."""
        return tuple(Measured(name, -1.0, 1.0) for name, _tags in self.categories)

    @property
    def labels(self) -> LabelSet:
        """The tags of all categories, one category after the other."""
        names = tuple(label_of(name, tag) for name, tags in self.categories for tag in tags)
        return LabelSet(names, frozenset(names))

    @property
    def family(self) -> Grouped:
        """How the tags are told apart."""
        told = [(name, tags) for name, tags in self.categories if tags]
        starts = [sum(len(tags) for _name, tags in told[:at]) for at in range(len(told))]
        silent = {start + tags.index(NOTHING) for start, (_name, tags) in zip(starts, told, strict=True) if NOTHING in tags}
        return Grouped(tuple(name for name, _tags in told), tuple(starts), frozenset(silent), _tag_of)


@dataclass(frozen=True, slots=True)
class Usable:
    """What is left to learn from."""

    shown: Shown
    rows: Sequence[Example]
    note: str
    """Which categories no row tells anything of, and which have one tag only; empty where there are none."""


@dataclass(frozen=True, slots=True)
class SignalRows:
    """n rows with features: the same rows twice, as scores and as tags."""

    scores: NumberRows
    tags: HeadRows

    def __len__(self) -> int:
        return len(self.scores)


def usable(plan: TrainingPlan) -> Usable:
    """Return the rows that weigh something and tell a category of the task, and the categories and tags that they show.

    Raises `RunFailedError` when there is no such row.
    """
    known = {category.name for category in plan.spec.signals}
    rows = [row for row in plan.rows if row.weight > 0 and not known.isdisjoint(row.target[SIGNALS])]
    if not rows:
        message = (
            f"task {plan.spec.name!r} has no usable row that tells one of {', '.join(sorted(known))}. Send some; the next "
            "trigger tries again"
        )
        raise RunFailedError(message)
    shown = shown_by(rows, plan.spec.signals)
    absent = [category.name for category in plan.spec.signals if category.name not in dict(shown.categories)]
    alone = [f"{name} ({tags[0]})" for name, tags in shown.categories if len(tags) == 1]
    notes = [f"no row tells {', '.join(absent)}; the model will not answer with it"] if absent else []
    notes += [f"all rows have one tag in {', '.join(alone)}, and so has every answer"] if alone else []
    return Usable(shown, rows, "; ".join(notes))


def shown_by(rows: Sequence[Example], categories: Sequence[Category]) -> Shown:
    """Return the categories and tags that rows show."""
    tags: dict[str, set[str]] = {}
    for row in rows:
        for name, said in row.target[SIGNALS].items():
            tags.setdefault(name, set()).update([] if said.get("tag") is None else [said["tag"]])
    found = [(one.name, tuple(tag for tag in one.tag_names if tag in tags[one.name])) for one in categories if one.name in tags]
    return Shown(tuple(found))


def signal_rows(rows: Sequence[Example], features: Features, shown: Shown, keywords: Keywords | None = None) -> SignalRows:
    """Return examples with their features, shape (rows, features), and behind them the hits of keywords."""
    features = with_hits(features, [row.text for row in rows], keywords)
    return SignalRows(
        number_rows(as_numbers(rows), features, shown.measured), head_rows(rows, features, shown.labels, shown.family)
    )


def as_numbers(rows: Sequence[Example]) -> list[Example]:
    """Return the rows as those of a regression: the score of each category."""
    return [replace(row, target={"values": {name: said["score"] for name, said in row.target[SIGNALS].items()}}) for row in rows]


def _tag_of(row: Example, name: str) -> str | None:
    tag = row.target[SIGNALS].get(name, {}).get("tag")
    return None if tag is None else label_of(name, tag)

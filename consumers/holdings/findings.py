"""Leaks, shifts and holes in what the buffer holds for a task; pure functions of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from config.tasks import TaskSpec
from consumers.holdings.columns import NONE, Hashes, Holdings, month_name

Mask = npt.NDArray[np.bool_]
LEAST_DISTANCE = 0.1
"""A shift of less, as the largest difference of any set of labels' shares, is not worth a word ..."""
LEAST_SURE = 0.01
"""... nor one that chance brings about more often."""
_MOVERS = 5
_FEW_SOURCES = 10
"""Rows from which a label with one source is told."""
_MOST_NAMED = 20
_NEWEST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that stands on the train side and on a side that measures."""

    sort: Literal["text", "document", "story"]
    times: int
    """How many texts, documents or stories."""
    train: int
    """Training rows of them."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A name whose share differs."""

    name: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Shift:
    """How far two parts of the rows differ."""

    what: Literal["labels", "sources", "languages"]
    between: Literal["train and test", "older and newest"]
    rows: tuple[int, int]
    distance: float
    """Total variation: half the sum of the differences of shares, 0..1."""
    chance: float
    """How often chance alone would show as much (chi-squared test)."""
    moved: tuple[Moved, ...]

    @property
    def matters(self) -> bool:
        """Whether it is large, and hardly chance."""
        return self.distance >= LEAST_DISTANCE and self.chance < LEAST_SURE


@dataclass(frozen=True, slots=True)
class Hole:
    """What is missing."""

    sort: Literal["label", "test", "few", "month", "source", "every_source"]
    names: tuple[str, ...]
    """The labels or months; the first 20."""
    times: int
    """How many there are in all."""


def leaks(held: Holdings) -> list[Leak]:
    """Return what stands on both sides. A row that was dropped stands on none."""
    train, measured = held.on("train"), held.on("test", "anchor")
    found = []
    sorts: tuple[tuple[Literal["text", "document", "story"], Hashes], ...] = (
        ("text", held.text), ("document", held.document), ("story", held.story),
    )  # fmt: skip
    for sort, names in sorts:
        both = np.intersect1d(names[train & (names != NONE)], names[measured & (names != NONE)])
        if len(both):
            found.append(Leak(sort, len(both), int(np.isin(names[train], both).sum())))
    return found


def shifts(held: Holdings) -> list[Shift]:
    """Return how labels, sources and languages differ between the sides, and between the newest quarter and the rest."""
    used = held.on("train", "test", "anchor")
    border = np.quantile(held.times[used], 1 - _NEWEST_SHARE) if used.any() else 0
    parts: tuple[tuple[Literal["train and test", "older and newest"], Mask, Mask], ...] = (
        ("train and test", held.on("train"), held.on("test")),
        ("older and newest", used & (held.times <= border), used & (held.times > border)),
    )
    found = []
    for between, one, other in parts:
        for what, counts, names in (
            ("labels", held.by_label, held.labels), ("sources", held.by_source, held.sources),
            ("languages", held.by_language, held.languages),
        ):  # fmt: skip
            shift = _shift(what, between, counts(one), counts(other), names)
            if shift is not None:
                found.append(shift)
    return found


def _shift(
    what: str, between: Literal["train and test", "older and newest"], one: npt.NDArray[np.int64],
    other: npt.NDArray[np.int64], names: Sequence[str],
) -> Shift | None:  # fmt: skip
    if not one.sum() or not other.sum():
        return None
    before, after = one / one.sum(), other / other.sum()
    apart = after - before
    chance = _chance(np.stack([one, other])[:, one + other > 0])
    order = np.argsort(-np.abs(apart), kind="stable")[:_MOVERS]
    moved = tuple(Moved(names[at], float(before[at]), float(after[at])) for at in order if apart[at])
    return Shift(
        what, between, (int(one.sum()), int(other.sum())), float(np.abs(apart).sum() / 2), chance, moved,  # type: ignore[arg-type]  # one of three
    )  # fmt: skip


def _chance(counts: npt.NDArray[np.int64]) -> float:
    """Return how often chance alone would set two rows of counts, shape (2, names), as far apart (Pearson's chi-squared test)."""
    if counts.shape[1] < 2:  # noqa: PLR2004 - one name cannot move
        return 1.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    # Not `scipy.stats`, which takes a second to import.
    return float(chdtrc(counts.shape[1] - 1, ((counts - expected) ** 2 / expected).sum()))


def holes(held: Holdings, task: TaskSpec) -> list[Hole]:
    """Return labels without rows or without test rows, months without rows, and labels that come from one source alone."""
    train, test = held.by_label(held.on("train")), held.by_label(held.on("test"))
    carried = {name: at for at, name in enumerate(held.labels)}
    found = [_hole("label", [name for name in task.label_names if name not in carried])]
    known = [name for name, at in carried.items() if train[at] or test[at]]
    found.append(_hole("test", [name for name in known if not test[carried[name]]]))
    few = [name for name in known if 0 < train[carried[name]] < task.new_label_min_examples]
    found.append(_hole("few", few))
    used = held.on("train", "test", "anchor")
    months = np.unique(held.months[used])
    if len(months):
        found.append(_hole("month", [month_name(month) for month in np.setdiff1d(np.arange(months[0], months[-1]), months)]))
    found.append(_of_one_source(held, used))
    return [hole for hole in found if hole.times]


def _of_one_source(held: Holdings, used: Mask) -> Hole:
    """Return the labels whose rows all come from one source: a model that can tell the source needs to learn no more."""
    chosen = used[held.labelled] & (held.source[held.labelled] >= 0)
    labels, sources = held.label_of[chosen], held.source[held.labelled[chosen]]
    if len(np.unique(sources)) < 2:  # noqa: PLR2004 - one source for all tells labels not apart
        return Hole("source", (), 0)
    pairs = np.unique(np.stack([labels, sources]), axis=1)
    several = np.bincount(pairs[0], minlength=len(held.labels))
    rows = np.bincount(labels, minlength=len(held.labels))
    alone = np.flatnonzero((several == 1) & (rows >= _FEW_SOURCES))
    large = np.flatnonzero(rows >= _FEW_SOURCES)
    every = len(alone) == len(large) and len(large) > 1
    return _hole("every_source" if every else "source", [held.labels[at] for at in alone.tolist()])


def _hole(sort: Literal["label", "test", "few", "month", "source", "every_source"], names: Sequence[str]) -> Hole:
    return Hole(sort, tuple(sorted(names)[:_MOST_NAMED]), len(names))

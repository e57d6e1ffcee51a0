"""Parts of the rows that are scored on their own: by age and length, corrections, languages, sources, labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from trainers.compare.answers import Answers, Where, rows_where
from trainers.compare.metrics.metric import LabelScores, Metric
from trainers.compare.metrics.scale import MaybeInfinite
from trainers.compare.reading import Reading

MIN_SLICE_ROWS = 10
"""A slice with fewer rows is not reported."""
MAX_LABEL_SLICES = 100
"""Labels with a slice of their own, those with most rows: more than that nobody reads."""
QUARTER = 4
"""Slices by age and by length hold one row of this many."""
LENGTH = "length"
"""The column of scores with each text's length in characters."""
LABEL = "label:"
SOURCE = "source:"
OVERLAP = "labels that both know"
"""Test rows without a label that the champion cannot know: it is of before that label, and is wrong on all others."""


class Slice(BaseModel):
    """A part of the rows, scored by both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    champion_score: MaybeInfinite
    candidate_score: MaybeInfinite
    lower_is_better: bool = False
    documents: int = 0
    """Independent pieces of evidence: documents, with what shares their story. 0 of parts that no guard looks at."""
    standard_error: MaybeInfinite | None = None
    """Of the gain, by document. None of parts that no guard looks at."""

    @property
    def gain(self) -> float:
        """Improvement in the metric's direction: positive where the candidate is better."""
        return (
            (self.champion_score - self.candidate_score) if self.lower_is_better else (self.candidate_score - self.champion_score)
        )


def slice_of(metric: Metric, name: str, read: Reading, where: Where, *, at_least: int = MIN_SLICE_ROWS) -> Slice | None:
    """Return both models' scores on a part of the rows; None where it has fewer than `at_least`."""
    if len(where) < at_least:
        return None
    candidate, champion = read.pair(where).scores()
    return _slice(metric, name, LabelScores(len(where), candidate, champion))


def places_of(scores: pa.Table, test: Where, guarded: Collection[str]) -> dict[str, Where]:
    """Return the rows of each slice that rows themselves tell of: the newest quarter, corrections, and each language.

    The other quarters by age and by length, and sources, are slices where they are `guarded`. Scores of earlier releases tell
    neither length nor source.
    """
    quarter = len(test) // QUARTER
    by_time = test[np.argsort(scores["event_time"].to_numpy()[test], kind="stable")]
    parts: dict[str, Where] = {
        "newest": by_time[len(test) - quarter :],
        "corrections": rows_where(scores["role"], "corrections"),
    }
    if "oldest" in guarded:
        parts["oldest"] = by_time[:quarter]
    if LENGTH in scores.column_names and not {"shortest", "longest"}.isdisjoint(guarded):
        by_length = test[np.argsort(scores[LENGTH].to_numpy()[test], kind="stable")]
        ends = {"shortest": by_length[:quarter], "longest": by_length[len(test) - quarter :]}
        parts |= {name: where for name, where in ends.items() if name in guarded}
    languages = scores["language"].take(pa.array(test))
    spoken = sorted(name for name in languages.unique().to_pylist() if name)
    parts |= {f"language:{name}": test[rows_where(languages, name)] for name in spoken}
    sources = sorted(name.removeprefix(SOURCE) for name in guarded if name.startswith(SOURCE))
    if sources and "source" in scores.column_names:
        told = scores["source"].take(pa.array(test))
        parts |= {f"{SOURCE}{name}": test[rows_where(told, name)] for name in sources}
    return parts


def of_known_labels(task: TaskSpec, deciding: Answers, test: Where, known: Collection[str]) -> Where:
    """Return those of the rows `test`, whose answers are `deciding`, that carry `known` labels alone."""
    kind, names = kinds.get(task.kind), frozenset(known)
    return test[[names.issuperset(kind.labels(gold)) for gold in deciding.gold]] if len(test) else test


def labels_of(task: TaskSpec, deciding: Answers) -> frozenset[str]:
    """Return the labels that deciding rows carry."""
    kind = kinds.get(task.kind)
    return frozenset(name for gold in deciding.gold for name in kind.labels(gold))


def slices_of(metric: Metric, read: Reading, places: Mapping[str, Where]) -> Iterator[Slice]:
    """Yield the slices of `places_of` with enough rows. All rows were `read`."""
    for name, where in places.items():
        if (found := slice_of(metric, name, read, where)) is not None:
            yield found


def label_slices(metric: Metric, by_label: Mapping[str, LabelScores], guarded: Collection[str]) -> Iterator[Slice]:
    """Yield the slices of labels with enough rows, by name: those with most, and those that `guarded` names."""
    enough = {label: found.rows for label, found in by_label.items() if found.rows >= MIN_SLICE_ROWS}
    most_first = sorted(enough, key=lambda label: (-enough[label], label))
    named = enough.keys() & {name.removeprefix(LABEL) for name in guarded}
    for label in sorted({*most_first[:MAX_LABEL_SLICES], *named}):
        yield _slice(metric, f"{LABEL}{label}", by_label[label])


def _slice(metric: Metric, name: str, found: LabelScores) -> Slice:
    return Slice(
        name=name,
        rows=found.rows,
        champion_score=found.opponent,
        candidate_score=found.candidate,
        lower_is_better=metric.scale.lower_is_better,
    )

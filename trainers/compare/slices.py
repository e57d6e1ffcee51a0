"""Parts of the rows that are scored on their own: the newest, corrections, languages, labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from trainers.compare.answers import Answers, Where, rows_where
from trainers.compare.metrics.metric import LabelScores, Metric
from trainers.compare.metrics.scale import MaybeInfinite

MIN_SLICE_ROWS = 10
"""A slice with fewer rows is not reported."""
MAX_LABEL_SLICES = 100
"""Labels with a slice of their own, those with most rows: more than that nobody reads."""
NEWEST_SHARE = 4
"""The newest slice holds one row of this many."""
LABEL = "label:"


class Slice(BaseModel):
    """A part of the rows, scored by both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    champion_score: MaybeInfinite
    candidate_score: MaybeInfinite
    lower_is_better: bool = False

    @property
    def gain(self) -> float:
        """Improvement in the metric's direction: positive where the candidate is better."""
        return (
            (self.champion_score - self.candidate_score) if self.lower_is_better else (self.candidate_score - self.champion_score)
        )


def slice_of(metric: Metric, name: str, part: Answers, *, at_least: int = MIN_SLICE_ROWS) -> Slice | None:
    """Return both models' scores on a part of the rows; None where it has fewer than `at_least`."""
    if len(part) < at_least:
        return None
    candidate, champion = metric.pair(*part.columns).scores()
    return _slice(metric, name, LabelScores(len(part), candidate, champion))


def slices_of(metric: Metric, scores: pa.Table, answers: Answers, test: Where) -> Iterator[Slice]:
    """Yield the slices with enough rows: newest, corrections, and one per language of the `test` rows.

    `answers` are those of all rows of `scores`.
    """
    times: np.ndarray[Any, Any] = scores["event_time"].to_numpy()[test]
    newest = test[np.argsort(times, kind="stable")[len(test) - len(test) // NEWEST_SHARE :]]
    languages = scores["language"].take(pa.array(test)).to_pylist()
    parts: dict[str, Where] = {
        "newest": newest,
        "corrections": rows_where(scores["role"].to_pylist(), "corrections"),
        **{f"language:{name}": test[rows_where(languages, name)] for name in sorted({name for name in languages if name})},
    }
    for name, where in parts.items():
        if (found := slice_of(metric, name, answers.take(where))) is not None:
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

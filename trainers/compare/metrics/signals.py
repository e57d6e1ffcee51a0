"""How good signals are: F1 of their tags, how near their scores are, and the mean of both.

Tag F1 is the macro F1 (`f1`) of all tags of all categories but `none`, on the categories that gold tells the tag of: what a model
says of others is no mistake. Intensity is 1 minus the mean absolute error of the scores as a share of their range (2). In each
category the texts that say something (a score that is not 0) and those that say nothing weigh alike: most texts are silent about
most categories, and a model that always says 0 would look good. As of other numbers, only what gold and both models give counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from trainers.compare.metrics.f1 import MACRO_F1
from trainers.compare.metrics.metric import LabelDetail, Target
from trainers.compare.metrics.numbers import paired_numbers
from trainers.compare.metrics.scale import Scale
from trainers.compare.resampling.paired import Scores
from trainers.compare.resampling.sums import PairedSums, Sums

SIGNALS = "signals"
NOTHING = "none"
_RANGE = 2.0


@dataclass(frozen=True, slots=True)
class SignalScore:
    """Tag F1, intensity, or the mean of both where both are asked for."""

    name: str
    scale: Scale
    of_tags: bool
    of_scores: bool

    def pair(self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> PairedSums:
        """Return the counts of tags, and of each category the errors of both models on texts that say something and on others."""
        parts = [_tags(gold, candidate, opponent)] if self.of_tags else []
        parts += [_scores(gold, candidate, opponent)] if self.of_scores else []
        if len(parts) == 1:
            return parts[0]
        shared, ours, theirs = (
            np.hstack([getattr(part, name) for part in parts]) for name in ("shared", "candidate", "opponent")
        )
        return PairedSums(shared, ours, theirs, partial(_mean, parts=parts))

    def label_detail(self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> LabelDetail:
        """Return both models' F1 on each tag, and the share of rows that exactly one has wholly right."""
        return MACRO_F1.label_detail(*as_labels(gold, candidate, opponent))

    def pair_labels(
        self, gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target], labels: Sequence[str]
    ) -> dict[str, PairedSums]:
        """Return of each tag the counts of the rows, whose score is F1 on it."""
        return MACRO_F1.pair_labels(*as_labels(gold, candidate, opponent), labels)


def as_labels(
    gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]
) -> tuple[list[Target], list[Target], list[Target]]:
    """Return targets and answers as those of texts with several labels: `CATEGORY:TAG` where gold tells a tag, but for `none`."""
    told = [frozenset(name for name, said in row[SIGNALS].items() if said.get("tag") is not None) for row in gold]
    both = ([_labels(row, names) for row, names in zip(rows, told, strict=True)] for rows in (gold, candidate, opponent))
    first, second, third = both
    return first, second, third


def as_values(target: Target) -> Target:
    """Return a target or an answer as that of a regression: the score of each category."""
    return {"values": _values(target)}


def _values(target: Target) -> Mapping[str, float]:
    return {name: said["score"] for name, said in target[SIGNALS].items()}


def _labels(row: Target, names: frozenset[str]) -> Target:
    tags = ((name, said.get("tag")) for name, said in row[SIGNALS].items() if name in names)
    return {"labels": sorted(f"{name}:{tag}" for name, tag in tags if tag not in (None, NOTHING))}


def _tags(gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> PairedSums:
    return MACRO_F1.pair(*as_labels(gold, candidate, opponent))


def _scores(gold: Sequence[Target], candidate: Sequence[Target], opponent: Sequence[Target]) -> PairedSums:
    numbers = paired_numbers(gold, candidate, opponent, _values)
    speaks = numbers.known & (numbers.gold != 0.0)
    parts = (speaks, numbers.known & ~speaks)
    ours, theirs = (
        np.hstack([np.abs(said - numbers.gold) * part for part in parts]) for said in (numbers.candidate, numbers.opponent)
    )
    score = partial(_intensity, categories=len(numbers.dimensions))
    return PairedSums(shared=np.hstack(parts).astype(np.float64), candidate=ours, opponent=theirs, score=score)


def _intensity(rows: Sums, errors: Sums, *, categories: int) -> Scores:
    """Return the intensity of sums (..., 2 categories): texts that say something, then the others. Without any it is 0."""
    # Swapped answers come as many sums of errors for one of the rows.
    rows, errors = (sums.reshape(*sums.shape[:-1], 2, categories) for sums in (rows, errors))
    means = np.divide(errors, rows, out=np.zeros(errors.shape), where=rows > 0)
    there = (rows > 0).sum(axis=-2)
    of_category = means.sum(axis=-2) / np.maximum(there, 1)
    known = there > 0
    count = known.sum(axis=-1)
    mean = (of_category * known).sum(axis=-1) / np.maximum(count, 1)
    return np.asarray(np.where(count > 0, 1.0 - mean / _RANGE, 0.0))


def _mean(shared: Sums, own: Sums, *, parts: Sequence[PairedSums]) -> Scores:
    """Return the mean of what each part makes of its columns."""
    found, first, first_own = [], 0, 0
    for part in parts:
        last, last_own = first + part.shared.shape[1], first_own + part.candidate.shape[1]
        found.append(part.score(shared[..., first:last], own[..., first_own:last_own]))
        first, first_own = last, last_own
    return np.asarray(np.mean(found, axis=0))


SIGNAL_SCORE = SignalScore("signal_score", Scale(title="signal score"), of_tags=True, of_scores=True)
TAG_F1 = SignalScore("tag_f1", Scale(title="tag F1"), of_tags=True, of_scores=False)
INTENSITY = SignalScore("intensity", Scale(title="intensity"), of_tags=False, of_scores=True)

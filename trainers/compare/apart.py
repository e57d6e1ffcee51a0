"""How far apart two models' answers to one text are: what decides whether a label of that text tells anything of the gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from config.tasks import TaskSpec
from trainers.compare.answers import said
from trainers.compare.metrics.metric import Target
from trainers.compare.metrics.signals import SIGNALS, as_values
from trainers.compare.sampling.inclusion import AGREE, DIFFER, Floats, Strata

_VALUES = "values"
_CUTS = (0.5, 0.8, 0.95)
"""Where the sizes of differences are cut into strata, as shares of the rows: the largest twentieth is one of its own."""


def apart(task: TaskSpec, ours: Target, theirs: Target) -> float:
    """Return how far apart two answers are: 0 where both say the same.

    Of numbers the sum of the differences, each as a share of its range; of signals also 1 for each other tag; else 1.
    """
    if said(ours) == said(theirs):
        return 0.0
    if task.signals:
        tags = sum(_tag(ours, one.name) != _tag(theirs, one.name) for one in task.signals)
        return float(tags) + _distance(as_values(ours), as_values(theirs), {one.name: (-1.0, 1.0) for one in task.signals})
    if task.dimensions:
        return _distance(ours, theirs, {one.name: (one.low, one.high) for one in task.dimensions})
    return 1.0


def by_size(task: TaskSpec) -> bool:
    """Return whether answers of a task differ by more and less, as numbers do, and not just or not at all."""
    return bool(task.signals or task.dimensions)


def bounds_of(sizes: Floats) -> tuple[float, ...]:
    """Return from which size on differences (rows,) are of the second stratum, the third, and so on; each stratum has rows."""
    # At sizes that there are: between two of them a stratum would have none.
    cuts = np.unique(np.quantile(sizes, _CUTS, method="higher")) if len(sizes) else np.empty(0)
    return tuple(float(cut) for cut in cuts if float(sizes.min()) < cut)


def strata_of(sizes: Floats, bounds: Sequence[float], *, numbers: bool) -> Strata:
    """Return the stratum of each difference (rows,): by `bounds` where answers are `numbers`, else alike or not."""
    if numbers:
        return np.searchsorted(np.asarray(bounds, dtype=np.float64), sizes, side="right").astype(np.intp)
    return np.where(sizes > 0.0, DIFFER, AGREE).astype(np.intp)


def _distance(ours: Target, theirs: Target, ranges: Mapping[str, tuple[float, float]]) -> float:
    total = 0.0
    for name, (low, high) in ranges.items():
        one, other = ours[_VALUES].get(name), theirs[_VALUES].get(name)
        if one is not None and other is not None:
            total += abs(float(one) - float(other)) / (high - low)
    return total


def _tag(answer: Target, name: str) -> Any:  # noqa: ANN401 - as answers hold it
    return answer[SIGNALS].get(name, {}).get("tag")

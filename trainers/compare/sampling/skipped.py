"""Rows that nobody could label: between which bounds the gain lies, whatever their answer would have been."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.compare.metrics.metric import Metric, Target
from trainers.compare.resampling.sums import PairedSums
from trainers.compare.sampling.design import Design
from trainers.compare.sampling.linearised import Scored, influences, scored
from trainers.compare.sampling.possible import Possible

_ROUNDS = 4
_HAIR = 1e-12
_MOST_ALIKE = 64
"""Possible answers that are tried in all rows at once: where a score bends, one row alone may not show the way."""


@dataclass(frozen=True, slots=True)
class WithSkips:
    """Both models' scores on what was labelled, and as they would be were the right answers to the rest against or for one."""

    labelled: Scored
    """Without the rows that were skipped, as if those were like the others of their stratum."""
    against: Scored
    """What is right of the skipped rows makes the candidate's gain as small as was found possible."""
    in_favour: Scored
    """It makes the gain as great."""
    skipped: int
    worst: Sequence[Target]
    """What is right of each row in the case `against`."""


def with_skips(
    metric: Metric, gold: Sequence[Target | None], candidate: Sequence[Target], opponent: Sequence[Target], design: Design,
    *, possible: Possible | None = None,
) -> WithSkips:  # fmt: skip
    """Return the scores with rows whose `gold` is None (skipped, or "cannot tell") left out, and both bounds.

    The gain is least where the opponent's answer is a row's target and greatest where the candidate's is: exactly so for accuracy
    and for mean absolute errors (|c - g| - |o - g| <= |c - o|). For other metrics a row's target is sought among those that are
    `possible` (of each row): the first one of every row is tried, the second one, and so on; then, as often as that moves the
    gain further, each row gets the one whose influence on it is the most. Raises ValueError where the metric is no function of
    sums over rows.
    """
    known = np.array([target is not None for target in gold], dtype=np.bool_)
    rows = _Rows(metric, gold, candidate, opponent, design)
    if known.all():
        found, all_known = rows.scored(list(gold)), [target for target in gold if target is not None]
        return WithSkips(found, found, found, skipped=0, worst=all_known)
    other = [[]] * len(gold) if possible is None else possible
    (worst, against), (_best, in_favour) = (
        rows.furthest(start, other, sign) for start, sign in ((opponent, -1.0), (candidate, 1.0))
    )
    there = np.flatnonzero(known).tolist()
    ours, theirs = ([answers[row] for row in there] for answers in (candidate, opponent))
    labelled = scored(_sums(metric, [target for target in gold if target is not None], ours, theirs), without(design, known))
    return WithSkips(labelled, against, in_favour, int((~known).sum()), worst)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of which some have no target."""

    metric: Metric
    gold: Sequence[Target | None]
    candidate: Sequence[Target]
    opponent: Sequence[Target]
    design: Design

    def scored(self, targets: Sequence[Target | None]) -> Scored:
        """Return the scores with these targets, of which none is None."""
        return scored(self._with(targets), self.design)

    def furthest(
        self, start: Sequence[Target], possible: Sequence[Sequence[Target]], sign: float
    ) -> tuple[Sequence[Target], Scored]:
        """Return the targets, and scores, with the gain as far up (`sign` 1) or down (-1) as was found, from `start` on."""
        count = min(max(map(len, possible), default=0), _MOST_ALIKE)
        alike = [[others[which % len(others)] if others else {} for others in possible] for which in range(count)]
        targets, best = self._best_of([start, *alike], sign)
        for _ in range(_ROUNDS):
            moved = self._moved(targets, possible, sign)
            found = self.scored(moved)
            if sign * self._gain(found) <= sign * self._gain(best) + _HAIR:
                break
            targets, best = moved, found
        return [target for target in targets if target is not None], best

    def _best_of(self, fills: Sequence[Sequence[Target]], sign: float) -> tuple[Sequence[Target | None], Scored]:
        """Return the targets that move the gain the furthest: what is not known is as in one of the `fills` in every row."""
        filled: list[list[Target | None]] = [
            [side if target is None else target for target, side in zip(self.gold, fill, strict=True)] for fill in fills
        ]
        found = [(targets, self.scored(targets)) for targets in filled]
        return max(found, key=lambda one: sign * self._gain(one[1]))

    def _moved(self, targets: Sequence[Target | None], possible: Sequence[Sequence[Target]], sign: float) -> list[Target | None]:
        """Return the targets with each that is not known in the place of the possible one that moves the gain the most."""
        tried = [(row, target) for row, others in enumerate(possible) for target in others]
        at = [row for row, _target in tried]
        joined = _sums(
            self.metric, [*targets, *(target for _row, target in tried)],
            [*self.candidate, *(self.candidate[row] for row in at)], [*self.opponent, *(self.opponent[row] for row in at)],
        )  # fmt: skip
        # What is only tried counts nothing.
        moves = influences(joined, np.concatenate([self.design.weights, np.zeros(len(tried))]))[len(targets) :]
        ways = sign * self._sign * (moves[:, 0] - moves[:, 1])
        chosen, most = list(targets), dict[int, float]()
        for (row, target), way in zip(tried, ways.tolist(), strict=True):
            if row not in most or way > most[row]:
                chosen[row], most[row] = target, way
        return chosen

    def _gain(self, found: Scored) -> float:
        return self._sign * found.contrast(1.0, -1.0)[0]

    @property
    def _sign(self) -> float:
        return -1.0 if self.metric.scale.lower_is_better else 1.0

    def _with(self, targets: Sequence[Target | None]) -> PairedSums:
        return _sums(self.metric, targets, self.candidate, self.opponent)


def without(design: Design, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Design:
    """Return the design of the rows that are `known` (rows,): those of a stratum stand for the ones it lost as well."""
    weights = design.weights
    strata = design.strata
    before = np.bincount(strata, weights)
    after = np.bincount(strata[known], weights[known], minlength=len(before))
    grown = np.divide(before, after, out=np.ones(len(before)), where=after > 0.0)
    inclusion = np.minimum(design.inclusion / grown[strata], 1.0)[known]
    clusters = np.unique(design.clusters[known], return_inverse=True)[1].astype(np.intp)
    return Design(strata[known], inclusion, clusters, design.pool)


def _sums(metric: Metric, gold: Sequence[Target | None], candidate: Sequence[Target], opponent: Sequence[Target]) -> PairedSums:
    paired = metric.pair([target for target in gold if target is not None], candidate, opponent)
    if not isinstance(paired, PairedSums):
        message = f"{metric.name} is no function of sums over rows, so labels of unequal probability cannot be weighed for it"
        raise ValueError(message)  # noqa: TRY004 - a value that does not fit, not a wrong type
    return paired

"""One tag in each of several categories: a multinomial logistic regression for each category, solved on the rows that know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, f1_score

from perennial_artifact.sentence.head import Features, Matrix
from trainers.learners.heads import weighting
from trainers.learners.heads.families import calibration, thresholds
from trainers.learners.heads.families.family import Answering, Gold, Judged
from trainers.learners.heads.solving import Floats, Ids, Weights, refuse_infinite, solve
from trainers.learners.heads.weighting import Prior
from trainers.learners.protocols import Example

NOT_KNOWN = -1
"""Of a category whose tag a row does not tell."""
_UNKNOWN_TAG = -10.0
"""Log probability that counts where no older row carries the tag, and at least for any."""
_MOST_CALIBRATED = 10_000
"""Tags of rows by which the temperature is chosen."""

TagOf = Callable[[Example, str], str | None]
"""Takes the name of a category's tag, as label sets have it, from a row; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """Gold is the id of a tag for each row and category, or `NOT_KNOWN`; the ids of a category follow one another."""

    names: tuple[str, ...]
    """The categories: the columns of gold."""
    starts: tuple[int, ...]
    """The first id of each category, ascending."""
    silent: frozenset[int]
    """The ids of tags that say nothing of their category."""
    tag_of: TagOf

    strengths: ClassVar[tuple[float, ...]] = (1.0, 3.0, 10.0)

    def encoded(self, rows: Sequence[Example], ids: Mapping[str, int]) -> Gold:
        """Return the id of each row's tag in each category."""
        found = np.full((len(rows), len(self.names)), NOT_KNOWN, dtype=np.intp)
        for gold, row in zip(found, rows, strict=True):
            for column, name in enumerate(self.names):
                if (tag := self.tag_of(row, name)) is not None:
                    gold[column] = ids.get(tag, NOT_KNOWN)
        return found

    def known(self, gold: Gold) -> Ids:
        """Return the ids, each once."""
        found: Ids = np.unique(gold[gold != NOT_KNOWN])
        return found

    def members(self, gold: Gold) -> list[Ids]:
        """Return the rows of each tag."""
        return [np.flatnonzero((gold == tag).any(axis=1)) for tag in self.known(gold)]

    def in_columns(self, gold: Gold, labels: Ids) -> Gold:
        """Return the column of each row's tag in each category."""
        return np.where(gold == NOT_KNOWN, NOT_KNOWN, np.searchsorted(labels, gold))

    def told_by(self, gold: Gold, older: Gold) -> npt.NDArray[np.bool_]:
        """Return of each row whether older ones carry all of its tags."""
        found: npt.NDArray[np.bool_] = (np.isin(gold, older) | (gold == NOT_KNOWN)).all(axis=1)
        return found

    def can_fit(self, gold: Gold) -> bool:
        """Return whether two tags of one category are there."""
        return any(len(np.unique(tags)) > 1 for _column, _rows, tags in _by_category(gold))

    def balancing(self, gold: Gold, weights: Floats) -> Floats | None:  # noqa: ARG002 - the option is for labels of whole texts
        """Return None."""
        return None

    def solve(
        self, features: Matrix, gold: Gold, weights: Floats, *, strength: float, start: Weights | None = None,
        centre: Features | None = None,  # noqa: ARG002 - tags start from no words
    ) -> Weights:  # fmt: skip
        """Return the minimum of each category on the rows that tell its tag; one with a single tag always gives that one."""
        refuse_infinite(features)
        found = []
        for _column, rows, tags in _by_category(gold):
            ids = np.unique(tags)
            if len(ids) > 1:
                found.append(solve(features[rows], tags, weights[rows], strength=strength, start=start))
            else:
                found.append(Weights(ids, np.zeros((1, features.shape[1]), np.float32), np.zeros(1, np.float32)))
        if not found:
            return Weights(np.zeros(0, np.intp), np.zeros((0, features.shape[1]), np.float32), np.zeros(0, np.float32))
        return Weights(*(np.concatenate([getattr(one, part) for one in found]) for part in ("labels", "weight", "bias")))

    def prior(
        self, solved: Weights, gold: Gold, weights: Floats, *, days: Floats, independent: Ids, window_days: float | None
    ) -> Prior | None:
        """Return the shares of tags in the window, each category by itself; see `heads.weighting`."""
        shares, shift = np.ones(len(solved.labels)), np.zeros(len(solved.labels))
        chosen = np.zeros(len(gold), dtype=bool)
        chosen[independent] = True
        assumed = False
        for column, rows, tags in _by_category(gold):
            here = self._of_category(solved.labels, column)
            own = Weights(solved.labels[here], solved.weight[here], solved.bias[here])
            found = weighting.prior(
                own, tags, weights[rows], days=days[rows], independent=np.flatnonzero(chosen[rows]), window_days=window_days
            )
            if found is not None:
                shares[here], shift[here], assumed = found.shares, found.shift, True
        return Prior(solved.labels, shares, shift) if assumed else None

    def judge(self, head: Weights, features: Matrix, gold: Gold) -> tuple[Floats, Ids]:
        """Return the log probability of each row's tags together, and the most probable tag of each category."""
        logits, log = head.scores(features), np.zeros(len(gold))
        said = np.full(gold.shape, NOT_KNOWN, dtype=np.intp)
        for column in range(gold.shape[1]):
            here = np.flatnonzero(self._of_category(head.labels, column))
            tags, told = gold[:, column], gold[:, column] != NOT_KNOWN
            if not len(here):
                log[told] += _UNKNOWN_TAG
                continue
            probabilities, ids = log_softmax(logits[:, here], axis=1), head.labels[here]
            said[:, column] = ids[probabilities.argmax(axis=1)]
            known = np.isin(tags, ids)
            right = probabilities[known, np.searchsorted(ids, tags[known])]
            log[known] += np.maximum(right, _UNKNOWN_TAG)
            log[told & ~known] += _UNKNOWN_TAG
        return log, said

    def scores(self, gold: Gold, said: Ids) -> dict[str, float]:
        """Return accuracy, and macro F1 over the tags that rows carry, but for those that say nothing."""
        told = gold != NOT_KNOWN
        if not told.any():
            return {}
        labels = [tag for tag in self.known(gold).tolist() if tag not in self.silent]
        found = {"accuracy": float(accuracy_score(gold[told], said[told]))}
        if labels:
            found["macro_f1"] = float(f1_score(gold[told], said[told], labels=labels, average="macro", zero_division=0))
        return found

    def answering(self, judged: Judged | None, gold: Gold) -> Answering:
        """Return one temperature, and for each category from which probability a tag is given in the place of `none`.

        It stands at the id of the category's `none`: where F1 of whether newer rows say anything is best; too few leave it to the
        share of rows that do.
        """
        silent = sorted(self.silent & set(self.known(gold).tolist()))
        columns = [self._column(tag) for tag in silent]
        if judged is not None:
            temperature = calibration.temperature(self._cells(judged))
            chosen = thresholds.of(*self._speaking(judged, silent, temperature)) if silent else None
            if chosen is not None:
                return Answering(temperature, dict(zip(silent, chosen[0].tolist(), strict=True)), chosen[1])
        else:
            temperature = 1.0
        told = gold[:, columns] != NOT_KNOWN
        speaking = (told & (gold[:, columns] != silent)).sum(axis=0) / np.maximum(told.sum(axis=0), 1)
        found = thresholds.by_share(np.maximum(speaking, 1.0 / max(len(gold), 1)))
        return Answering(temperature, dict(zip(silent, found.tolist(), strict=True)))

    def _speaking(self, judged: Judged, silent: Sequence[int], temperature: float) -> tuple[Floats, Ids]:
        """Return how probable it is that each row says something of the categories of `silent`, and whether it does."""
        probabilities, gold = np.zeros((len(judged.gold), len(silent))), np.full((len(judged.gold), len(silent)), NOT_KNOWN)
        for at, tag in enumerate(silent):
            column = self._column(tag)
            here = np.flatnonzero(self._of_category(judged.labels, column))
            place = int(np.searchsorted(judged.labels[here], tag))
            known = place < len(here) and judged.labels[here[place]] == tag
            if known:
                logits = judged.logits[:, here] / temperature
                logits[~np.isfinite(logits).any(axis=1)] = 0.0
                probabilities[:, at] = 1.0 - softmax(logits, axis=1)[:, place]
            tags = judged.gold[:, column]
            gold[:, at] = np.where(tags == NOT_KNOWN, NOT_KNOWN, tags != (here[place] if known else NOT_KNOWN))
        return probabilities, gold

    def _cells(self, judged: Judged) -> Judged:
        """Return every tag of a row as a row of its own, whose other categories' labels cannot be."""
        rows, columns = np.nonzero(judged.gold != NOT_KNOWN)
        step = -(-len(rows) // _MOST_CALIBRATED) if len(rows) else 1
        rows, columns = rows[::step], columns[::step]
        of_label = np.array([self._column(tag) for tag in judged.labels.tolist()])
        logits: Floats = np.where(of_label[None, :] == columns[:, None], judged.logits[rows], -np.inf)
        return Judged(logits, judged.gold[rows, columns], judged.labels)

    def _column(self, tag: int) -> int:
        return int(np.searchsorted(self.starts, tag, side="right")) - 1

    def _of_category(self, labels: Ids, column: int) -> npt.NDArray[np.bool_]:
        last = self.starts[column + 1] if column + 1 < len(self.starts) else np.iinfo(np.intp).max
        found: npt.NDArray[np.bool_] = (labels >= self.starts[column]) & (labels < last)
        return found


def _by_category(gold: Gold) -> Iterator[tuple[int, Ids, Ids]]:
    """Yield each category that a row tells the tag of: its column, these rows, and their tags."""
    for column in range(gold.shape[1]):
        rows = np.flatnonzero(gold[:, column] != NOT_KNOWN)
        if len(rows):
            yield column, rows, gold[rows, column]

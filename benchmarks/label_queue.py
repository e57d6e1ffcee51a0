"""What to label next: labels needed to reach 95 % of the accuracy of all labels, by how they are chosen.

AG News and HuffPost (its ten largest sections), heads on the stored features of `minilm`, accuracy on other texts.
All arms begin with the same random texts and ask for as many a round. `random`: any; `uncertain`: the smallest margins;
`ours`: what `perennial review TASK --next N` chooses, in its default mix, the random share and the scarce labels among it.
"""

from __future__ import annotations

import csv
import lzma
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from benchmarks import huffpost, report
from config.task_files.sections.next_labels import NextLabels
from consumers.enrichment.embedding import Encoder
from consumers.labelling.choosing import mix
from consumers.labelling.choosing.ways import WAYS, Way
from consumers.text.near_copies import unit
from trainers.learners.heads.solving import Ids, Weights, solve
from trainers.learners.heads.validation.doubling import STRENGTH

_ENOUGH_OF_ALL = 0.95
_START, _ROUND, _MOST = 50, 50, 2_000
_SECTIONS = 10
_ARMS = ("random", "uncertain", "ours")
_MIX = NextLabels()


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as heads read them, and what is right."""

    features: npt.NDArray[np.float32]
    labels: Ids

    def head(self, rows: Ids) -> Weights:
        """Return a head that learnt these rows."""
        return solve(self.features[rows], self.labels[rows], np.ones(len(rows)), strength=STRENGTH)

    def accuracy(self, head: Weights, rows: Ids) -> float:
        """Return the share of these rows that a head tells right."""
        told = head.labels[head.scores(self.features[rows]).argmax(axis=1)]
        return float((told == self.labels[rows]).mean())


def main() -> None:
    """Read the arguments, measure, report."""
    arguments = report.parser(__doc__ or "").parse_args()
    rows, seeds = (3_000, 2) if arguments.quick else (10_000, 5)
    encoder = Encoder("minilm")
    results: dict[str, Any] = {}
    for name, (texts, labels) in (("ag_news", _ag_news(rows)), ("huffpost", _huffpost(rows))):
        results[name] = _compared(Texts(unit(encoder.encode(texts)), labels), seeds)
    about = {"rows": rows, "seeds": seeds, "start": _START, "round": _ROUND, "share_of_all": _ENOUGH_OF_ALL}
    report.write("label_queue", arguments, {**about, "results": results}, arguments.json)


def _compared(texts: Texts, seeds: int) -> dict[str, Any]:
    needed: dict[str, list[int | None]] = {arm: [] for arm in _ARMS}
    whole: list[float] = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(texts.labels))
        test, pool = order[: len(order) // 4], order[len(order) // 4 :]
        best = texts.accuracy(texts.head(pool), test)
        whole.append(best)
        for arm in _ARMS:
            needed[arm].append(_needed(arm, texts, pool, test, _ENOUGH_OF_ALL * best))
    reached = {arm: [one for one in some if one is not None] for arm, some in needed.items()}
    medians = {arm: statistics.median(some) if some else None for arm, some in reached.items()}
    return {
        "accuracy of all labels": round(statistics.mean(whole), 4),
        "labels needed (median)": medians,
        "by seed; none: not within the most": {arm: [one if one is not None else "none" for one in needed[arm]] for arm in _ARMS},
    }


def _needed(arm: str, texts: Texts, pool: Ids, test: Ids, goal: float) -> int | None:
    """Return how many labels an arm needs until its head reaches `goal` on the test texts; None: more than are tried."""
    known = list(pool[:_START])
    while len(known) <= min(_MOST, len(pool)):
        head = texts.head(np.array(known, dtype=np.intp))
        if texts.accuracy(head, test) >= goal:
            return len(known)
        taken = set(known)
        left = np.array([row for row in pool if row not in taken], dtype=np.intp)
        if not len(left):
            return None
        known += _chosen(arm, head, texts, known, left)
    return None


def _chosen(arm: str, head: Weights, texts: Texts, known: Sequence[int], left: Ids) -> list[int]:
    """Return the rows that an arm asks about in a round; `left` is in random order."""
    if arm == "random":
        return [int(row) for row in left[:_ROUND]]
    shown = np.asarray(softmax(head.scores(texts.features[left]), axis=1), dtype=np.float64)
    if arm == "uncertain":
        highest = np.partition(shown, -2, axis=1)
        return [int(row) for row in left[np.argsort(highest[:, -1] - highest[:, -2], kind="stable")[:_ROUND]]]
    counts = Counter(int(label) for label in texts.labels[known])
    short = {at: _MIX.enough - counts[int(label)] for at, label in enumerate(head.labels) if counts[int(label)] < _MIX.enough}
    shares: dict[Way, float] = {way: getattr(_MIX, way) for way in WAYS}
    wanted = mix.apportioned(shares, _ROUND, WAYS if short else ("uncertain", "diverse", "random"))
    drawn = [int(row) for row in left[: wanted["random"]]]
    names = [str(row) for row in left]
    some = mix.Candidates(texts.features[left], names, shown, texts.features[known])
    picked = mix.by_model(some, wanted, short, {str(row) for row in drawn})
    found = [*drawn, *(int(left[one.place]) for one in picked)]
    rest = [int(row) for row in left if int(row) not in set(found)]
    return found + rest[: _ROUND - len(found)]


def _ag_news(most: int) -> tuple[list[str], Ids]:
    with lzma.open(report.data("ag_news/noisy_10k.csv.xz"), "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))[:most]
    return [row["text"] for row in rows], np.array([int(row["gt"]) for row in rows], dtype=np.intp)


def _huffpost(most: int) -> tuple[list[str], Ids]:
    every = [row for rows in huffpost.by_month().values() for row in rows]
    largest = [name for name, _count in Counter(row.label for row in every).most_common(_SECTIONS)]
    rows = huffpost.sample([row for row in every if row.label in largest], most, seed=0)
    number = {name: at for at, name in enumerate(largest)}
    return [row.text for row in rows], np.array([number[row.label] for row in rows], dtype=np.intp)


if __name__ == "__main__":
    main()

"""What `training.contradicted_weight` brings where labels are wrong, and what it costs where they are right or new.

Heads on `minilm`'s embeddings, accuracy with the rule at 0.3 and without. NoisyAG has the labels that a crowd gave beside the
true ones; HuffPost headlines get a fifth of wrong labels, drawn evenly. The bound is the head on the true labels. What it may
cost: on right labels, in the weeks after HuffPost changed its sections (2014-04-18), and on a label that came six weeks ago with
at most 50 rows.
"""

from __future__ import annotations

import csv
import lzma
import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import huffpost, report
from consumers.enrichment.embedding import Encoder
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.heads.validation.contradictions import contradicted, own_probability
from trainers.learners.heads.validation.forward import Choice, choose, solved

_WEIGHT = 0.3
_WRONG = 0.2
_ROWS, _TESTED = 4_000, 2_000
_CHANGED = "2014-04-18"


@dataclass(frozen=True, slots=True)
class Pool:
    """Embedded texts with their labels as numbers, and their days since 1970."""

    features: Any
    labels: Ids
    days: Floats
    names: Sequence[str]

    def between(self, first: str, end: str) -> Ids:
        """Return the rows from one day to before another."""
        return np.flatnonzero((self.days >= _day(first)) & (self.days < _day(end)))

    def rows(self, places: Ids, labels: Ids | None = None) -> HeadRows:
        """Return these rows for a head, each a document of its own, with other labels where they are given."""
        count = len(places)
        return HeadRows(
            self.features[places], self.labels[places] if labels is None else labels, np.ones(count), self.days[places],
            np.arange(count, dtype=np.intp), np.ones(count, dtype=bool),
        )  # fmt: skip


def main() -> None:
    """Read the arguments, measure, report."""
    arguments = report.parser(__doc__ or "").parse_args()
    seeds, per_month = (1, 60) if arguments.quick else (3, 400)
    encoder = Encoder("minilm")
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    crowd, true, test = _ag(encoder, 1_000 if arguments.quick else 10_000)
    headlines = _headlines(encoder, per_month)
    for seed in range(seeds):
        chance = np.random.default_rng(seed)
        places = chance.permutation(len(crowd.labels))[: 2 * _ROWS]
        # The set has no dates: the order drawn is the order of time.
        dated = np.linspace(0.0, 365.0, len(places))
        noisy, right = (replace(pool.rows(places), days=dated) for pool in (crowd, true))
        found["NoisyAG, labels of the crowd"].append(_measured(noisy, test, right=right))
        found["NoisyAG, true labels"].append(_measured(right, test))
        _of_headlines(headlines, chance, found)
    results = {name: _summary(runs) for name, runs in found.items()}
    report.write("label_noise", arguments, {"seeds": seeds, "weight": _WEIGHT, "results": results}, arguments.json)


def _of_headlines(pool: Pool, chance: np.random.Generator, found: dict[str, list[dict[str, float]]]) -> None:
    def drawn(first: str, end: str, most: int = _ROWS) -> Ids:
        return np.sort(chance.permutation(pool.between(first, end))[:most])

    places, test = drawn("2013-01-01", "2014-01-01"), pool.rows(drawn("2014-01-01", "2014-04-01", _TESTED))
    labels = pool.labels[places].copy()
    wrong = chance.random(len(labels)) < _WRONG
    present = np.unique(labels)
    labels[wrong] = [chance.choice(present[present != label]) for label in labels[wrong]]
    right = pool.rows(places)
    found["HuffPost, a fifth wrong"].append(_measured(pool.rows(places, labels), test, right=right))
    found["HuffPost, as it is"].append(_measured(right, test))
    came = np.setdiff1d(pool.labels[pool.between(_CHANGED, "2014-10-01")], pool.labels[pool.between("2013-01-01", "2014-04-15")])
    for until, end in (("2014-05-03", "2014-06-01"), ("2014-06-01", "2014-07-01"), ("2014-08-01", "2014-09-01")):
        after = pool.rows(drawn(until, end, _TESTED))
        found[f"sections changed, until {until}"].append(_measured(pool.rows(drawn("2013-04-01", until)), after, of=came))
    new = pool.names.index("TRAVEL")
    late = pool.between("2013-11-15", "2014-01-01")
    kept = np.concatenate([places[pool.labels[places] != new], chance.permutation(late[pool.labels[late] == new])[:50]])
    found["a new label"].append(_measured(pool.rows(np.sort(kept)), test, of=np.array([new])))


def _measured(rows: HeadRows, test: HeadRows, *, right: HeadRows | None = None, of: Ids | None = None) -> dict[str, float]:
    """Return accuracies on `test`: without and with the rule, of the labels `of` too, and of the head on `right` labels."""
    choice = choose(rows, Choice(), lambda _one: None)
    places = contradicted(own_probability(rows, choice))
    weights = rows.weights.copy()
    weights[places] *= _WEIGHT
    figures = {"contradicted": len(places) / len(rows)}
    arms = {"without": rows, "with": replace(rows, weights=weights)} | ({} if right is None else {"bound": right})
    for name, arm in arms.items():
        head, _prior = solved(arm, choice)
        hits = head.labels[head.scores(test.features).argmax(axis=1)] == test.labels
        figures[name] = float(hits.mean())
        if of is not None and name != "bound":
            figures[f"{name}, new labels"] = float(hits[np.isin(test.labels, of)].mean())
    if right is not None:
        wrong = rows.labels != right.labels
        figures["wrong among contradicted"] = float(wrong[places].mean()) if places else 0.0
        figures["contradicted among wrong"] = float(wrong[places].sum() / wrong.sum())
    return figures


def _summary(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    gains = [round(100 * (run["with"] - run["without"]), 2) for run in runs]
    return {name: round(statistics.mean(run[name] for run in runs), 4) for name in runs[0]} | {"gains_points": gains}


def _ag(encoder: Encoder, most: int) -> tuple[Pool, Pool, HeadRows]:
    """Return NoisyAG with the crowd's labels and with the true ones, and rows of AG News' own test set."""
    folder: Path = report.data("ag_news/noisy_10k.csv.xz").parent
    with lzma.open(folder / "noisy_10k.csv.xz", "rt", encoding="utf-8") as lines:
        noisy = list(csv.DictReader(lines))[:most]
    with lzma.open(folder / "test.csv.xz", "rt", encoding="utf-8") as lines:
        tested = random.Random(0).sample(list(csv.reader(lines)), _TESTED)
    features, days = encoder.encode([row["text"] for row in noisy]), np.zeros(len(noisy))
    crowd, true = (np.array([int(row[name]) for row in noisy], dtype=np.intp) for name in ("label", "gt"))
    # The test set counts labels from 1.
    gold = np.array([int(label) - 1 for label, _title, _body in tested], dtype=np.intp)
    test = Pool(encoder.encode([f"{title} . {body}" for _label, title, body in tested]), gold, np.zeros(len(gold)), ())
    return Pool(features, crowd, days, ()), Pool(features, true, days, ()), test.rows(np.arange(len(gold)))


def _headlines(encoder: Encoder, per_month: int) -> Pool:
    months = huffpost.by_month()
    rows = [
        row for name in sorted(months) if "2013-01" <= name <= "2014-09" for row in huffpost.sample(months[name], per_month, 0)
    ]
    names, labels = np.unique([row.label for row in rows], return_inverse=True)
    days = np.array([row.at.timestamp() / 86_400 for row in rows])
    return Pool(encoder.encode([row.text for row in rows]), labels.astype(np.intp), days, names.tolist())


def _day(iso: str) -> int:
    return date.fromisoformat(iso).toordinal() - date(1970, 1, 1).toordinal()


if __name__ == "__main__":
    main()

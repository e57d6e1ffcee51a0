"""Labels that are probably wrong: how many of the 100 most suspicious are, beside cleanlab alone and the plain score.

AG News with made-up labels that are wrong as a crowd's are: each wrong label goes to the classes that are confused (structured
noise: a share of each class moves, most of it to one other), and texts near the border move more often. And NoisyAG, whose labels
a crowd gave. All arms judge the same texts on the same stored features (`minilm`). Ours is what `perennial data suspicious` runs:
heads cross-validated by story, and near copies. cleanlab ranks the same probabilities, and those of its user's usual way, five
folds of scikit-learn's logistic regression; where it is not installed (`pip install cleanlab`) its arms are left out.
"""

from __future__ import annotations

import csv
import importlib
import importlib.metadata
import importlib.util
import lzma
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import report
from consumers.enrichment.embedding import Encoder
from consumers.text import near_copies
from trainers.learners.heads.solving import Floats, Ids
from trainers.learners.heads.validation.confident import cross_validated, in_doubt

_AT = (100, 500)
_WRONG = 0.2
_ROWS = 5_000
_CONFUSED: tuple[tuple[float, ...], ...] = (
    # AG News: world, sport, business, science and technology. Shares of where wrong labels go.
    (0.0, 0.1, 0.5, 0.4), (0.7, 0.0, 0.15, 0.15), (0.35, 0.05, 0.0, 0.6), (0.25, 0.05, 0.7, 0.0),
)  # fmt: skip


def main() -> None:
    """Read the arguments, measure, report."""
    arguments = report.parser(__doc__ or "").parse_args()
    rows, seeds = (2_000, 1) if arguments.quick else (_ROWS, 3)
    encoder = Encoder("minilm")
    texts, crowd, right = _noisy_ag(rows)
    began = time.process_time()
    features = encoder.encode(texts)
    embedding_s = time.process_time() - began
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for seed in range(seeds):
        chance = np.random.default_rng(seed)
        part = np.sort(chance.permutation(len(texts))[: max(1, int(0.8 * len(texts)))])
        made_up = _structured(right[part], features[part], chance)
        for noise, given in (("structured", made_up), ("crowd", crowd[part])):
            for name, judged in _arms(features[part], given, seed):
                found[f"{noise}: {name}"].append(_scored(judged, given != right[part]))
    results = {name: _summary(runs) for name, runs in found.items()}
    about = {"rows": int(0.8 * len(texts)), "seeds": seeds, "wrong": _WRONG, "embedding_cpu_s": round(embedding_s, 1)}
    report.write("suspicious", arguments, {**about, "cleanlab": _cleanlab_version(), "results": results}, arguments.json)


Ranked = tuple[Sequence[int], int, float]
"""Rows, the worst first; how many of them are called wrong; CPU seconds."""


def _arms(features: npt.NDArray[np.float32], labels: Ids, seed: int) -> list[tuple[str, Ranked]]:
    began = time.process_time()
    groups = _stories(features)
    probabilities = cross_validated(features, labels, groups, seed=seed)
    judged_s = time.process_time() - began
    arms: list[tuple[str, Ranked]] = [
        ("ours", _timed(lambda: _ours(features, labels, probabilities), judged_s)),
        ("own probability alone", _timed(lambda: _plain(probabilities, labels), judged_s)),
    ]
    if _cleanlab_version() is not None:
        arms += [
            ("cleanlab on our probabilities", _timed(lambda: _cleanlab(probabilities, labels), judged_s)),
            ("cleanlab alone", _timed(lambda: _cleanlab(_library(features, labels, seed), labels))),
        ]
    return arms


def _ours(features: npt.NDArray[np.float32], labels: Ids, probabilities: Floats) -> tuple[list[int], int]:
    doubts = {one.place: one.score for one in in_doubt(probabilities, labels)}
    copies: dict[int, int] = defaultdict(int)
    for pair in near_copies.by_embedding(features, least=0.9):
        against = 1 if labels[pair.one] != labels[pair.other] else -1
        copies[pair.one] += against
        copies[pair.other] += against
    signs = {place: (place in doubts) + (copies.get(place, -1) >= 0) for place in {*doubts, *copies}}
    wrong = [place for place, count in signs.items() if count]
    return sorted(wrong, key=lambda place: (-signs[place], -doubts.get(place, 0.0), place)), len(wrong)


def _plain(probabilities: Floats, labels: Ids) -> tuple[list[int], int]:
    own = probabilities[np.arange(len(labels)), labels]
    return np.argsort(own, kind="stable").tolist(), int((own < 0.5).sum())


def _cleanlab(probabilities: Floats, labels: Ids) -> tuple[list[int], int]:
    filters: Any = importlib.import_module("cleanlab.filter")
    found = filters.find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [int(place) for place in found], len(found)


def _library(features: npt.NDArray[np.float32], labels: Ids, seed: int) -> Floats:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    found: Floats = cross_val_predict(LogisticRegression(max_iter=400), features, labels, cv=folds, method="predict_proba")
    return found


def _timed(run: Callable[[], tuple[Sequence[int], int]], before_s: float = 0.0) -> Ranked:
    """Return what was found and the CPU seconds it took; `before_s` went into what it was given."""
    began = time.process_time()
    places, called = run()
    return places, called, before_s + time.process_time() - began


def _scored(judged: Ranked, wrong: npt.NDArray[np.bool_]) -> dict[str, Any]:
    places, called, cpu_s = judged
    figures: dict[str, Any] = {f"precision at {at}": float(wrong[list(places[:at])].mean()) for at in _AT}
    return figures | {
        "called wrong": called, "precision": float(wrong[list(places[:called])].mean()) if called else 0.0,
        "recall": float(wrong[list(places[:called])].sum() / wrong.sum()), "cpu_s": cpu_s,
    }  # fmt: skip


def _stories(features: npt.NDArray[np.float32]) -> Ids:
    """Return a group for each row: near copies share one (single link, as the set has no times)."""
    group = np.arange(len(features), dtype=np.intp)
    for pair in near_copies.by_embedding(features, least=0.9):
        group[group == group[pair.other]] = group[pair.one]
    return np.unique(group, return_inverse=True)[1].astype(np.intp)


def _structured(right: Ids, features: npt.NDArray[np.float32], chance: np.random.Generator) -> Ids:
    """Return labels of which a fifth is wrong: texts near the border first, by the shares of `_CONFUSED`."""
    centres = np.stack([features[right == label].mean(axis=0) for label in range(4)])
    alike = features @ centres.T
    own = alike[np.arange(len(right)), right]
    alike[np.arange(len(right)), right] = -np.inf
    # Half by how near another class lies, half by chance.
    border = alike.max(axis=1) - own + chance.normal(0.0, 0.1, len(right))
    wrong = np.argsort(-border)[: int(_WRONG * len(right))]
    labels = right.copy()
    labels[wrong] = [chance.choice(4, p=_CONFUSED[label]) for label in right[wrong]]
    return labels


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    means = {name: round(statistics.mean(run[name] for run in runs), 4) for name in runs[0]}
    return means | {"at 100 by seed": [round(run["precision at 100"], 3) for run in runs]}


def _noisy_ag(most: int) -> tuple[list[str], Ids, Ids]:
    with lzma.open(report.data("ag_news/noisy_10k.csv.xz"), "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))[:most]
    crowd, right = (np.array([int(row[name]) for row in rows], dtype=np.intp) for name in ("label", "gt"))
    return [row["text"] for row in rows], crowd, right


def _cleanlab_version() -> str | None:
    if importlib.util.find_spec("cleanlab") is None:
        return None
    return importlib.metadata.version("cleanlab")


if __name__ == "__main__":
    main()

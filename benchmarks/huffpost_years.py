"""HuffPost year by year: which recipe answers the next year best, what does it still know of the years before, what does it cost?

After each year from 2013 to 2017 a run has all rows since 2012. Then it answers rows of the following year (`next`: accuracy, and
macro F1 over the labels that these rows carry), and held-back rows of every year so far (`seen`: accuracy). Arms:

- `refreshes`: the base model as it came, and a head that is solved anew each year on stored embeddings;
- `tuned`: as shipped, one slow run a year;
- `blocks`: the same, the head reads the base model's features and hashed runs of words beside the encoder's
  (`training.feature_blocks: [base, ngrams]`);
- `former`: the recipe of release 0.1, warm-started; `joint`: the same from the base model on all rows each year;
- `lr`, `lr-recent`: scikit-learn's logistic regression on the stored embeddings of all rows; with a half-life of a year and the
  label prior of the last half year;
- `tfidf`: TF-IDF and LinearSVC on all rows.

Processor seconds are those of learning, one thread, sums over the five runs; reading all rows with a tuned encoder stands beside
them (`features_s`). Without `--texts full` the texts are headlines.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC

from benchmarks import huffpost, report
from benchmarks.classifier_runs import Chain, Cost, Embeddings, Given
from benchmarks.former_recipe import FormerRecipe
from benchmarks.huffpost import Row
from trainers.compare.metrics import labels as label_metrics
from trainers.learners.opening import quieten

ARMS = ("refreshes", "tuned", "blocks", "former", "joint", "lr", "lr-recent", "tfidf")
QUICK_ARMS = ("refreshes", "tuned", "former", "lr", "lr-recent", "tfidf")
_OURS: dict[str, dict[str, Any]] = {
    "refreshes": {"tuning": "never"},
    "tuned": {},
    "blocks": {"feature_blocks": ["base", "ngrams"]},
}
"""What of the task's training section differs from the shipped one."""
FIRST_YEAR, RUNS = 2012, range(2013, 2018)
_STRENGTH = 10.0
"""scikit-learn's C; its default of 1 answers worse here."""
_HALF_LIFE_DAYS, _PRIOR_DAYS = 365.0, 182.0
_SEEN_A_YEAR = 150
_FIGURES = ("next", "macro_f1", "seen", "cpu_s", "features_s")


@dataclass(frozen=True, slots=True)
class Size:
    """Rows of each year."""

    learnt: int
    asked: int


class Arm(Protocol):
    """One way of learning."""

    def run(self, rows: Sequence[Row]) -> Cost:
        """Learn from all rows so far."""
        ...

    def answers(self, texts: Sequence[str]) -> list[str]:
        """Return a label for each text."""
        ...


def main() -> None:
    """Measure every arm for every seed; print a line for each, and means."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--texts", choices=("headlines", "full"), default="headlines", help="what of an article is read")
    parser.add_argument("--arms", help=f"which of {', '.join(ARMS)} (commas between)")
    parser.add_argument("--seeds", help="which seeds, such as 0,1")
    parser.add_argument("--training", default="{}", help="settings of the task's training section, such as '{epochs: 2}'")
    parser.add_argument("--embeddings", type=Path, metavar="FILE", help="keep embeddings in FILE (.npz) between calls")
    report.write("huffpost_years", arguments := parser.parse_args(), _measured(arguments), arguments.json)


def _measured(arguments: Namespace) -> dict[str, Any]:
    quieten()
    full = arguments.texts == "full"
    size = Size(200, 300) if arguments.quick else Size(1_000 if full else 600, 600)
    seeds = [int(seed) for seed in (arguments.seeds or ("0" if arguments.quick else "0,1,2" if full else "0,1")).split(",")]
    arms = (arguments.arms or ",".join(QUICK_ARMS if arguments.quick else ARMS)).split(",")
    training = yaml.safe_load(arguments.training)
    years: dict[int, list[Row]] = defaultdict(list)
    for month, rows in sorted(huffpost.by_month().items()):
        years[int(month[:4])] += rows if full else [replace(row, text=row.text.partition("\n\n")[0]) for row in rows]
    embeddings = Embeddings(arguments.embeddings)
    lines: dict[str, dict[str, Any]] = {arm: {} for arm in arms}
    for seed in seeds:
        learnt, asked = _sets(years, size, seed)
        embeddings.add(row.text for part in (learnt, asked) for rows in part.values() for row in rows)
        for name in arms:
            with tempfile.TemporaryDirectory() as folder:
                arm = _arm(name, Path(folder), embeddings, seed, training)
                lines[name][f"seed_{seed}"] = line = _played(arm, learnt, asked)
            print(f"seed {seed}, {name}: {_in_words(line)}", flush=True)
    means = {
        name: {key: statistics.mean(line[key] for line in by_seed.values()) for key in _FIGURES}
        for name, by_seed in lines.items()
    }  # fmt: skip
    return {
        "rows_a_year": size.learnt,
        "asked": size.asked,
        "seeds": seeds,
        "training": training,
        "embedding_cpu_s": embeddings.cpu_s,
        "mean": means,
        "runs": lines,
    }


def _sets(years: dict[int, list[Row]], size: Size, seed: int) -> tuple[dict[int, list[Row]], dict[int, list[Row]]]:
    """Return the rows to learn from and other ones to ask about, by year, in order of date; no text is in both."""
    learnt, asked = {}, {}
    for year in range(FIRST_YEAR, RUNS[-1] + 2):
        rows = huffpost.sample(years[year], size.learnt + size.asked, seed)
        order = random.Random(seed * 100 + year).sample(range(len(rows)), len(rows))
        first = set(order[: size.learnt])
        learnt[year] = [row for at, row in enumerate(rows) if at in first]
        known = {row.text for row in learnt[year]}
        asked[year] = [row for at, row in enumerate(rows) if at not in first and row.text not in known]
    return learnt, asked


def _played(arm: Arm, learnt: dict[int, list[Row]], asked: dict[int, list[Row]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for year in RUNS:
        cost = arm.run([row for so_far in range(FIRST_YEAR, year + 1) for row in learnt[so_far]])
        coming = asked[year + 1]
        before = [
            row for so_far in range(FIRST_YEAR, year + 1) for row in asked[so_far][:: len(asked[so_far]) // _SEEN_A_YEAR or 1]
        ]
        answers = arm.answers([row.text for row in (*coming, *before)])
        gold = [row.label for row in coming]
        found[str(year)] = {
            "next": label_metrics.accuracy(gold, answers[: len(coming)]),
            "macro_f1": _macro_f1(gold, answers[: len(coming)]),
            "seen": label_metrics.accuracy([row.label for row in before], answers[len(coming) :]),
            "cpu_s": cost.learning_s,
            "features_s": cost.features_s,
            "chosen": "; ".join(one.name for one in cost.tried if one.chosen),
        }
    of_all = {key: [line[key] for line in found.values()] for key in _FIGURES}
    sums = {key: sum(of_all.pop(key)) for key in ("cpu_s", "features_s")}
    return {key: statistics.mean(values) for key, values in of_all.items()} | sums | {"years": found}


def _macro_f1(gold: Sequence[str], answers: Sequence[str]) -> float:
    return float(f1_score(gold, answers, labels=sorted(set(gold)), average="macro", zero_division=0))


class _Ours:
    def __init__(self, chain: Chain, *, refreshes: bool) -> None:
        self._chain, self._refreshes, self._begun = chain, refreshes, False

    def run(self, rows: Sequence[Row]) -> Cost:
        refresh, self._begun = self._refreshes and self._begun, True
        return self._chain.run([Given(row) for row in rows], refresh=refresh)

    def answers(self, texts: Sequence[str]) -> list[str]:
        return [next(iter(scores)) for scores in self._chain.answers(texts)]


class _Former:
    def __init__(self, recipe: FormerRecipe, *, joint: bool) -> None:
        self._recipe, self._joint = recipe, joint

    def run(self, rows: Sequence[Row]) -> Cost:
        return self._recipe.run(rows, from_base=self._joint)

    def answers(self, texts: Sequence[str]) -> list[str]:
        return [next(iter(scores)) for scores in self._recipe.answers(texts)]


class _Timed:
    """What has nothing to go on from: fitted anew each time, by a function that returns what answers."""

    def __init__(self, fit: Callable[[Sequence[Row]], Callable[[Sequence[str]], list[str]]]) -> None:
        self._fit = fit
        self._answers: Callable[[Sequence[str]], list[str]] | None = None

    def run(self, rows: Sequence[Row]) -> Cost:
        began = time.process_time()
        self._answers = self._fit(rows)
        return Cost(time.process_time() - began)

    def answers(self, texts: Sequence[str]) -> list[str]:
        assert self._answers is not None, "run something first"
        return self._answers(texts)


def logistic_regression(rows: Sequence[Row], embeddings: Embeddings, *, recent: bool) -> Callable[[Sequence[str]], list[str]]:
    """Return what answers texts by a logistic regression on the embeddings of all rows.

    `recent`: with a half-life of a year, and the label prior of the last half year.
    """
    labels, days = np.array([row.label for row in rows]), np.array([row.at.timestamp() / 86_400 for row in rows])
    weights = 0.5 ** ((days.max() - days) / _HALF_LIFE_DAYS) if recent else np.ones(len(rows))
    model = LogisticRegression(C=_STRENGTH, max_iter=1_000)
    model.fit(embeddings.of([row.text for row in rows]), labels, sample_weight=weights)
    if recent:
        late = Counter(labels[days > days.max() - _PRIOR_DAYS])
        shares = np.array([late[name] + 0.5 for name in model.classes_])
        learnt = np.array([weights[labels == name].sum() for name in model.classes_])
        model.intercept_ = model.intercept_ + np.log(shares / shares.sum()) - np.log(learnt / learnt.sum())
    return lambda texts: list(map(str, model.predict(embeddings.of(texts))))


def tfidf(rows: Sequence[Row]) -> Callable[[Sequence[str]], list[str]]:
    """Return what answers texts by TF-IDF of words and pairs of words, and a linear support vector machine."""
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    model = LinearSVC().fit(words.fit_transform([row.text for row in rows]), [row.label for row in rows])
    return lambda texts: list(map(str, model.predict(words.transform(texts))))


def _arm(name: str, folder: Path, embeddings: Embeddings, seed: int, training: dict[str, Any]) -> Arm:
    if name in _OURS:
        chain = Chain(folder / "chain", embeddings, seed=seed, training=training | _OURS[name])
        return _Ours(chain, refreshes=name == "refreshes")
    if name in ("former", "joint"):
        return _Former(FormerRecipe(seed=seed), joint=name == "joint")
    if name == "tfidf":
        return _Timed(tfidf)
    return _Timed(lambda rows: logistic_regression(rows, embeddings, recent=name == "lr-recent"))


def _in_words(line: dict[str, Any]) -> str:
    by_year = " ".join(f"{100 * found['next']:.1f}" for found in line["years"].values())
    return (
        f"next {100 * line['next']:.1f} ({by_year}), macro F1 {100 * line['macro_f1']:.1f}, seen {100 * line['seen']:.1f}; "
        f"{line['cpu_s']:.1f} CPU s, features {line['features_s']:.1f}"
    )


if __name__ == "__main__":
    main()

"""Does a handful of new examples destroy what was known? A classifier of HuffPost topics learns one more from 20 to 100 rows.

A first model learns headlines of 2012 and 2013 without one of the sections. Then examples of that section arrive, and nothing
else: the hardest case for what was known. Each arm goes on from its own first model: `refresh` (the head alone, on stored
embeddings), `threshold` (a slow run as shipped), `former` (the recipe of release 0.1: three passes over the new rows and as many
older ones), `lr` (scikit-learn's logistic regression on stored embeddings of all rows). After each stand the F1 of the new label,
over held-back rows of old labels and of the new one, and the accuracy on those of old labels.

Then 500 readers' corrections of other headlines arrive, a fifth of them wrong, beside the same ones without a mistake: what do
the mistakes cost on held-back rows?
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from sklearn.linear_model import LogisticRegression

from benchmarks import huffpost, report
from benchmarks.classifier_runs import Chain, Cost, Embeddings, Given
from benchmarks.former_recipe import FormerRecipe
from benchmarks.huffpost import Row
from trainers.compare.metrics import labels as label_metrics
from trainers.learners.opening import quieten

ARMS = ("refresh", "threshold", "former", "lr")
NEW = ("TRAVEL", "FOOD & DRINK", "WEDDINGS")
"""The section that is new, by seed: large enough in these years for examples and questions."""
PORTIONS = (20, 50, 100)
_ASKED_OLD, _ASKED_NEW = 600, 100
"""Held-back rows of the old labels and of the new one."""
_APART = timedelta(minutes=1)
_WRONG_SHARE = 0.2
_STRENGTH = 10.0


@dataclass(frozen=True, slots=True)
class Sets:
    """Rows of one seed; no text is in two of them."""

    first: Sequence[Row]
    new: Sequence[Row]
    corrected: Sequence[Row]
    asked_old: Sequence[Row]
    asked_new: Sequence[Row]


class Arm(Protocol):
    """One way of learning, with a first model."""

    def after(self, rows: Sequence[Given], texts: Sequence[str]) -> tuple[Cost, list[str]]:
        """Return what learning these rows cost, going on from the first model, and what is answered then."""
        ...


def main() -> None:
    """Measure every arm for every seed; print a line for each, and means."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--arms", default=",".join(ARMS), help="which of refresh, threshold, former and lr (commas between)")
    parser.add_argument("--seeds", help="which seeds, such as 0,1,2")
    parser.add_argument("--embeddings", type=Path, metavar="FILE", help="keep embeddings in FILE (.npz) between calls")
    report.write("new_labels", arguments := parser.parse_args(), _measured(arguments), arguments.json)


def _measured(arguments: Namespace) -> dict[str, Any]:
    quieten()
    first, corrected = (800, 200) if arguments.quick else (2_000, 500)
    portions = PORTIONS[1:2] if arguments.quick else PORTIONS
    seeds = [int(seed) for seed in (arguments.seeds or ("0" if arguments.quick else "0,1,2")).split(",")]
    rows = [
        replace(row, text=row.text.partition("\n\n")[0])
        for month, found in sorted(huffpost.by_month().items()) if "2012-01" <= month < "2014-01" for row in found
    ]  # fmt: skip
    embeddings = Embeddings(arguments.embeddings)
    runs: dict[str, Any] = {}
    for seed in seeds:
        sets = sets_of(rows, NEW[seed % len(NEW)], seed, first=first, corrected=corrected)
        embeddings.add(
            row.text for part in (sets.first, sets.new, sets.corrected, sets.asked_old, sets.asked_new) for row in part
        )
        with tempfile.TemporaryDirectory() as folder:
            runs[f"seed_{seed}"] = _of_seed(
                seed, sets, portions, arms=arguments.arms.split(","), embeddings=embeddings, folder=Path(folder)
            )
    return {
        "first_rows": first,
        "corrections": corrected,
        "new_label": {f"seed_{seed}": NEW[seed % len(NEW)] for seed in seeds},
        "mean": _means(list(runs.values())),
        "runs": runs,
    }


def sets_of(rows: Sequence[Row], new: str, seed: int, *, first: int, corrected: int) -> Sets:
    """Return rows in which the label `new` is new: so many of the first model, and so many corrections of other labels."""
    chance = random.Random(seed)
    unique = list({row.text: row for row in rows}.values())
    others = chance.sample([row for row in unique if row.label != new], first + corrected + _ASKED_OLD)
    of_new = chance.sample([row for row in unique if row.label == new], PORTIONS[-1] + _ASKED_NEW)
    # Whatever comes later is dated after everything before.
    late = max(row.at for row in unique)
    return Sets(
        first=sorted(others[:first], key=lambda row: row.at),
        new=[replace(row, at=late + _APART * (1 + number)) for number, row in enumerate(of_new[: PORTIONS[-1]])],
        corrected=[replace(row, at=late + _APART * (1 + number)) for number, row in enumerate(others[first : first + corrected])],
        asked_old=others[first + corrected :],
        asked_new=of_new[PORTIONS[-1] :],
    )


class _Ours:
    """One chain from the first model; each question is asked of a copy of it."""

    def __init__(self, first: Chain, folder: Path, *, refresh: bool) -> None:
        self._first, self._folder, self._refresh = first, folder, refresh
        self._copies = 0

    def after(self, rows: Sequence[Given], texts: Sequence[str]) -> tuple[Cost, list[str]]:
        self._copies += 1
        chain = self._first.fork(self._folder / str(self._copies))
        cost = chain.run(rows, refresh=self._refresh)
        return cost, [next(iter(scores)) for scores in chain.answers(texts)]


class _Former:
    def __init__(self, first: FormerRecipe) -> None:
        self._first = first

    def after(self, rows: Sequence[Given], texts: Sequence[str]) -> tuple[Cost, list[str]]:
        recipe = self._first.fork()
        cost = recipe.run([one.row for one in rows])
        return cost, [next(iter(scores)) for scores in recipe.answers(texts)]


class _LogisticRegression:
    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings

    def after(self, rows: Sequence[Given], texts: Sequence[str]) -> tuple[Cost, list[str]]:
        began = time.process_time()
        model = LogisticRegression(C=_STRENGTH, max_iter=1_000)
        model.fit(self._embeddings.of([one.row.text for one in rows]), [one.row.label for one in rows])
        cost = Cost(time.process_time() - began)
        return cost, list(map(str, model.predict(self._embeddings.of(texts))))


def _of_seed(
    seed: int, sets: Sets, portions: Sequence[int], *, arms: Sequence[str], embeddings: Embeddings, folder: Path
) -> dict[str, Any]:
    first = [Given(row) for row in sets.first]
    models = _first_models(seed, first, arms, embeddings, folder)
    old, new = [row.text for row in sets.asked_old], [row.text for row in sets.asked_new]
    gold, label = [row.label for row in sets.asked_old], sets.new[0].label
    found: dict[str, Any] = {}
    for name, (arm, before) in models.items():
        lines: dict[str, Any] = {"before": {"old": label_metrics.accuracy(gold, before(old))}}
        for count in portions:
            cost, answers = arm.after([*first, *map(Given, sets.new[:count])], [*old, *new])
            lines[f"after_{count}"] = {
                "new_f1": f1_of(label, [*gold, *[label] * len(new)], answers),
                "old": label_metrics.accuracy(gold, answers[: len(old)]),
                "cpu_s": cost.learning_s,
                "features_s": cost.features_s,
                "tried": [one.name for one in cost.tried if one.chosen],
            }
        for kind, rows in {"clean": sets.corrected, "wrong": _with_mistakes(sets, seed)}.items():
            cost, answers = arm.after([*first, *(Given(row, by_user=True) for row in rows)], old)
            lines[f"corrections_{kind}"] = {"old": label_metrics.accuracy(gold, answers), "cpu_s": cost.learning_s}
        found[name] = lines
        print(f"seed {seed} ({label}), {name}: {_in_words(lines)}", flush=True)
    return found


def _first_models(
    seed: int, first: Sequence[Given], arms: Sequence[str], embeddings: Embeddings, folder: Path
) -> dict[str, tuple[Arm, Callable[[Sequence[str]], list[str]]]]:
    """Return each arm with its first model, and what that model answers."""
    models: dict[str, tuple[Arm, Callable[[Sequence[str]], list[str]]]] = {}
    if {"refresh", "threshold"} & set(arms):
        chain = Chain(folder / "first", embeddings, seed=seed)
        chain.run(first)
        for name in ("refresh", "threshold"):
            ours = _Ours(chain, folder / name, refresh=name == "refresh")
            models[name] = (ours, lambda texts: [next(iter(scores)) for scores in chain.answers(texts)])
    if "former" in arms:
        former = FormerRecipe(seed=seed)
        former.run([one.row for one in first])
        models["former"] = (_Former(former), lambda texts: [next(iter(scores)) for scores in former.answers(texts)])
    if "lr" in arms:
        plain = _LogisticRegression(embeddings)
        models["lr"] = (plain, lambda texts: plain.after(first, texts)[1])
    return {name: model for name, model in models.items() if name in arms}


def _with_mistakes(sets: Sets, seed: int) -> list[Row]:
    """Return the corrections, a fifth of them with another label than the right one, drawn at random."""
    chance = random.Random(seed + 1)
    wrong = set(chance.sample(range(len(sets.corrected)), round(_WRONG_SHARE * len(sets.corrected))))
    labels = sorted({row.label for row in sets.first})
    return [
        replace(row, label=chance.choice([name for name in labels if name != row.label])) if at in wrong else row
        for at, row in enumerate(sets.corrected)
    ]


def f1_of(label: str, gold: Sequence[str], answers: Sequence[str]) -> float:
    """Return the F1 of one label."""
    right = sum(one == other == label for one, other in zip(gold, answers, strict=True))
    return 2 * right / max(1, gold.count(label) + list(answers).count(label))


def _means(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        arm: {
            when: {
                key: statistics.mean(run[arm][when][key] for run in runs)
                for key, value in line.items() if isinstance(value, float)
            }
            for when, line in runs[0][arm].items()
        }
        for arm in runs[0]
    }  # fmt: skip


def _in_words(lines: Mapping[str, Any]) -> str:
    before = lines["before"]["old"]
    told = [
        f"{when.removeprefix('after_')} new: F1 {line['new_f1']:.3f}, old {100 * line['old']:.1f}, {line['cpu_s']:.1f} CPU s"
        for when, line in lines.items() if when.startswith("after_")
    ]  # fmt: skip
    clean, wrong = (100 * lines[f"corrections_{kind}"]["old"] for kind in ("clean", "wrong"))
    return f"old before {100 * before:.1f}; {'; '.join(told)}; corrected {clean:.1f}, a fifth wrong {wrong:.1f}"


if __name__ == "__main__":
    main()

"""HuffPost's 29 largest sections, 1,000 articles each: what does a first model reach, beside what one would train by hand?

Four fifths are learnt, one fifth is asked, drawn at random over all years. The rows carry no dates, as in a file
without any. Arms:

- `ours`: a first run as shipped (`--training` changes its settings);
- `lr`: scikit-learn's logistic regression on the stored embeddings;
- `tfidf`: TF-IDF and LinearSVC.

Processor seconds are those of learning, one thread; embedding all texts once, as enrichment does, stands beside them.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from sklearn.metrics import accuracy_score, f1_score

from benchmarks import huffpost, report
from benchmarks.classifier_runs import Chain, Embeddings, Given
from benchmarks.huffpost import Row
from benchmarks.huffpost_years import logistic_regression, tfidf
from trainers.learners.opening import quieten

ARMS = ("ours", "lr", "tfidf")
_SECTIONS, _HELD_OUT = 29, 0.2


def main() -> None:
    """Measure every arm for every seed; print a line for each, and means."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--arms", default=",".join(ARMS), help=f"which of {', '.join(ARMS)} (commas between)")
    parser.add_argument("--seeds", default="0", help="which seeds, such as 0,1")
    parser.add_argument("--training", default="{}", help="settings of the task's training section, such as '{full_epochs: 2}'")
    parser.add_argument("--embeddings", type=Path, metavar="FILE", help="keep embeddings in FILE (.npz) between calls")
    report.write("huffpost_sections", arguments := parser.parse_args(), _measured(arguments), arguments.json)


def _measured(arguments: Namespace) -> dict[str, Any]:
    quieten()
    rows = [row for month in huffpost.by_month().values() for row in month]
    embeddings = Embeddings(arguments.embeddings)
    training = yaml.safe_load(arguments.training)
    lines: dict[str, dict[str, Any]] = {arm: {} for arm in arguments.arms.split(",")}
    for seed in map(int, arguments.seeds.split(",")):
        learnt, asked = _sets(rows, 100 if arguments.quick else 1_000, seed)
        embeddings.add(row.text for row in (*learnt, *asked))
        for name, by_seed in lines.items():
            by_seed[f"seed_{seed}"] = line = _played(name, learnt, asked, embeddings, seed, training)
            print(f"seed {seed}, {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in line.items()), flush=True)
    means = {
        name: {key: statistics.mean(line[key] for line in by_seed.values()) for key in next(iter(by_seed.values()))}
        for name, by_seed in lines.items()
    }
    return {"learnt": len(learnt), "asked": len(asked), "embedding_cpu_s": embeddings.cpu_s, "mean": means, "runs": lines}


def _sets(rows: Sequence[Row], of_each: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Return the rows to learn from and those to ask about, in random order and as if they had arrived in it."""
    drawn: list[Row] = []
    for section, _count in Counter(row.label for row in rows).most_common(_SECTIONS):
        drawn += huffpost.sample([row for row in rows if row.label == section], of_each, seed)
    random.Random(seed).shuffle(drawn)
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    drawn = [replace(row, at=begin + timedelta(milliseconds=number)) for number, row in enumerate(drawn)]
    held_out = int(_HELD_OUT * len(drawn))
    return drawn[held_out:], drawn[:held_out]


def _played(  # noqa: PLR0917 - all of them are what one arm has
    name: str, learnt: Sequence[Row], asked: Sequence[Row], embeddings: Embeddings, seed: int, training: dict[str, Any]
) -> dict[str, float]:
    texts, features_s = [row.text for row in asked], 0.0
    if name == "ours":
        with tempfile.TemporaryDirectory() as folder:
            chain = Chain(Path(folder) / "chain", embeddings, seed=seed, training=training)
            cost = chain.run([Given(row) for row in learnt])
            answers = [next(iter(scores)) for scores in chain.answers(texts)]
        learning_s, features_s = cost.learning_s, cost.features_s
    else:
        began = time.process_time()
        model = tfidf(learnt) if name == "tfidf" else logistic_regression(learnt, embeddings, recent=False)
        learning_s = time.process_time() - began
        answers = model(texts)
    gold = [row.label for row in asked]
    return {
        "accuracy": accuracy_score(gold, answers), "macro_f1": f1_score(gold, answers, average="macro", zero_division=0),
        "cpu_s": learning_s, "features_s": features_s,
    }  # fmt: skip


if __name__ == "__main__":
    main()

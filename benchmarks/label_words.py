"""Do the words of a label help where its examples are few? A classifier of HuffPost topics meets one more section.

A first model learns 2,000 headlines of 2012 and 2013 without one of the sections, which the task declares. Then 0, 1, 5 and 20
headlines of that section arrive. Each arm learns them by a refresh of the head on stored embeddings (`tuning: never`) and by a
slow run that tunes; once from nothing, once from the labels' own names (`label_words: names`). Asked are held-back headlines: 600
of the old labels and 100 of the new one. Figures: F1 of the new label, accuracy on the old ones, how far words are trusted.
"""

from __future__ import annotations

import statistics
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import huffpost, report
from benchmarks.classifier_runs import Chain, Embeddings, Given
from benchmarks.new_labels import NEW, Sets, f1_of, sets_of
from trainers.compare.metrics import labels as label_metrics
from trainers.learners.opening import quieten

ARMS = ("refresh", "threshold")
PORTIONS = (0, 1, 5, 20)
WORDS = {"from nothing": "none", "from names": "names"}


def main() -> None:
    """Measure every arm for every seed; print a line for each, and means."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--arms", default=",".join(ARMS), help="which of refresh and threshold (commas between)")
    parser.add_argument("--seeds", help="which seeds, such as 0,1,2")
    parser.add_argument("--embeddings", type=Path, metavar="FILE", help="keep embeddings in FILE (.npz) between calls")
    report.write("label_words", arguments := parser.parse_args(), _measured(arguments), arguments.json)


def _measured(arguments: Namespace) -> dict[str, Any]:
    quieten()
    seeds = [int(seed) for seed in (arguments.seeds or ("0" if arguments.quick else "0,1,2")).split(",")]
    rows = [
        replace(row, text=row.text.partition("\n\n")[0])
        for month, found in sorted(huffpost.by_month().items()) if "2012-01" <= month < "2014-01" for row in found
    ]  # fmt: skip
    embeddings = Embeddings(arguments.embeddings)
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    for seed in seeds:
        sets = sets_of(rows, NEW[seed % len(NEW)], seed, first=800 if arguments.quick else 2_000, corrected=0)
        embeddings.add(row.text for part in (sets.first, sets.new, sets.asked_old, sets.asked_new) for row in part)
        for arm in arguments.arms.split(","):
            for start, words in WORDS.items():
                with tempfile.TemporaryDirectory() as folder:
                    found = _of_one(sets, seed, arm, words, embeddings, Path(folder))
                runs.setdefault(f"{arm} {start}", {})[f"seed_{seed}"] = found
                print(f"seed {seed} ({sets.new[0].label}), {arm} {start}: {_in_words(found)}", flush=True)
    return {"mean": {name: _mean(list(found.values())) for name, found in runs.items()}, "runs": runs}


def _of_one(  # noqa: PLR0917 - all of them are what one arm has
    sets: Sets, seed: int, arm: str, words: str, embeddings: Embeddings, folder: Path
) -> dict[str, Any]:
    label = sets.new[0].label
    chain = Chain(
        folder / "first", embeddings, seed=seed, training={"tuning": "never" if arm == "refresh" else "always"},
        task={"label_words": words, "label_names": (label,)},
    )  # fmt: skip
    first = [Given(row) for row in sets.first]
    chain.run(first)
    texts = [row.text for row in (*sets.asked_old, *sets.asked_new)]
    gold = [row.label for row in (*sets.asked_old, *sets.asked_new)]
    found: dict[str, Any] = {}
    for count in PORTIONS:
        then = chain
        cpu_s = 0.0
        if count:
            then = chain.fork(folder / str(count))
            cpu_s = then.run([*first, *map(Given, sets.new[:count])], refresh=arm == "refresh").learning_s
        answers = [next(iter(scores)) for scores in then.answers(texts)]
        old = len(sets.asked_old)
        found[f"after_{count}"] = {
            "new_f1": f1_of(label, gold, answers), "old": label_metrics.accuracy(gold[:old], answers[:old]), "cpu_s": cpu_s,
            "trusted": then.head.solved.words,
        }  # fmt: skip
    return found


def _mean(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {when: {key: statistics.mean(run[when][key] for run in runs) for key in line} for when, line in runs[0].items()}


def _in_words(lines: dict[str, Any]) -> str:
    return "; ".join(
        f"{when.removeprefix('after_')} new: F1 {line['new_f1']:.3f}, old {100 * line['old']:.1f}, trusted {line['trusted']:g}, "
        f"{line['cpu_s']:.1f} CPU s"
        for when, line in lines.items()
    )


if __name__ == "__main__":
    main()

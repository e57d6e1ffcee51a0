"""CoNLL-2003 beside `spacy train`: is our first recogniser as good as its, for no more work?

Ours is what a first run of `news-entities` does as shipped (base `blank:en`), with the set's four types, on all training
sentences; it needs no development set. `spacy train` has its default configuration for efficiency, the same sentences, the
first CoNLL test set (testa) as its development set, and stops by its own rule. Both answer the second test set (testb), whose
entity F1 counts. CPU seconds are of the whole process that trained, its imports included.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import structlog

from benchmarks import report
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_tasks
from consumers.events.schemas import Label
from consumers.formats.importing import import_events
from consumers.formats.options import ImportOptions
from trainers.compare.metrics import entities

LABELS = {"PER": "PERSON", "ORG": "ORG", "LOC": "LOC", "MISC": "MISC"}
_QUICK_SENTENCES = (2_000, 600, 1_000)
"""For training, development and test."""
_QUICK_STEPS = 1_000


def main() -> None:
    """Train both for every seed; print a line for each, and means."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--seeds", default=None, help="which seeds, such as 0,1,2 (default: these; 0 with --quick)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value in `training`, such as dropout=0.1"
    )
    arguments = parser.parse_args()
    # Both in one thread: spaCy's layers take no more, and what calls them would.
    os.environ["OMP_NUM_THREADS"] = "1"
    seeds = [int(seed) for seed in (arguments.seeds or ("0" if arguments.quick else "0,1,2")).split(",")]
    changes = dict(one.split("=", 1) for one in arguments.set)
    sizes = _QUICK_SENTENCES if arguments.quick else (None, None, None)
    whole = [_labels(f"conll2003/eng.{name}.xz") for name in ("train", "testa", "testb")]
    found: dict[str, dict[str, list[float]]] = {arm: {"f1": [], "cpu_s": []} for arm in ("ours", "spacy")}
    for seed in seeds:
        train, dev, asked = (_some(rows, size, seed) for rows, size in zip(whole, sizes, strict=True))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            ours = _measured(lambda: _ours(train, folder, seed, changes))  # noqa: B023 - called before the next turn
            spacys = _measured(lambda: _spacys(train, dev, folder, seed, quick=arguments.quick))  # noqa: B023 - same
            for arm, (answers, cpu_s) in (
                ("ours", (_asked_ours(folder, asked), ours)),
                ("spacy", (_asked_spacys(folder, asked), spacys)),
            ):
                f1 = entities.entity_scores([row.target for row in asked], answers).overall.f1
                found[arm]["f1"].append(f1)
                found[arm]["cpu_s"].append(cpu_s)
                print(f"seed {seed}, {arm}: F1 {f1:.3f}, {cpu_s:.0f} CPU s", flush=True)
    means = {arm: {name: statistics.mean(values) for name, values in figures.items()} for arm, figures in found.items()}
    results = {
        "sentences": {"train": len(train), "dev": len(dev), "test": len(asked)},
        "seeds": seeds,
        "changes": changes,
        **means,
        "f1_points_more": 100 * (means["ours"]["f1"] - means["spacy"]["f1"]),
        "cpu_ratio": means["ours"]["cpu_s"] / means["spacy"]["cpu_s"],
        "runs": found,
    }
    report.write("conll_beside_spacy", arguments, results, arguments.json)


def _measured(work: Callable[[], None]) -> float:
    """Return the CPU seconds of the child processes of some work, which have ended when it returns."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ours(rows: Sequence[Label], folder: Path, seed: int, changes: Mapping[str, str]) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(_train, [(row.text or "", row.target) for row in rows], folder, seed, changes).result()


def _train(rows: Sequence[tuple[str, Any]], folder: Path, seed: int, changes: Mapping[str, str]) -> None:
    from trainers.hardware import Hardware
    from trainers.learners.protocols import Example, TrainingPlan
    from trainers.learners.spacy.ner import SpacyNerLearner

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    task = _task()
    training = type(task.training).model_validate({**task.training.model_dump(), **changes})
    plan = TrainingPlan(
        spec=task.model_copy(update={"training": training}),
        rows=[Example(str(at), text, target) for at, (text, target) in enumerate(rows)], full=True, warm_start=None, seed=seed,
        hardware=Hardware("cpu", "fp32", 1), batch_size=training.batch_size, work_dir=folder, report=lambda _step: None,
    )  # fmt: skip
    SpacyNerLearner().train(plan, folder / "ours")


def _asked_ours(folder: Path, asked: Sequence[Label]) -> Sequence[Mapping[str, Any]]:
    from trainers.learners.opening import open_model

    return open_model(folder / "ours", load_settings().training).predict([row.text or "" for row in asked])


def _spacys(train: Sequence[Label], dev: Sequence[Label], folder: Path, seed: int, *, quick: bool) -> None:
    import spacy
    from spacy.tokens import DocBin

    nlp = spacy.blank("en")
    for name, rows in (("train", train), ("dev", dev)):
        docs = DocBin()
        for row in rows:
            doc = nlp.make_doc(row.text or "")
            spans = [
                doc.char_span(span["start"], span["end"], label=span["label"], alignment_mode="expand")
                for span in row.target["spans"]
            ]
            doc.ents = spacy.util.filter_spans([span for span in spans if span is not None])
            docs.add(doc)
        docs.to_disk(folder / f"{name}.spacy")
    config, command = str(folder / "config.cfg"), [sys.executable, "-m", "spacy"]
    created = [*command, "init", "config", config, "--lang", "en", "--pipeline", "ner", "--optimize", "efficiency"]
    subprocess.run(created, check=True, capture_output=True)
    paths = ["--paths.train", str(folder / "train.spacy"), "--paths.dev", str(folder / "dev.spacy")]
    limit = ["--training.max_steps", str(_QUICK_STEPS)] if quick else []
    trained = [*command, "train", config, "--output", str(folder / "spacy"), *paths, "--system.seed", str(seed), *limit]
    subprocess.run(trained, check=True, capture_output=True)


def _asked_spacys(folder: Path, asked: Sequence[Label]) -> Sequence[Mapping[str, Any]]:
    import spacy

    docs = spacy.load(folder / "spacy" / "model-best").pipe(row.text or "" for row in asked)
    return [
        {"spans": [{"start": found.start_char, "end": found.end_char, "label": found.label_} for found in doc.ents]}
        for doc in docs
    ]


def _task() -> TaskSpec:
    return load_tasks(SHIPPED_TASKS_DIR)["news-entities"].model_copy(update={"label_names": tuple(LABELS.values())})


def _labels(path: str) -> list[Label]:
    options = ImportOptions(format="conll", labels=LABELS)
    return [row for row in import_events(report.data(path), _task(), options=options) if isinstance(row, Label)]


def _some(rows: Sequence[Label], size: int | None, seed: int) -> list[Label]:
    """Return `size` of the rows (None: all), drawn by the seed."""
    return list(rows) if size is None else random.Random(seed).sample(list(rows), size)


if __name__ == "__main__":
    main()

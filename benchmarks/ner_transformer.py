"""Entities on a transformer beside what one would take else: stock Trainer on the same base, and the shipped recipe on spaCy.

All three learn the same CoNLL-2003 sentences in one thread and answer the second test set (testb). `ours` is a first run of the
example `news-entities-transformer`. `stock` is transformers' usual recipe: words of the set, their first tokens labelled,
Trainer as it comes (dropout, no grouping by length, the same passes, step size and batch), answered by the pipeline with
`aggregation_strategy="first"`. `spacy` is a first run of `news-entities`. Then the first of them goes on from its CoNLL model
with the training sentences of another domain and a replay: CrossNER politics, or WNUT17. What the generic model and the new one
find of the types that both know stands beside the F1 of the new types. CPU seconds are of the whole process that trained.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import structlog

from benchmarks import report
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_task
from consumers.events.schemas import Label
from consumers.formats.importing import import_events
from consumers.formats.options import ImportOptions
from perennial_artifact.tagging import tags
from trainers.compare.metrics import entities

ARMS = ("ours", "stock", "spacy")
CONLL = {"PER": "PERSON", "ORG": "ORG", "LOC": "LOC", "MISC": "MISC"}
_QUICK = (600, 400)
"""Sentences to learn and to ask."""
_REPLAYED = 3_000


@dataclass(frozen=True, slots=True)
class Domain:
    """Texts of another guideline, and which of its types the generic model knows."""

    train: str
    test: str
    shared: Mapping[str, str]


DOMAINS = {
    "politics": Domain(
        "crossner/politics/train.txt.xz", "crossner/politics/test.txt.xz",
        {"person": "PERSON", "organisation": "ORG", "location": "LOC", "misc": "MISC"},
    ),
    "wnut17": Domain(
        "wnut17/wnut17train.conll.xz", "wnut17/emerging.test.annotated.xz",
        {"person": "PERSON", "corporation": "ORG", "location": "LOC"},
    ),
}  # fmt: skip


def main() -> None:
    """Train and ask every arm for every seed; print a line for each, and means."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--arms", default=",".join(ARMS), help="which of ours, stock and spacy (commas between)")
    parser.add_argument("--domains", default="politics", help="which of politics and wnut17 (commas between), or none")
    parser.add_argument("--seeds", default=None, help="which seeds, such as 0,1,2 (default: these; 0 with --quick)")
    parser.add_argument("--sentences", type=int, default=None, help="CoNLL sentences to learn (default: all; 600 with --quick)")
    parser.add_argument("--base", default="minilm", help="base model of ours and stock")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value in `training` of ours and stock"
    )
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    seeds = [int(seed) for seed in (arguments.seeds or ("0" if arguments.quick else "0,1,2")).split(",")]
    sizes = _QUICK if arguments.quick else (None, None)
    recipe = {"base_model": arguments.base, "training": dict(one.split("=", 1) for one in arguments.set)}
    train = _some(_labels("conll2003/eng.train.xz", CONLL), arguments.sentences or sizes[0], 0)
    test = _some(_labels("conll2003/eng.testb.xz", CONLL), sizes[1], 0)
    found: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            for arm in arguments.arms.split(","):
                folder = Path(name) / arm
                cpu_s = _measured(_TRAINED[arm], [_pair(row) for row in train], folder, seed, recipe)
                scores = _scores(test, _apart(_ASKED[arm], folder, [row.text or "" for row in test]))
                _note(found, arm, seed, conll_f1=scores.overall.f1, train_cpu_s=cpu_s)
            for domain in [] if arguments.domains == "none" or "ours" not in found else arguments.domains.split(","):
                _domain(found, domain, Path(name), train, seed, recipe, limit=sizes[1])
    means = {arm: {name: statistics.mean(values) for name, values in figures.items()} for arm, figures in found.items()}
    results = {"sentences": {"train": len(train), "test": len(test)}, "seeds": seeds, "recipe": recipe, **means, "runs": found}
    report.write("ner_transformer", arguments, results, arguments.json)


def _domain(  # noqa: PLR0917 - all of them are what one seed has
    found: dict[str, dict[str, list[float]]], name: str, folder: Path, old: Sequence[Label], seed: int, recipe: Mapping[str, Any],
    *, limit: int | None,
) -> None:  # fmt: skip
    """Go on from the generic model with a domain's sentences; note what both find of the types they share, and the new ones."""
    domain = DOMAINS[name]
    new, asked = _labels(domain.train, domain.shared), _some(_labels(domain.test, domain.shared), limit, 0)
    replayed = [_pair(row) for row in _some(old, min(_REPLAYED, len(old)), seed)]
    cpu_s = _measured(_go_on, [_pair(row) for row in new], folder / name, seed, recipe, folder / "ours", replayed)
    shared = set(domain.shared.values())
    figures = {}
    for model, place in (("generic", folder / "ours"), ("tuned", folder / name)):
        scores = _scores(asked, _apart(_asked_ours, place, [row.text or "" for row in asked]))
        for part, belongs in (("shared", True), ("new", False)):
            counts = (counts for label, counts in scores.per_type.items() if (label in shared) is belongs)
            figures[f"{model}_{part}_f1"] = sum(counts, entities.Counts()).f1
    gain = figures["tuned_shared_f1"] / figures["generic_shared_f1"] - 1 if figures["generic_shared_f1"] else 0.0
    _note(found, name, seed, **figures, shared_gain=gain, train_cpu_s=cpu_s)


def _note(found: dict[str, dict[str, list[float]]], arm: str, seed: int, **figures: float) -> None:
    for name, value in figures.items():
        found.setdefault(arm, {}).setdefault(name, []).append(value)
    print(f"seed {seed}, {arm}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)


def _apart(work: Callable[..., Any], *values: Any) -> Any:  # noqa: ANN401 - whatever the work takes and gives
    """Return what some work gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *values).result()


def _measured(work: Callable[..., Any], *values: Any) -> float:  # noqa: ANN401 - as above
    """Return the CPU seconds of some work in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _apart(work, *values)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


Pair = tuple[str, Mapping[str, Any]]


def _task(name: str, recipe: Mapping[str, Any]) -> TaskSpec:
    shipped = load_task(SHIPPED_TASKS_DIR / name).model_dump()
    training = {**shipped["training"], **recipe.get("training", {})}
    return TaskSpec.model_validate({**shipped, **recipe, "training": training, "labels": "open", "label_names": ()})


def _learn(task: TaskSpec, rows: Sequence[Any], folder: Path, seed: int, champion: Path | None) -> None:
    from trainers.hardware import native_bf16, resolve
    from trainers.learners.catalog import learner_for
    from trainers.learners.protocols import TrainingPlan

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    settings = load_settings().training.model_copy(update={"threads": 1, "precision": "bf16" if native_bf16() else "fp32"})
    plan = TrainingPlan(
        spec=task, rows=rows, full=champion is None, warm_start=champion, seed=seed,
        hardware=resolve(settings, backend=task.backend), batch_size=task.training.batch_size,
        work_dir=folder.parent / f"work-{folder.name}", report=lambda _step: None, score=_f1,
    )  # fmt: skip
    learner_for(task).train(plan, folder)


def _train_ours(rows: Sequence[Pair], folder: Path, seed: int, recipe: Mapping[str, Any]) -> None:
    task = _task("examples/news-entities-transformer.yaml", recipe)
    _learn(task, _examples("old", rows, new=True), folder, seed, None)


def _train_spacy(rows: Sequence[Pair], folder: Path, seed: int, _recipe: Mapping[str, Any]) -> None:
    _learn(_task("news-entities.yaml", {}), _examples("old", rows, new=True), folder, seed, None)


def _go_on(  # noqa: PLR0917 - as above
    rows: Sequence[Pair], folder: Path, seed: int, recipe: Mapping[str, Any], champion: Path, replayed: Sequence[Pair]
) -> None:
    task = _task("examples/news-entities-transformer.yaml", recipe)
    _learn(task, [*_examples("new", rows, new=True), *_examples("old", replayed, new=False)], folder, seed, champion)


def _examples(name: str, rows: Sequence[Pair], *, new: bool) -> list[Any]:
    from trainers.learners.protocols import Example

    known = frozenset(span["label"] for _text, target in rows for span in target["spans"])
    return [Example(f"{name}-{at}", text, target, is_new=new, scope=known) for at, (text, target) in enumerate(rows)]


def _train_stock(rows: Sequence[Pair], folder: Path, seed: int, recipe: Mapping[str, Any]) -> None:
    import torch
    from transformers import (
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from trainers.hardware import native_bf16
    from trainers.learners.encoders.bases import source_of

    torch.set_num_threads(1)
    set_seed(seed)
    task = _task("examples/news-entities-transformer.yaml", recipe)
    names = tags.names(sorted({span["label"] for _text, target in rows for span in target["spans"]}))
    tokenizer = AutoTokenizer.from_pretrained(source_of(task.base_model))
    model = AutoModelForTokenClassification.from_pretrained(source_of(task.base_model), id2label=dict(enumerate(names)))
    rate = task.training.full_learning_rate
    assert rate != "auto", "the task file gives a number"
    arguments = TrainingArguments(
        output_dir=str(folder / "work"), num_train_epochs=task.training.full_epochs, learning_rate=rate,
        per_device_train_batch_size=task.training.batch_size, seed=seed, use_cpu=not torch.cuda.is_available(),
        bf16=native_bf16("cuda" if torch.cuda.is_available() else "cpu"), save_strategy="no", report_to="none", disable_tqdm=True,
        dataloader_pin_memory=False,
    )  # fmt: skip
    learnt: Any = [_usual(tokenizer, text, target, names, task.training.max_tokens) for text, target in rows]
    collate = DataCollatorForTokenClassification(tokenizer)
    Trainer(model=model, args=arguments, train_dataset=learnt, data_collator=collate).train()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _usual(
    tokenizer: Callable[..., Any], text: str, target: Mapping[str, Any], names: Sequence[str], max_tokens: int
) -> dict[str, Any]:
    """Return a row as the usual recipe makes it: a label for the first token of each word that a space divides."""
    words, labels, at = text.split(), [], 0
    for word in words:
        at = text.index(word, at)
        around = next((span for span in target["spans"] if span["start"] <= at < span["end"]), None)
        mark = None if around is None else ("B" if at == around["start"] else "I")
        labels.append(0 if around is None else names.index(f"{mark}-{around['label']}"))
        at += len(word)
    found = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_tokens)
    of_tokens, before = [], None
    for word_id in found.word_ids():
        of_tokens.append(-100 if word_id is None or word_id == before else labels[word_id])
        before = word_id
    return {"input_ids": found["input_ids"], "attention_mask": found["attention_mask"], "labels": of_tokens}


def _asked_ours(folder: Path, texts: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    from trainers.learners.opening import open_model

    return open_model(folder, load_settings().training.model_copy(update={"threads": 1})).predict(texts)


def _asked_stock(folder: Path, texts: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    import torch
    from transformers import pipeline

    torch.set_num_threads(1)
    ask: Any = pipeline("token-classification", model=str(folder), aggregation_strategy="first", device="cpu")
    return [
        {"spans": [{"start": one["start"], "end": one["end"], "label": one["entity_group"]} for one in found]}
        for found in ask(list(texts), batch_size=32)
    ]


_TRAINED = {"ours": _train_ours, "stock": _train_stock, "spacy": _train_spacy}
_ASKED = {"ours": _asked_ours, "stock": _asked_stock, "spacy": _asked_ours}


def _f1(gold: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> float:
    return entities.entity_scores(gold, answers).overall.f1


def _scores(rows: Sequence[Label], answers: Sequence[Mapping[str, Any]]) -> entities.EntityScores:
    return entities.entity_scores([row.target for row in rows], answers)


def _pair(row: Label) -> Pair:
    return row.text or "", row.target


def _labels(path: str, names: Mapping[str, str]) -> list[Label]:
    options = ImportOptions(format="conll", labels=dict(names))
    task = _task("examples/news-entities-transformer.yaml", {})
    return [row for row in import_events(report.data(path), task, options=options) if isinstance(row, Label)]


def _some(rows: Sequence[Label], size: int | None, seed: int) -> list[Label]:
    """Return `size` of the rows (None: all), drawn by the seed."""
    return list(rows) if size is None or size >= len(rows) else random.Random(seed).sample(list(rows), size)


if __name__ == "__main__":
    main()

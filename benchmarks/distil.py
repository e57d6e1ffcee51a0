"""A student of two layers beside its teacher of six: what do the teacher's answers bring it, how fast and how large is it?

HuffPost headlines of 2014: some with their section (gold), more of them without, and others to ask about; all drawn evenly. Arms:

- `teacher`: `minilm`, tuned on gold as shipped;
- `student`: its first two layers, tuned on gold alone;
- `taught`: the same, and the teacher's answers to the gold texts (`training.teacher`, as shipped);
- `taught+articles`: and its answers to the texts without a section;
- `tfidf`: TF-IDF and LinearSVC on gold; `lr`: scikit-learn's logistic regression on the embeddings of `minilm` as it came.

Processor seconds are those of learning, one thread; those of the teacher's answers stand beside them. Texts a second are answered
in batches of 64 on that thread, the model warm.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC
from torch import nn
from transformers import AutoModel, AutoTokenizer

from benchmarks import huffpost, report
from benchmarks.classifier_runs import SETTINGS
from benchmarks.huffpost import Row
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_tasks
from consumers.enrichment.embedding import Encoder
from perennial_artifact.predictor import Predictor
from trainers import hardware
from trainers.learners.catalog import learner_for
from trainers.learners.encoders.bases import source_of
from trainers.learners.features import FeatureSet
from trainers.learners.opening import described, open_model, quieten
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.taught import Taught, ask, names_of, numbers_of

ARMS = ("teacher", "student", "taught", "taught+articles", "tfidf", "lr")
_YEAR, _LAYERS, _STRENGTH = "2014", 2, 10.0
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Texts:
    """What one seed draws."""

    gold: list[Row]
    without: list[Row]
    asked: list[Row]


def main() -> None:
    """Measure every arm for every seed; print a line for each, and means."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--seeds", help="which seeds, such as 0,1")
    parser.add_argument("--gold", type=int, help="texts with their section")
    parser.add_argument("--without", type=int, help="texts without one")
    parser.add_argument("--share", type=float, default=0.5, help="what the teacher counts beside gold")
    parser.add_argument("--temperature", type=float, default=2.0)
    report.write("distil", arguments := parser.parse_args(), _measured(arguments), arguments.json)


def _measured(arguments: Namespace) -> dict[str, Any]:
    quieten()
    gold, without = (
        arguments.gold or (600 if arguments.quick else 2_000),
        arguments.without or (1_200 if arguments.quick else 6_000),
    )
    asked = 1_000 if arguments.quick else 2_000
    seeds = [int(seed) for seed in (arguments.seeds or ("0" if arguments.quick else "0,1")).split(",")]
    every = [row for month, rows in sorted(huffpost.by_month().items()) if month.startswith(_YEAR) for row in rows]
    runs: dict[str, dict[str, Any]] = {arm: {} for arm in ARMS}
    for seed in seeds:
        texts = _drawn(every, gold, without, asked, seed)
        with tempfile.TemporaryDirectory() as folder:
            for arm, line in _played(texts, Path(folder), seed, arguments).items():
                runs[arm][f"seed_{seed}"] = line
                print(f"seed {seed}, {arm}: {', '.join(f'{key} {value:.3f}' for key, value in line.items())}", flush=True)
    means = {
        arm: {key: statistics.mean(line[key] for line in by_seed.values()) for key in next(iter(by_seed.values()))}
        for arm, by_seed in runs.items()
    }  # fmt: skip
    return {"gold": gold, "without": without, "asked": asked, "seeds": seeds, "mean": means, "runs": runs}


def _drawn(every: Sequence[Row], gold: int, without: int, asked: int, seed: int) -> Texts:
    seen: set[str] = set()
    found: list[Row] = []
    for at in np.random.default_rng(seed).permutation(len(every)):
        row = every[at]
        text = row.text.partition("\n\n")[0]
        if text not in seen and len(found) < gold + without + asked:
            seen.add(text)
            found.append(Row(row.identifier, text, row.label, row.at))
    return Texts(found[:gold], found[gold : gold + without], found[gold + without :])


def _played(texts: Texts, folder: Path, seed: int, arguments: Namespace) -> dict[str, dict[str, float]]:
    small = _two_layers(folder / "base")
    gold, without = _examples(texts.gold), _examples(texts.without)
    found: dict[str, dict[str, float]] = {}
    large_spec, small_spec = _task("minilm"), _task(str(small))
    teacher, found["teacher"] = _learnt(large_spec, gold, None, folder / "teacher", texts, seed)
    _model, found["student"] = _learnt(small_spec, gold, None, folder / "student", texts, seed)
    for name, more in (("taught", []), ("taught+articles", without)):
        began = time.process_time()
        said = _said(teacher, folder / "teacher", small_spec, gold, more, arguments)
        asking_s = time.process_time() - began
        _model, found[name] = _learnt(small_spec, gold, said, folder / name, texts, seed)
        found[name]["asking_cpu_s"] = asking_s
    found["tfidf"], found["lr"] = _tfidf(texts), _lr(texts)
    for line in found.values():
        line["gap"] = found["teacher"]["accuracy"] - line["accuracy"]
    return found


def _two_layers(folder: Path) -> Path:
    model = AutoModel.from_pretrained(source_of("minilm"))
    model.encoder.layer = nn.ModuleList(list(model.encoder.layer)[:_LAYERS])
    model.config.num_hidden_layers = _LAYERS
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source_of("minilm")).save_pretrained(folder)
    return folder


def _task(base: str) -> TaskSpec:
    shipped = load_tasks(SHIPPED_TASKS_DIR)["news-topics"].model_dump()
    return TaskSpec.model_validate(shipped | {"base_model": base, "training": shipped["training"] | {"tuning": "always"}})


def _examples(rows: Sequence[Row]) -> list[Example]:
    return [Example(row.identifier, row.text, {"label": row.label}, event_time=row.at) for row in rows]


def _learnt(  # noqa: PLR0917 - all of them are what one run has
    spec: TaskSpec, gold: Sequence[Example], taught: Taught | None, folder: Path, texts: Texts, seed: int
) -> tuple[Predictor, dict[str, float]]:
    plan = TrainingPlan(
        spec=spec, rows=gold, full=True, warm_start=None, seed=seed, hardware=hardware.resolve(SETTINGS),
        batch_size=spec.training.batch_size, work_dir=folder / "work", report=lambda _step: None, taught=taught,
    )  # fmt: skip
    began = time.process_time()
    learner_for(spec).train(plan, folder / "model")
    learning_s = time.process_time() - began
    model = open_model(folder / "model", SETTINGS)
    asked = [row.text for row in texts.asked]
    model.predict(asked[:_BATCH])
    started = time.perf_counter()
    answers = [one["label"] for at in range(0, len(asked), _BATCH) for one in model.predict(asked[at : at + _BATCH])]
    speed = len(asked) / (time.perf_counter() - started)
    size = sum(path.stat().st_size for path in (folder / "model").rglob("*") if path.is_file()) / 2**20
    return model, _scores(texts, answers) | {"learning_cpu_s": learning_s, "texts_per_s": speed, "size_mib": size}


def _said(  # noqa: PLR0917 - as above
    teacher: Predictor, folder: Path, spec: TaskSpec, gold: Sequence[Example], without: Sequence[Example], arguments: Namespace
) -> Taught:
    names, texts = names_of(described(folder / "model"), spec), [_without_gold(row, arguments.share) for row in without]
    asked = [*gold, *texts]
    matrix = np.array(
        [numbers_of(answer, names, {}) for _row, answer in ask(teacher, asked, lambda _told: None)], dtype=np.float32
    )
    return Taught(
        teacher="teacher", names=names, answers=FeatureSet.of([row.example_id for row in asked], matrix), unlabelled=texts,
        share=arguments.share, temperature=arguments.temperature,
    )  # fmt: skip


def _without_gold(row: Example, share: float) -> Example:
    return Example(row.example_id, row.text, {}, weight=share, event_time=row.event_time, independent=False, is_new=False)


def _tfidf(texts: Texts) -> dict[str, float]:
    began = time.process_time()
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    model = LinearSVC().fit(words.fit_transform([row.text for row in texts.gold]), [row.label for row in texts.gold])
    spent = time.process_time() - began
    return _scores(texts, model.predict(words.transform([row.text for row in texts.asked])).tolist()) | {"learning_cpu_s": spent}


def _lr(texts: Texts) -> dict[str, float]:
    encoder = Encoder(load_settings().enrich.encoder)
    began = time.process_time()
    features = encoder.encode([row.text for row in texts.gold])
    model = LogisticRegression(C=_STRENGTH, max_iter=1_000).fit(features, [row.label for row in texts.gold])
    spent = time.process_time() - began
    return _scores(texts, model.predict(encoder.encode([row.text for row in texts.asked])).tolist()) | {"learning_cpu_s": spent}


def _scores(texts: Texts, answers: Sequence[str]) -> dict[str, float]:
    gold = [row.label for row in texts.asked]
    return {
        "accuracy": float(np.mean([one == other for one, other in zip(gold, answers, strict=True)])),
        "macro_f1": float(f1_score(gold, answers, labels=sorted(set(gold)), average="macro", zero_division=0)),
    }


if __name__ == "__main__":
    main()

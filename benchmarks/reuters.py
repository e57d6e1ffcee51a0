"""Reuters-21578, ModApte: multi-label topics, beside TF-IDF and one-vs-rest of scikit-learn, in the same run.

Rows are those of the usual R90 set: of the ModApte split, the documents that carry one of the 90 topics with at least one
training and one test document (7,770 and 3,019). The split is by time, so forward validation judges as the test does. Ours is
what a first run of `news-tags` learns: once the base model's features and a head (`tuning: never`), once tuned. All classifiers
answer the same test rows; macro F1 over the 90 topics (0 where a topic is never given), micro F1 and subset accuracy.
"""

from __future__ import annotations

import html
import re
import statistics
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from benchmarks import report
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_task
from trainers import hardware
from trainers.learners.catalog import learner_for
from trainers.learners.opening import open_model
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.tried import Tried

Marks = npt.NDArray[np.intp]

_SETTINGS = load_settings().training.model_copy(update={"threads": 1})
_QUICK_ROWS = 1_500
_ANSWERED_AT_ONCE = 256
_DOCUMENT = re.compile(r"<REUTERS(.*?)>(.*?)</REUTERS>", re.DOTALL)
_BASELINES: dict[str, Callable[[], Any]] = {
    "TF-IDF, LinearSVC": lambda: LinearSVC(max_iter=5_000),
    "TF-IDF, LinearSVC, balanced": lambda: LinearSVC(class_weight="balanced", max_iter=5_000),
    "TF-IDF, logistic regression": lambda: LogisticRegression(C=30.0, solver="liblinear"),
}


@dataclass(frozen=True, slots=True)
class Document:
    """One newswire document of the split."""

    identifier: str
    text: str
    topics: frozenset[str]
    at: datetime
    test: bool


def main() -> None:
    """Read the arguments, measure, report."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=1, help="how often ours is tuned")
    parser.add_argument("--max-tokens", type=int, default=128, help="longest text that ours reads")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the rows that ours is tuned on")
    parser.add_argument("--untuned", action="store_true", help="leave out the tuned model, which takes most of the time")
    arguments = parser.parse_args()
    train, test, topics = documents()
    if arguments.quick:
        train, test = train[-_QUICK_ROWS:], test[:_QUICK_ROWS]
    gold = marks([one.topics for one in test], topics)
    results: dict[str, Any] = {"rows": len(train), "tested": len(test), "topics": len(topics), "baselines": {}, "ours": {}}
    for name, classifier in _BASELINES.items():
        began = time.process_time()
        words = TfidfVectorizer(sublinear_tf=True, min_df=2)
        features = words.fit_transform([one.text for one in train])
        model = OneVsRestClassifier(classifier()).fit(features, marks([one.topics for one in train], topics))
        said = np.asarray(model.predict(words.transform([one.text for one in test])), dtype=np.intp)
        results["baselines"][name] = scores(gold, said) | {"cpu_s": round(time.process_time() - began, 1)}
        print(f"{name}: {results['baselines'][name]}", flush=True)
    arms: dict[str, dict[str, Any]] = {"head on the base model": {"tuning": "never"}}
    if not (arguments.quick or arguments.untuned):
        arms["tuned"] = {"tuning": "always", "full_epochs": arguments.epochs}
    for name, training in arms.items():
        runs: dict[str, list[float]] = defaultdict(list)
        for seed in range(arguments.seeds if training["tuning"] == "always" else 1):
            for figure, value in ours(train, test, topics, {"max_tokens": arguments.max_tokens, **training}, seed).items():
                runs[figure].append(value)
        results["ours"][name] = {figure: round(statistics.mean(values), 4) for figure, values in runs.items()}
        results["ours"][name]["macro_f1_by_seed"] = runs["macro_f1"]
        # What a long run has measured is told at once: who ends it early keeps that.
        print(f"ours, {name}: {results['ours'][name]}", flush=True)
    best = max(one["macro_f1"] for one in results["baselines"].values())
    results["better_baseline_macro_f1"] = best
    results["ours_over_it"] = {name: round(one["macro_f1"] - best, 4) for name, one in results["ours"].items()}
    report.write("reuters", arguments, results, arguments.json)


def documents() -> tuple[list[Document], list[Document], list[str]]:
    """Return the training and the test documents of R90, each in order of time, and the 90 topics."""
    split = [one for one in _read() if one.topics]
    known = [{topic for one in split if one.test is test for topic in one.topics} for test in (False, True)]
    topics = known[0] & known[1]
    kept = sorted((one for one in split if one.topics & topics), key=lambda one: (one.at, int(one.identifier)))
    return [one for one in kept if not one.test], [one for one in kept if one.test], sorted(topics)


def _read() -> Iterator[Document]:
    """Yield the documents of the ModApte split."""
    with tarfile.open(report.data("reuters21578/reuters21578.tar.xz")) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            file = archive.extractfile(member) if member.name.endswith(".sgm") else None
            for found in _DOCUMENT.finditer("" if file is None else file.read().decode("latin-1")):
                head, content = found.groups()
                part = _attribute(head, "LEWISSPLIT")
                if _attribute(head, "TOPICS") != "YES" or part not in ("TRAIN", "TEST"):
                    continue
                title, body = (_element(content, name) for name in ("TITLE", "BODY"))
                text = f"{title}\n\n{body}" if title and body else title or body or _element(content, "TEXT.*?")
                topics = frozenset(re.findall(r"<D>(.*?)</D>", _element(content, "TOPICS", plain=False)))
                at = datetime.strptime(_element(content, "DATE").partition(".")[0], "%d-%b-%Y %H:%M:%S").replace(tzinfo=UTC)
                yield Document(_attribute(head, "NEWID"), text, topics, at, test=part == "TEST")


def _attribute(head: str, name: str) -> str:
    found = re.search(rf'{name}="(.*?)"', head)
    return found[1] if found else ""


def _element(content: str, name: str, *, plain: bool = True) -> str:
    found = re.search(rf"<{name}>(.*?)</", content, re.DOTALL) if plain else re.search(rf"<{name}>(.*?)</{name}>", content)
    return html.unescape(found[1]).strip() if found else ""


def _example(one: Document) -> Example:
    return Example(one.identifier, one.text, {"labels": sorted(one.topics)}, event_time=one.at)


def marks(rows: Sequence[frozenset[str]], topics: Sequence[str]) -> Marks:
    """Return which topics rows carry, 0 or 1, shape (rows, topics)."""
    return np.array([[topic in row for topic in topics] for row in rows], dtype=np.intp)


def scores(gold: Marks, said: Marks) -> dict[str, float]:
    """Return macro and micro F1 and subset accuracy."""
    found = {f"{average}_f1": float(f1_score(gold, said, average=average, zero_division=0)) for average in ("macro", "micro")}
    return {name: round(value, 4) for name, value in found.items()} | {
        "subset_accuracy": round(float(accuracy_score(gold, said)), 4)
    }


def ours(
    train: Sequence[Document], test: Sequence[Document], topics: Sequence[str], training: dict[str, Any], seed: int
) -> dict[str, float]:
    """Return what a first run of the example task, with these training options, answers, and its processor seconds."""
    shipped = load_task(SHIPPED_TASKS_DIR / "examples" / "news-tags.yaml").model_dump()
    task = TaskSpec.model_validate(
        # Every topic of the set is to be answered, also those with one document.
        shipped | {"training": shipped["training"] | training, "label_names": tuple(topics)}
    )
    tried: list[Tried] = []
    with tempfile.TemporaryDirectory() as folder:
        plan = TrainingPlan(
            spec=task, rows=[_example(one) for one in train], full=True, warm_start=None, seed=seed,
            hardware=hardware.resolve(_SETTINGS), batch_size=task.training.batch_size, work_dir=Path(folder) / "work",
            report=lambda _step: None, note_tried=tried.append,
        )  # fmt: skip
        began = time.process_time()
        learner_for(task).train(plan, Path(folder) / "model")
        spent_s = time.process_time() - began
        model = open_model(Path(folder) / "model", _SETTINGS)
        texts = [one.text for one in test]
        said = [
            frozenset(answer["labels"])
            for at in range(0, len(texts), _ANSWERED_AT_ONCE)
            for answer in model.predict(texts[at : at + _ANSWERED_AT_ONCE])
        ]
    found = scores(marks([one.topics for one in test], topics), marks(said, topics))
    reading_s = sum(one.cpu_s for one in tried if one.name == "features of all rows computed")
    return found | {"cpu_s": round(spent_s, 1), "of_it_features_cpu_s": round(reading_s, 1)}


if __name__ == "__main__":
    main()

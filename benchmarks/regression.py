"""Numbers in named dimensions beside ridge regressions of scikit-learn on TF-IDF and on embeddings, in the same run.

EmoBank (valence, arousal, dominance; its own split, development rows train) and SEECE (news scored by a language model in 8
dimensions; a fifth, drawn by seed, is held out). Ours is what a first run of the example `news-emotions` learns: once the base
model's features and a head (`tuning: never`), once with runs of words beside (`feature_blocks: [ngrams]`), once tuned. All answer
the same test rows; figures are MAE, Spearman and processor seconds, without imports. Embedding is paid for once, at ingest, and
counted apart.
"""

from __future__ import annotations

import csv
import json
import lzma
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV

from benchmarks import report
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_task
from trainers import hardware
from trainers.learners.catalog import learner_for
from trainers.learners.features import FeatureSet
from trainers.learners.opening import open_model
from trainers.learners.protocols import Example, TrainingPlan

_SETTINGS = load_settings().training.model_copy(update={"threads": 1})
"""One thread, so that processor seconds are seconds of one core."""
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
_SEECE = "seece-energy-tech_analysis"
_SEECE_DIMENSIONS = (
    "climate_impact_potential", "technical_credibility", "economic_viability", "deployment_readiness", "systemic_impact",
    "justice_equity", "innovation_quality", "evidence_strength",
)  # fmt: skip
_HELD_OUT = 0.2
_QUICK_ROWS = 800
_ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """Texts with their numbers, shape (texts, dimensions)."""

    texts: list[str]
    values: Numbers


@dataclass(frozen=True, slots=True)
class Problem:
    """What is learnt, and what is asked."""

    name: str
    low: float
    high: float
    dimensions: tuple[str, ...]
    train: Scored
    test: Scored


def main() -> None:
    """Read the arguments, measure, report."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--seeds", default="0", help="of the held-out part of SEECE and of tuning, such as 0,1,2")
    parser.add_argument("--sets", default="seece,emobank")
    parser.add_argument("--arms", default="mean,tfidf,embeddings,head,words,tuned,huber")
    arguments = parser.parse_args()
    arms = arguments.arms.split(",")
    results: dict[str, Any] = {}
    for name in arguments.sets.split(","):
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
        results[name] = {f"seed {seed}": _measured(_problem(name, seed, quick=arguments.quick), arms, seed) for seed in seeds}
    report.write("regression", arguments, results, arguments.json)


def _problem(name: str, seed: int, *, quick: bool) -> Problem:
    chance = random.Random(seed)
    if name == "emobank":
        with lzma.open(report.data("emobank/emobank_without_headlines.csv.xz"), "rt", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["text"].strip()]
        chance.shuffle(rows)
        parts = [[row for row in rows if (row["split"] == "test") == held_out] for held_out in (False, True)]
        parts = [part[:_QUICK_ROWS] for part in parts] if quick else parts
        train, test = (Scored([row["text"] for row in part], _matrix(part, "VAD")) for part in parts)
        return Problem(name, 1.0, 5.0, ("valence", "arousal", "dominance"), train, test)
    with lzma.open(report.data("seece/seece.jsonl.xz"), "rt", encoding="utf-8") as file:
        items = [json.loads(line) for line in file]
    chance.shuffle(items)
    border = round(_HELD_OUT * len(items))
    test, train = (
        Scored([f"{item['title']}\n\n{item['content']}" for item in part], _matrix([i[_SEECE] for i in part], _SEECE_DIMENSIONS))
        for part in (items[:border], items[border:])
    )
    return Problem(name, 0.0, 10.0, _SEECE_DIMENSIONS, train, test)


def _matrix(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Numbers:
    return np.array([[float(row[name]) for name in names] for row in rows])


def _measured(problem: Problem, arms: Sequence[str], seed: int) -> dict[str, Any]:
    """Return the figures of every arm on one problem."""
    spec = _spec(problem)
    began = time.process_time()
    vectors = _embedded(spec, [*problem.train.texts, *problem.test.texts])
    found: dict[str, Any] = {"rows": len(problem.train.texts), "test_rows": len(problem.test.texts)}
    found["embedding_cpu_s"] = time.process_time() - began
    here, there = vectors[: len(problem.train.texts)], vectors[len(problem.train.texts) :]
    ways: dict[str, Callable[[], Numbers]] = {
        "mean": lambda: np.tile(problem.train.values.mean(axis=0), (len(problem.test.texts), 1)),
        "tfidf": lambda: _tfidf(problem),
        "embeddings": lambda: np.asarray(
            RidgeCV(alphas=_ALPHAS, alpha_per_target=True).fit(here, problem.train.values).predict(there)
        ),
        "head": lambda: _ours(problem, spec, here, seed, tuning="never", loss="mse"),
        "words": lambda: _ours(problem, spec, here, seed, tuning="never", loss="mse", feature_blocks=("ngrams",)),
        "tuned": lambda: _ours(problem, spec, here, seed, tuning="always", loss="mse"),
        "huber": lambda: _ours(problem, spec, here, seed, tuning="always", loss="huber"),
    }
    for arm in arms:
        began = time.process_time()
        said = ways[arm]()
        cpu_s = time.process_time() - began
        found[arm] = _figures(problem, np.clip(said, problem.low, problem.high)) | {"cpu_s": cpu_s}
    return found


def _figures(problem: Problem, said: Numbers) -> dict[str, Any]:
    apart = np.abs(said - problem.test.values)
    ranks = [
        float(spearmanr(said[:, at], problem.test.values[:, at]).statistic) if np.ptp(said[:, at]) else 0.0
        for at in range(said.shape[1])
    ]
    by_dimension = {name: float(apart[:, at].mean()) for at, name in enumerate(problem.dimensions)}
    return {"mae": float(apart.mean()), "spearman": float(np.mean(ranks)), "mae_of": by_dimension}


def _tfidf(problem: Problem) -> Numbers:
    """Return what scikit-learn's ridge on TF-IDF of one and two words answers; its strength by cross validation."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    here = vectorizer.fit_transform(problem.train.texts)
    search = GridSearchCV(Ridge(), {"alpha": _ALPHAS}, scoring="neg_mean_absolute_error", cv=5)
    search.fit(here, problem.train.values)
    return np.asarray(search.predict(vectorizer.transform(problem.test.texts)))


def _spec(problem: Problem) -> TaskSpec:
    task = load_task(SHIPPED_TASKS_DIR / "examples" / "news-emotions.yaml")
    dimensions = [{"name": name, "low": problem.low, "high": problem.high} for name in problem.dimensions]
    return TaskSpec.model_validate({**task.model_dump(), "name": f"bench-{problem.name}", "dimensions": dimensions, "tiers": {}})


def _embedded(spec: TaskSpec, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return what the base model makes of texts, as the buffer stores it."""
    import torch  # heavy

    from trainers.learners.encoders import encoder as encoders  # heavy

    torch.set_num_threads(1)
    compute = hardware.resolve(_SETTINGS).compute
    return encoders.open_base(spec.base_model, max_tokens=spec.training.max_tokens).as_served(compute).features(texts)[0]


def _ours(problem: Problem, spec: TaskSpec, vectors: npt.NDArray[np.float32], seed: int, **changes: object) -> Numbers:
    training = spec.training.model_copy(update=changes)
    spec = spec.model_copy(update={"training": training})
    rows = [
        Example(
            f"r{at}", text, {"values": dict(zip(problem.dimensions, values.tolist(), strict=True))},
            event_time=_SINCE + timedelta(seconds=at),
        )
        for at, (text, values) in enumerate(zip(problem.train.texts, problem.train.values, strict=True))
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        plan = TrainingPlan(
            spec=spec, rows=rows, full=True, warm_start=None, seed=seed, hardware=hardware.resolve(_SETTINGS),
            batch_size=training.batch_size, work_dir=Path(folder) / "work", report=lambda _step: None,
            base_features=FeatureSet.of([row.example_id for row in rows], vectors),
        )  # fmt: skip
        learner_for(spec).train(plan, Path(folder) / "model")
        answers = open_model(Path(folder) / "model", _SETTINGS).predict(problem.test.texts)
    return np.array([[answer["values"][name] for name in problem.dimensions] for answer in answers])


if __name__ == "__main__":
    main()

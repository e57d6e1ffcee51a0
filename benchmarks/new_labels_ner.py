"""Do small runs destroy what was known? A recogniser of CoNLL-2003 learns the types of CrossNER politics, 50 sentences at a time.

The first model learns 3,000 CoNLL sentences (people, organisations, places, others). Then politics sentences arrive in portions:
their four general types under the same names, five that are new (country, politician, politicalparty, election, event). After
each portion stand the F1 on the second CoNLL test set, where every claim of a new type counts as wrong, the F1 of the new types
on the politics test set, and CPU seconds. The arms go on from the same first model, each from its own last one: `before` is
the recipe of release 0.1 (8 passes over the new rows and two older ones for each; silence about a type is a no), `ours` what the
shipped task file says now, `heads` the same with all below the recogniser's upper layers as it was (refreshes alone), and `full`
a full run over all rows each time.
"""

from __future__ import annotations

import json
import logging
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from benchmarks import report
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_tasks
from consumers.events.schemas import Label
from consumers.formats.importing import import_events
from consumers.formats.options import ImportOptions
from consumers.training_set import scopes
from perennial_artifact.predictor import Predictor
from trainers.compare.metrics import entities
from trainers.hardware import Hardware
from trainers.job.rows import replay
from trainers.job.rows.examples import examples_of
from trainers.learners.opening import open_model
from trainers.learners.protocols import TrainingPlan
from trainers.learners.spacy.ner import SpacyNerLearner
from trainers.learners.spacy.refresh import RecogniserRefresh
from trainers.learners.tried import Tried

OLD = {"PER": "PERSON", "ORG": "ORG", "LOC": "LOC", "MISC": "MISC"}
SHARED = {"person": "PERSON", "organisation": "ORG", "location": "LOC", "misc": "MISC"}
NEW = ("country", "election", "event", "politicalparty", "politician")
ARMS = ("before", "ours", "heads", "full")
BEFORE = {"epochs": 8, "replay_ratio": 2.0, "replay_floor": 0, "replay_epochs": None}
PORTION = 50
_START = datetime(2024, 1, 1, tzinfo=UTC)
_SETTINGS = load_settings()


@dataclass(frozen=True, slots=True)
class Row:
    """A sentence, as `scopes.of` and the trainers look at it."""

    example_id: str
    text: str
    target: str
    event_time: datetime
    accepted_labels: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The sentences that models are asked about."""

    conll: Sequence[Label]
    politics: Sequence[Label]


def main() -> None:
    """Measure every arm for every seed; print a line for each portion, and means."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--arms", default=",".join(ARMS), help="which of before, ours, heads and full (commas between)")
    parser.add_argument("--seeds", default=None, help="which seeds, such as 0,1,2")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    sentences, portions, asked = (1_500, 2, 1_000) if arguments.quick else (3_000, 4, None)
    seeds = [int(seed) for seed in (arguments.seeds or ("0" if arguments.quick else "0,1,2")).split(",")]
    questions = Asked(_labels("conll2003/eng.testb.xz", OLD)[:asked], _labels("crossner/politics/test.txt.xz", SHARED))
    runs: dict[str, Any] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            runs[f"seed_{seed}"] = _chains(
                seed, questions, Path(folder), sentences=sentences, portions=portions, arms=arguments.arms.split(",")
            )
    results: dict[str, Any] = {
        "conll_sentences": sentences,
        "portion": PORTION,
        "seeds": seeds,
        "asked_conll": len(questions.conll),
    }
    results["first_conll_f1"] = statistics.mean(run["first"]["conll_f1"] for run in runs.values())
    for arm in arguments.arms.split(","):
        results[arm] = {
            f"after_{PORTION * number}": {
                name: statistics.mean(run[arm][number - 1][name] for run in runs.values())
                for name in ("conll_f1", "new_f1", "false_new", "cpu_s")
            }
            for number in range(1, portions + 1)
        }
    report.write("new_labels_ner", arguments, results | {"runs": runs}, arguments.json)


def _chains(seed: int, asked: Asked, folder: Path, *, sentences: int, portions: int, arms: Sequence[str]) -> dict[str, Any]:
    order = random.Random(seed)
    conll, politics = _labels("conll2003/eng.train.xz", OLD), _labels("crossner/politics/train.txt.xz", SHARED)
    order.shuffle(conll)
    order.shuffle(politics)
    old = [_row(label, "old", at, _START) for at, label in enumerate(conll[:sentences])]
    new = [_row(label, "new", at, _START + timedelta(days=1 + at // PORTION)) for at, label in enumerate(politics)]
    task = load_tasks(SHIPPED_TASKS_DIR)["news-entities"].model_copy(update={"labels": "open", "label_names": ()})
    first, cpu_s, _tried = _train(task, old, folder / "first", known=frozenset(), champion=None, seed=seed, scoped=True)
    found: dict[str, Any] = {"first": {**_scores(first, asked), "cpu_s": cpu_s}}
    print(f"seed {seed}, first model: CoNLL {found['first']['conll_f1']:.3f} ({cpu_s:.0f} CPU s)", flush=True)
    for arm in arms:
        champion, known, found[arm] = first, frozenset(row.example_id for row in old), []
        recipe = _with(task, BEFORE) if arm == "before" else task
        for number in range(1, portions + 1):
            rows = [*old, *new[: number * PORTION]]
            output = folder / f"{arm}-{number}"
            start = None if arm == "full" else champion
            champion, cpu_s, tried = _train(
                recipe, rows, output, known=known, champion=start, seed=seed, scoped=arm != "before", refresh=arm == "heads"
            )
            known = frozenset(row.example_id for row in rows)
            line = {**_scores(champion, asked), "cpu_s": cpu_s, "chosen": next((one.name for one in tried if one.chosen), None)}
            line["tried"] = {one.name: dict(one.scores) for one in tried}
            found[arm].append(line)
            print(
                f"seed {seed}, {arm} after {number * PORTION}: CoNLL {line['conll_f1']:.3f} ({line['false_new']} false claims "
                f"of new types), new types {line['new_f1']:.3f}, {cpu_s:.0f} CPU s; {line['chosen'] or 'nothing else tried'}",
                flush=True,
            )
    return found


def _train(
    task: TaskSpec,
    rows: Sequence[Row],
    output: Path,
    *,
    known: frozenset[str],
    champion: Path | None,
    seed: int,
    scoped: bool,
    refresh: bool = False,
) -> tuple[Path, float, list[Tried]]:
    """Choose rows and learn as a run does; return the model's folder, CPU seconds and what was tried."""
    tried: list[Tried] = []
    began = time.process_time()
    scope = scopes.of(rows, {}) if scoped else dict.fromkeys((row.example_id for row in rows), None)
    table = pa.table({
        "example_id": [row.example_id for row in rows], "text": [row.text for row in rows],
        "target": [row.target for row in rows],
        "event_time": pa.array([row.event_time for row in rows], pa.timestamp("us", "UTC")),
        "is_new": [row.example_id not in known for row in rows], "weight": [1.0] * len(rows),
        "document_id": pa.nulls(len(rows), pa.string()), "story_id": [row.example_id for row in rows],
        "selected_by": ["gold"] * len(rows), "contributor": pa.nulls(len(rows), pa.int32()),
        "embedding": pa.nulls(len(rows), pa.list_(pa.float32())),
        "scope": pa.array([scope[row.example_id] for row in rows], pa.list_(pa.string())),
    })  # fmt: skip
    chosen = replay.select(table, task.training, full=champion is None, seed=seed, feedback=task.feedback)
    plan = TrainingPlan(
        spec=task, rows=examples_of(chosen.table), full=champion is None, warm_start=champion, seed=seed,
        hardware=Hardware("cpu", "fp32", 1), batch_size=task.training.batch_size, work_dir=output.parent,
        report=lambda _step: None, note_tried=tried.append,
        # Without a metric nothing is averaged, as before.
        score=_f1 if scoped else None,
    )  # fmt: skip
    (RecogniserRefresh() if refresh else SpacyNerLearner()).train(plan, output)
    return output, time.process_time() - began, tried


def _scores(folder: Path, asked: Asked) -> dict[str, Any]:
    model = open_model(folder, _SETTINGS.training)
    conll, politics = (_counts(model, rows) for rows in (asked.conll, asked.politics))
    new = sum((counts for label, counts in politics.per_type.items() if label in NEW), entities.Counts())
    claimed = sum(counts.false_positive for label, counts in conll.per_type.items() if label in NEW)
    return {"conll_f1": conll.overall.f1, "new_f1": new.f1, "false_new": claimed, "politics_f1": politics.overall.f1}


def _counts(model: Predictor, rows: Sequence[Label]) -> entities.EntityScores:
    return entities.entity_scores([row.target for row in rows], model.predict([row.text or "" for row in rows]))


def _f1(gold: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> float:
    return entities.entity_scores(gold, answers).overall.f1


def _with(task: TaskSpec, training: Mapping[str, Any]) -> TaskSpec:
    return task.model_copy(update={"training": task.training.model_copy(update=dict(training))})


def _row(label: Label, portion: str, at: int, moment: datetime) -> Row:
    return Row(f"{portion}-{at}", label.text or "", json.dumps(label.target), moment)


def _labels(path: str, names: Mapping[str, str]) -> list[Label]:
    task = load_tasks(SHIPPED_TASKS_DIR)["news-entities"].model_copy(update={"labels": "open", "label_names": ()})
    options = ImportOptions(format="conll", labels=dict(names))
    return [row for row in import_events(report.data(path), task, options=options) if isinstance(row, Label)]


if __name__ == "__main__":
    main()

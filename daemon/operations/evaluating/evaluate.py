"""One or two models answer the rows of a file, and are scored as candidate and champion of a run are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from config.errors import UserError
from config.settings import Settings
from config.task_files.labels.label_changes import applied
from config.tasks import TaskSpec, load_tasks
from consumers.formats.importing import Import
from consumers.formats.rows import BadRow
from daemon.operations.evaluating.rows import Known, Rows, labels_unknown, read
from daemon.operations.published import folder_of
from daemon.views import opening
from daemon.views.models.evaluation import Evaluation, Figure, Model, Part
from perennial_artifact.description import MODEL_FILE, Description
from perennial_artifact.predictor import Predictor
from registry.judging import gate
from registry.runs import Level
from registry.store import Registry
from trainers.compare import scoring, statistics
from trainers.compare.answers import Answers
from trainers.compare.clusters import clusters_of
from trainers.compare.comparison import Comparison, compare
from trainers.compare.in_force import with_labels_in_force
from trainers.compare.metrics import catalog
from trainers.compare.metrics.metric import KnowsLabels
from trainers.learners.catalog import learner_for
from trainers.learners.opening import described, open_model, usable


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to ask: a version of the registry, or a folder that holds one."""

    name: str
    folder: Path
    description: Description
    learnt: frozenset[str] | None
    """Ids of the examples it has learnt from; None: not recorded."""
    task: str | None
    """The task of a version."""
    readiness: Level | None = None
    """What the report of a version's run says."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an evaluation gives."""

    evaluation: Evaluation
    scores: pa.Table
    """A line per row: example_id, gold, `candidate` (the last model) and `opponent`, the last three as JSON."""
    rows: Rows


def models_of(settings: Settings, names: Sequence[str]) -> list[Candidate]:
    """Return the models called so: versions (`news-topics/v3`), or folders. Raises `UserError` for what is neither."""
    with ExitStack() as stack:
        registry: Registry | None = None
        found = []
        for name in names:
            if (folder := Path(name)).is_dir() and (folder / MODEL_FILE).is_file():
                found.append(Candidate(name, folder, described(folder), None, None))
                continue
            registry = registry or stack.enter_context(opening.registry(settings))
            version, published = registry.versions.get(name), folder_of(settings, registry, name)
            run = registry.runs.find(version.run_id)
            readiness = run.readiness if run is not None else None
            learnt = registry.versions.learnt(name)
            found.append(Candidate(name, published, described(published), learnt, version.task, readiness))
    return found


def task_of(settings: Settings, models: Sequence[Candidate], asked: str | None) -> TaskSpec:
    """Return the task that the rows are labels of: `asked`, else that of the first version.

    Raises `UserError` where it is unknown, or where a model answers another kind of question.
    """
    tasks = load_tasks(settings.tasks_folder)
    name = asked or next((model.task for model in models if model.task is not None), None)
    if name is None:
        message = f"a folder does not say which task its model is of; give --task, one of {', '.join(sorted(tasks))}"
        raise UserError(message)
    if name not in tasks:
        message = f"task {name!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    for model in models:
        if model.description.kind != tasks[name].kind:
            message = (
                f"{model.name} is a model of kind {model.description.kind}, and task {name} is of kind {tasks[name].kind}; "
                "give --task for a task of its kind"
            )
            raise UserError(message)
    return tasks[name]


def evaluate(
    settings: Settings,
    task: TaskSpec,
    models: Sequence[Candidate],
    found: Import,
    *,
    with_learnt: bool,
    bad: Callable[[BadRow], None],
    report: Callable[[int, int], None],
) -> Found:
    """Return what one model, or two, are worth on the rows of a file. The second of two is the candidate.

    Raises `UserError` where no row is left to score, `RunFailedError` where a model cannot be used.
    """
    seen_before = known(settings, task, models)
    task = seen_before.task
    rows = read(found, seen_before, with_learnt=with_learnt, bad=bad)
    scores = scored(task, opened(settings, task, models), rows.table, report)
    names = [model.name for model in models]
    seen = compare(
        task, run_id="", champion_version=names[0] if len(models) > 1 else None, opponent=names[0], scores=scores,
        candidate_latency=None, champion_latency=None, size_mib=0.0, seed=settings.training.seed,
    )  # fmt: skip
    # What a file holds says nothing of how many rows to import, so the gate is not told what share is tested.
    decision = gate.decide(seen, task.promotion) if len(models) > 1 else None
    answers = Answers.read(scores)
    labels = {label for model in models for label in model.description.labels}
    evaluation = Evaluation(
        task=task.name,
        kind=task.kind,
        file=found.source.path.name,
        models=tuple(
            Model(name=model.name, learnt_known=model.learnt is not None, readiness=model.readiness) for model in models
        ),
        rows=seen.rows,
        clusters=seen.stories,
        learnt_left_out=rows.learnt,
        left_out=rows.left_out,
        unusable=rows.bad,
        unknown_labels=labels_unknown(rows, labels),
        truncated=sum(bool(answer.get("truncated")) for answer in answers.candidate),
        confidence=task.promotion.confidence,
        figures=tuple(_figures(task, scores, answers, len(models), settings.training.seed)),
        parts=tuple(_parts(seen, task, answers, len(models))),
        comparison=seen.model_dump(),
        verdict=decision.verdict if decision else None,
        reasons=decision.reasons if decision else (),
        answers_differ=sum(_said(one) != _said(other) for one, other in zip(answers.candidate, answers.opponent, strict=True)),
    )
    return Found(evaluation, scores, rows)


def known(settings: Settings, task: TaskSpec, models: Sequence[Candidate]) -> Known:
    """Return what the buffer knows of a task's texts and labels, and what of it the models have learnt."""
    if not settings.buffer_dir.exists():
        return Known(applied(task, ()), frozenset())
    learnt = frozenset[str]().union(*(model.learnt or () for model in models))
    with opening.buffer(settings) as buffer:
        in_force = buffer.with_labels_in_force(task)
        return Known.of(in_force, buffer.examples_by_text(task.name) if learnt else {}, learnt)


def opened(settings: Settings, task: TaskSpec, models: Sequence[Candidate]) -> list[Predictor]:
    """Return models that answer with the labels that `task` has in force. Raises `RunFailedError` where one cannot be used."""
    return [with_labels_in_force(open_model(model.folder, settings.training), task, model.description.labels) for model in models]


def scored(task: TaskSpec, models: Sequence[Predictor], rows: pa.Table, report: Callable[[int, int], None]) -> pa.Table:
    """Return what one or two models answer to rows: `gold`, `candidate` (the last of them) and `opponent`, as JSON.

    Raises `RunFailedError` where a model computes what is no answer.
    """
    candidate = models[-1]
    opponent = models[0] if len(models) > 1 else None
    with usable():
        return scoring.score(candidate, opponent, rows, align=learner_for(task).aligner(candidate), report=report)


def _figures(task: TaskSpec, scores: pa.Table, answers: Answers, models: int, seed: int) -> list[Figure]:
    clusters, figures = clusters_of(scores), []
    for metric in catalog.all_of(task):
        paired = metric.pair(*answers.columns)
        bounds = statistics.intervals(paired, clusters, confidence=task.promotion.confidence, seed=seed)
        figures.append(
            Figure(
                name=metric.name,
                scale=metric.scale.model_dump(),
                decides=metric.name == task.promotion.metric,
                # The first model is the opponent.
                scores=tuple(reversed(paired.scores()))[-models:],
                bounds=tuple(reversed(bounds))[-models:],
            )
        )
    return figures


def _parts(seen: Comparison, task: TaskSpec, answers: Answers, models: int) -> list[Part]:
    """Return the slices of the comparison; labels all, however few rows have them."""
    found = [
        Part(name=part.name, rows=part.rows, scores=(part.champion_score, part.candidate_score)[-models:])
        for part in seen.slices
        if not part.name.startswith("label:")
    ]
    metric = catalog.of(task)
    if isinstance(metric, KnowsLabels):
        by_label = metric.label_detail(*answers.columns).by_label
        found += [
            Part(name=f"label:{label}", rows=of.rows, scores=(of.opponent, of.candidate)[-models:])
            for label, of in sorted(by_label.items(), key=lambda one: (-one[1].rows, one[0]))
        ]
    return found


def _said(answer: object) -> str:
    assert isinstance(answer, dict)  # noqa: S101 - an answer is a JSON object; narrows the type
    return json.dumps({key: value for key, value in answer.items() if key not in ("scores", "truncated")}, sort_keys=True)

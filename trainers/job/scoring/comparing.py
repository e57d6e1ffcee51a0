"""Candidate and opponent answer the rows that are held out, and the answers become one comparison."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from config.errors import RunFailedError
from config.tasks import TaskSpec
from perennial_artifact.predictor import Predictor
from trainers.compare import scoring
from trainers.compare.comparison import Comparison, compare
from trainers.compare.in_force import known_in_force, with_labels_in_force
from trainers.job.job import Job, from_features
from trainers.job.rows.examples import examples_of
from trainers.job.rows.replay import RunRows
from trainers.job.scoring import siding
from trainers.job.scoring.declared_baseline import baseline_name, baseline_of, baseline_score
from trainers.job.scoring.fit import Fit
from trainers.job.scoring.gap import Beside
from trainers.job.scoring.overfitting import measure
from trainers.job.scoring.sides import Sides
from trainers.job.scoring.student import beside_teacher
from trainers.job.spec import CHAMPION_FOLDER, MODEL_FOLDER, SCORES_FILE, JobSpec
from trainers.job.teaching import unlabelled_of
from trainers.learners.catalog import learner_for
from trainers.learners.features import FeatureSet
from trainers.learners.heads.published.answering import open_from_features
from trainers.learners.opening import described, open_model
from trainers.parquet import write_table

_LOG = structlog.get_logger(__name__)


class Compared(NamedTuple):
    """What came out."""

    comparison: Comparison
    tested: int
    """Rows that were scored."""
    cut: int
    """Of these the ones of which the candidate read the beginning only."""
    baseline: float | None
    """Score of the declared baseline, where it was asked for beside the champion's."""
    teacher: Beside | None
    """The candidate beside its teacher, where it had one."""
    fit: Fit | None
    """The candidate on rows that it has learnt."""
    sides: Sides | None
    """The candidate beside the oracle and people, where these say something of test rows."""


def compare_models(job: Job, selection: RunRows, *, answered: int = 0) -> Compared:
    """Return what both models are worth on the held-out rows; a teacher `answered` so many of the training rows."""
    spec = job.spec
    rows, learnt = job.training_set.rows(*scoring.ROLES, embeddings=False), selection.table
    if from_features(spec):
        rows, learnt, candidate, opponent = _from_features(spec, job.features, rows, learnt)
        opponent_name, opponent_version = spec.champion_version or CHAMPION_FOLDER, spec.champion_version
    else:
        candidate = open_model(job.model, spec.training)
        opponent, opponent_name, opponent_version = _opponent(job, selection)

    def report(done: int, of: int) -> None:
        job.progress.write("scoring", step=done, steps=of, message=f"the candidate and {opponent_name} answer the test rows")
        job.stop.check()

    align = job.learner.aligner(candidate) if job.learner else lambda _text, targets: targets
    scores = scoring.score(candidate, opponent, rows, align=align, report=report)
    write_table(scores, spec.run_dir / SCORES_FILE)
    candidate_latency = opponent_latency = None
    if not spec.refresh:  # else both have the same below the head, which is what takes the time
        texts = (rows if rows.num_rows else selection.table)["text"].to_pylist()
        random.Random(spec.training.seed).shuffle(texts)  # noqa: S311 - a sample
        candidate_latency, opponent_latency = scoring.time_answers(candidate, opponent, texts)
    job.stop.check()
    cut = sum(bool(json.loads(answer).get("truncated")) for answer in scores["candidate"].to_pylist())
    found = compare(
        spec.task,
        run_id=spec.run_id,
        champion_version=opponent_version,
        opponent=opponent_name,
        scores=scores,
        candidate_latency=candidate_latency,
        # A baseline is not in production: being slower than one is no fault.
        champion_latency=opponent_latency if opponent_version else None,
        size_mib=sum(path.stat().st_size for path in job.model.rglob("*") if path.is_file()) / 2**20,
        looks=spec.looks,
        seed=spec.training.seed,
        known=None if spec.champion is None or opponent_version is None else _known(spec.task, spec.champion),
    )
    baseline = None
    if spec.baseline_too and opponent_version is not None:
        untaught = baseline_of(spec.task, job.learner or learner_for(spec.task), examples_of(selection.table))
        baseline = baseline_score(spec.task, untaught, rows.filter(pc.equal(rows["role"], "test")), align=align)
    gap = None
    if spec.teacher is not None:
        job.progress.write("scoring", message=f"the teacher {spec.teacher_name} answers the test rows")
        test = rows.filter(pc.equal(rows["role"], "test"))
        unlabelled = unlabelled_of(spec, job.training_set).num_rows
        gap = beside_teacher(
            spec, candidate, job.model, test, champion=opponent if spec.teacher_name == opponent_version else None, align=align,
            answered=answered, unlabelled=unlabelled,
        )  # fmt: skip
    fit = measure(spec.task, candidate, learnt, found, align=align, seed=spec.training.seed, check=job.stop.check)
    beside = None
    try:
        beside = siding.sides(spec, scores, rows, align=align)
    except (RunFailedError, LookupError, TypeError, ValueError):  # only shown: no reason for the run to fail
        _LOG.exception("run.sides_failed", next="the report says nothing of oracle and people")
    return Compared(found, scores.num_rows, cut, baseline, gap, fit, beside)


def _known(task: TaskSpec, champion: Path) -> frozenset[str] | None:
    """Return the labels that a champion can answer; None where it does not tell, or answers none."""
    labels = described(champion).labels
    return known_in_force(task, labels) if labels else None


def _from_features(
    spec: JobSpec, stored: FeatureSet | None, rows: pa.Table, learnt: pa.Table
) -> tuple[pa.Table, pa.Table, Predictor, Predictor]:
    """Return the rows to score and those learnt whose features are stored, and candidate and champion answering from these."""
    champion = spec.champion
    if stored is None or champion is None:
        message = f"run {spec.run_id} is a refresh without stored features or champion; the next one computes them anew"
        raise RunFailedError(message)
    rows, learnt = (
        table.filter(pa.array([example_id in stored for example_id in table["example_id"].to_pylist()], pa.bool_()))
        for table in (rows, learnt)
    )
    by_text = {
        text: example_id
        for table in (learnt, rows)
        for text, example_id in zip(table["text"].to_pylist(), table["example_id"].to_pylist(), strict=True)
    }
    candidate = open_from_features(spec.run_dir / MODEL_FOLDER, stored, by_text)
    opponent = with_labels_in_force(open_from_features(champion, stored, by_text), spec.task, described(champion).labels)
    return rows, learnt, candidate, opponent


def _opponent(job: Job, selection: RunRows) -> tuple[Predictor, str, str | None]:
    """Return what the candidate is compared with, its name, and its version where it is the champion."""
    spec = job.spec
    if spec.champion is not None and (known := described(spec.champion)).kind == spec.task.kind:
        version = spec.champion_version or spec.champion.name
        return with_labels_in_force(open_model(spec.champion, spec.training), spec.task, known.labels), version, version
    # A champion that answers another kind of question, from before the task was changed, cannot be compared with.
    return (
        baseline_of(spec.task, job.learner or learner_for(spec.task), examples_of(selection.table)),
        baseline_name(spec.task),
        None,
    )

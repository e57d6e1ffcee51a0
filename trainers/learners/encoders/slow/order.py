"""The steps of a slow run, in order, whatever its head gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import RunFailedError
from config.tasks import TaskSpec
from perennial_artifact.blocks.features import named
from perennial_artifact.description import Description, Input, describe, versions_of
from perennial_artifact.sentence.encoder import save_encoder
from perennial_artifact.sentence.head import read_solved
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.base_block import base_beside
from trainers.learners.encoders.distilling import unlabelled_features
from trainers.learners.encoders.encoder import Tuned
from trainers.learners.encoders.exporting import exported
from trainers.learners.encoders.slow.heads import Heads, Named, Seen
from trainers.learners.encoders.slow.steps import (
    as_it_was,
    champion_of,
    features_of_rows,
    opened,
    stored,
    tune,
    with_note,
)
from trainers.learners.heads.blocks import apart
from trainers.learners.heads.published.answering import read
from trainers.learners.opening import usable
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.starting import where_to_start
from trainers.learners.tried import Tried


def learn(plan: TrainingPlan, output: Path, heads_of: Callable[[TrainingPlan, Path | None], Heads[Any, Any, Any]]) -> None:
    """Tune the champion's encoder, or the base model's in a full or first run, solve the head and write a model folder.

    `heads_of` takes the plan and the champion's folder, where the run may go on from one. Raises `RunFailedError` when nothing
    can be learnt from the rows, `UserError` when the base model cannot be loaded; out-of-memory errors pass through.
    """
    champion = champion_of(plan)
    plan = apart(plan, champion)
    heads = heads_of(plan, champion)
    rows = heads.rows
    start = where_to_start(plan, rows, heads.before, heads.known, heads.ways)
    heads.started(start)
    encoder = opened(plan, champion if start.from_champion else None)
    tokenised, cut = encoder.read([row.text for row in rows])
    report = with_note(plan.report, heads.note, cut=sum(cut))
    if start.tune:
        wanted = heads.tuning(encoder, tokenised, start)
        model = Tuned(encoder.pooled, wanted.outputs, encoders.width(encoder.pooled))
        wanted.begin(model.head)
        about = tune(plan, encoder, model, wanted, from_base=not start.from_champion, report=report)
    else:
        about = as_it_was(heads.known, start, report)
    max_tokens = encoder.max_tokens
    save_encoder(encoder.pooled, encoder.tokenizer, output, max_tokens=max_tokens)
    beside = base_beside(plan, encoder, rows, output, tuned=start.tune)
    goes_on = champion if start.from_champion and not start.tune else None
    encoder = exported(
        plan, encoder, output, rows, tokenised, heads.ways, heads.before if start.choice is None else start.choice,
        champion=goes_on,
    )  # fmt: skip
    features = features_of_rows(plan, encoder, rows, tokenised, stored(plan, start))
    blocks = named(plan.spec.training.feature_blocks, base_columns=None if beside is None else beside.shape[1])
    own = features.shape[1]
    features = features if beside is None else np.hstack([features, beside])
    seen = heads.read(Seen(encoder, features, own, read(features, [row.text for row in rows], blocks)), start)
    # Chosen on features that have not seen the rows, where there are any.
    choice: Any = start.choice
    if choice is None:
        choice = heads.before if start.tune else heads.ways.choose(seen, heads.before)
    choice = heads.settled(choice)
    unlabelled = unlabelled_features(plan, encoder) if start.tune and blocks is None else None
    began = time.process_time()
    solution = heads.solve(seen, choice, about, unlabelled)
    note_solved(plan, choice, began)
    for part in (solution.head, solution.beside, blocks):
        if part is not None:
            part.write(output)
    Description(
        kind=plan.spec.kind, backend=plan.spec.backend, base=plan.spec.base_model, format=heads.format(blocks=blocks is not None),
        labels=solution.answers, input=Input(max_tokens=max_tokens),
        libraries=versions_of("torch", "transformers", "scikit-learn"),
    ).write(output)  # fmt: skip


def note_solved(plan: TrainingPlan, choice: Named, began: float) -> None:
    """Note how a head was solved, which began at CPU second `began` of this process."""
    plan.note_tried(Tried(name=f"solved: {choice.name}", scores={}, cpu_s=time.process_time() - began, chosen=True))


def more_to_learn(champion: Path, formats: frozenset[str]) -> bool:
    """Return whether a champion of one of these formats has a head that knows rows which its encoder was not tuned on."""
    with usable():
        return describe(champion).format in formats and read_solved(champion).refreshes > 0


def as_they_are(text: str, targets: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:  # noqa: ARG001 - an aligner
    """Return what is said of a text as a whole as it is: it stands on no words."""
    return targets


def refuse_no_rows(spec: TaskSpec, rows: Sequence[Example], what: str) -> None:
    """Raise `RunFailedError` where a baseline has no rows to be made from; `what` is to be sent."""
    if not rows:
        message = f"task {spec.name!r} has no training rows to make its baseline from; send {what} first"
        raise RunFailedError(message)

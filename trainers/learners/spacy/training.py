"""A recogniser learns from rows, beginning with the base pipeline or the champion: all of it, or what is above its vectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import structlog
from spacy.language import Language
from spacy.pipeline import EntityRecognizer
from thinc.api import Adam, Optimizer, fix_random_seed, require_cpu

from config.errors import RunFailedError
from perennial_artifact.pieces import holds_a_word
from perennial_artifact.spacy.entities import Entities, borders_of, types_of
from perennial_artifact.spacy.layers import has_curated
from trainers.learners.entities.averaging import KeptBack, Weights, keep_back, settle
from trainers.learners.entities.judging import Judge
from trainers.learners.protocols import Example, TrainingPlan, TrainingStep
from trainers.learners.spacy.freezing import frozen_below
from trainers.learners.spacy.pipelines import base, open_pipeline, ready, write
from trainers.learners.spacy.rows import TokenRow, lay_on_tokens, learnable_types
from trainers.learners.spacy.schedule import batches_of, epochs_of
from trainers.learners.spacy.scope import ScopedRecogniser
from trainers.learners.spacy.weights import put, weights_of

_LOG = structlog.get_logger(__name__)


def train(plan: TrainingPlan, output: Path, *, frozen: bool = False) -> None:
    """Learn from `plan.rows` and write a spaCy pipeline into the new folder `output`.

    Tokens that a partial target does not speak of are left out of the loss, and so are spans that fit no token; of a type
    outside a row's scope its silence teaches nothing. What is learnt on top of a champion may be averaged with it, where it
    forgets too much (`averaging`). With `frozen` what reads the words stays as it is, and only what decides on entities learns.
    Raises `RunFailedError` when nothing can be learnt from the rows.
    """
    require_cpu()
    fix_random_seed(plan.seed)
    plan = plan.of_weight()
    warm = plan.warm_start is not None and not plan.full
    nlp = open_pipeline(str(plan.warm_start)) if warm else base(plan.spec)
    is_open = plan.spec.labels == "open"
    known = {*plan.spec.label_names, *(types_of(nlp) if is_open else ())} - plan.spec.renames.keys() - plan.spec.gone
    # A closed task keeps to its own types, though the pipeline it began with may know others.
    types = learnable_types(plan.spec, plan.rows, known=known, waiting=plan.waiting)
    kept_back = keep_back(plan.rows, plan.seed) if warm and plan.score else KeptBack(plan.rows, (), ())
    judging = (*kept_back.older, *kept_back.newer)
    judge = Judge(lambda text: borders_of(nlp, text), judging, plan.score) if kept_back.older and plan.score else None
    # Before it knows the new types: it would answer with them unlearnt.
    before = judge.score(Entities(nlp, None), kept_back.older) if judge else 0.0
    rows, alignment = lay_on_tokens(
        nlp, kept_back.learnt, types, text_time_s=plan.text_time_s,
        report=lambda done: plan.tell(f"{done:,} of {len(kept_back.learnt):,} texts laid on tokens"),
    )  # fmt: skip
    if has_curated(nlp.config):
        rows = [row for row in rows if holds_a_word(row.text)]
    if not types or not rows:
        message = (
            f"task {plan.spec.name!r} has {len(rows)} rows with a word and {len(types)} entity types to learn; a type joins "
            f"when {plan.spec.new_label_min_examples} rows carry it. Send more labels, or name the types in label_names"
        )
        raise RunFailedError(message)
    _LOG.info("rows_laid_on_tokens", task=plan.spec.name, rows=len(rows), types=types, message=str(alignment))
    recogniser = ready(nlp, types, rows)
    with frozen_below(recogniser) if frozen else nullcontext():
        start, began = weights_of(recogniser.model), time.process_time()
        optimizer = _learn(nlp, recogniser, rows, plan, note=str(alignment))
        # The mean of the weights over the steps is steadier than the last weights.
        end = weights_of(recogniser.model, optimizer.averages)
        trained_s = time.process_time() - began
        if judge is not None:
            end = _settled(
                nlp, recogniser, judge, plan, weights=(start, end), kept_back=kept_back, before=before, trained_s=trained_s
            )
        put(recogniser.model, end)
    write(nlp, output, spec=plan.spec, types=types)


def _settled(
    nlp: Language,
    recogniser: EntityRecognizer,
    judge: Judge,
    plan: TrainingPlan,
    *,
    weights: tuple[Weights, Weights],
    kept_back: KeptBack,
    before: float,
    trained_s: float,
) -> Weights:
    """Return the weights to publish: the candidate's (`weights` are the champion's and its), or an average that forgets less."""

    def score(tried: Weights, rows: Sequence[Example]) -> float:
        plan.tell("candidate and averages answer older training rows that were kept back")
        put(recogniser.model, tried)
        return judge.score(Entities(nlp, None), rows)

    chosen, tried = settle(
        score, *weights, kept_back, before=before, max_forgetting=plan.spec.promotion.max_forgetting, trained_cpu_s=trained_s
    )
    for one in tried:
        plan.note_tried(one)
        _LOG.info("tried", task=plan.spec.name, **one.model_dump())
    return chosen


def _learn(nlp: Language, recogniser: EntityRecognizer, rows: Sequence[TokenRow], plan: TrainingPlan, *, note: str) -> Optimizer:
    """Train the recogniser on all batches and return the optimizer, which holds the mean of the weights."""
    training = plan.spec.training
    rate = training.full_learning_rate if plan.full else training.learning_rate
    assert rate != "auto"  # noqa: S101 - a task file on spaCy cannot say so
    batches = list(batches_of(epochs_of(rows, training, full=plan.full, seed=plan.seed), plan.batch_size))
    optimizer: Optimizer = Adam(rate, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0, use_averages=True)
    scoped = ScopedRecogniser(recogniser, {label for row in rows for _first, _after, label in row.entities})
    seen, began = 0, time.monotonic()
    for step, (epoch, batch) in enumerate(batches, start=1):
        makes_a_step = step % plan.accumulation == 0 or step == len(batches)
        loss = scoped.learn(nlp, batch, drop=training.dropout, sgd=optimizer if makes_a_step else None)
        seen += len(batch)
        plan.report(
            TrainingStep(
                step=step,
                steps=len(batches),
                epoch=epoch,
                loss=loss / sum(row.words for row in batch),
                examples_per_s=seen / max(time.monotonic() - began, 1e-9),
                message=note if step == 1 else "",
            )
        )
    return optimizer

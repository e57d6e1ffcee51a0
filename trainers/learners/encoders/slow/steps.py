"""What every slow run on an encoder has in common, whatever its head gives."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from transformers import PreTrainedModel

from perennial_artifact.description import describe
from perennial_artifact.sentence.head import Solved
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.adapters import LowRank, adapted
from trainers.learners.encoders.encoder import TextEncoder, Tuned
from trainers.learners.encoders.fine_tuning import Learnable, Recipe, Trainable, fine_tune, within_memory
from trainers.learners.encoders.slow.heads import Tuning
from trainers.learners.encoders.stored import features_of
from trainers.learners.features import Features, FeatureSet
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import Example, TrainingPlan, TrainingStep
from trainers.learners.starting import Start
from trainers.learners.tried import Tried
from trainers.learners.tuning import processes
from trainers.learners.tuning.judging import Judging, KeptBack, keep_back
from trainers.learners.tuning.rates import rate_for, size_of
from trainers.learners.tuning.stopping import Judged

_ROWS_PER_BATCH = 32
_MOST_SAMPLED = 640

_LOG = structlog.get_logger(__name__)


def champion_of(plan: TrainingPlan, *, of_format: str | None = None) -> Path | None:
    """Return the model to go on from, unless there is none, all is learnt anew, or it is of another base model or format."""
    if plan.full or plan.warm_start is None:
        return None
    with usable_model():
        found = describe(plan.warm_start)
    if found.base == plan.spec.base_model and of_format in (None, found.format):
        return plan.warm_start
    _LOG.info("base_model_changed", task=plan.spec.name, champion=found.base, now=plan.spec.base_model, next="from base")
    return None


def opened(plan: TrainingPlan, champion: Path | None) -> TextEncoder:
    """Return the encoder that a run begins with: the champion's, or without one the base model's; seeds and threads are set.

    It lies where it will be tuned.
    """
    # Before the first sum: another number of threads adds in another order.
    torch.set_num_threads(plan.hardware.threads)
    torch.manual_seed(plan.seed)
    most = plan.spec.training.max_tokens
    with usable_model():
        encoder = (
            encoders.open_champion(champion, max_tokens=most)
            if champion
            else encoders.open_base(plan.spec.base_model, max_tokens=most)
        )
    encoder.pooled.to(plan.hardware.device)
    return encoder


def read_now(encoder: TextEncoder, tokenised: Sequence[Sequence[int]]) -> Features:
    """Return what an encoder that is about to be tuned makes of a few rows, shape (rows, features), in full precision."""
    device, parts = encoder.pooled.transformer.device, []
    with torch.inference_mode():
        for at in range(0, len(tokenised), _ROWS_PER_BATCH):
            inputs = encoder.pad(tokenised[at : at + _ROWS_PER_BATCH])
            parts.append(encoder.pooled(**{name: values.to(device) for name, values in inputs.items()}).float().cpu().numpy())
    return np.concatenate(parts)


def to_tune(plan: TrainingPlan, rows: Sequence[Example]) -> list[int]:
    """Return the numbers of the rows that the encoder is tuned on."""
    return [at for at, row in enumerate(rows) if plan.to_tune is None or row.example_id in plan.to_tune]


def sampled(
    plan: TrainingPlan, encoder: TextEncoder, chosen: Sequence[int], tokenised: Sequence[Sequence[int]]
) -> tuple[list[int], Features]:
    """Return up to 640 of the rows `chosen`, spread evenly over them, and what an encoder makes of these before it is tuned."""
    sample = list(chosen[:: -(-len(chosen) // _MOST_SAMPLED)])
    plan.tell(f"reading {len(sample)} rows for a head to begin with")
    return sample, read_now(encoder, [tokenised[at] for at in sample])


def tune(
    plan: TrainingPlan,
    encoder: TextEncoder,
    model: Tuned,
    wanted: Tuning,
    *,
    from_base: bool,
    report: Callable[[TrainingStep], None],
) -> Solved:
    """Tune the encoder and the head of `model` in place; return what a head is to say of it."""
    rows, learning = wanted.examples, wanted.rows
    epochs = epochs_over(plan, len(rows), from_base=from_base)
    recipe = recipe_of(plan, encoder.pooled.transformer, epochs, from_base=from_base)
    kept = kept_back(plan, rows)
    taught = [row for at, row in enumerate(learning) if at not in kept.out]
    began = time.process_time()
    low_rank = LowRank.of(plan.spec.training)
    with adapted(encoder.pooled.transformer, low_rank, base=plan.spec.base_model, work=plan.work_dir) as standing_on:
        trainable = Trainable(model, encoder.pooled.transformer, encoder.pad, wanted.outputs, loss=wanted.loss)
        recipe = fitted(plan, trainable, learning, recipe)
        judged = fine_tune(
            trainable,
            taught,
            wanted.answerable,
            recipe,
            checkpoints=plan.work_dir
            / f"checkpoints-{_fingerprint(plan, recipe, rows, (low_rank, standing_on, wanted.depends_on))}",
            report=report,
            judging=_judging(plan, wanted, kept),
            tracking=plan.tracking,
        )
    done = max(judged.found) if judged else recipe.epochs
    name = f"tuned for {done} epoch{'s' if done > 1 else ''} on {len(taught)} rows"
    plan.note_tried(Tried(name=name, scores={}, cpu_s=time.process_time() - began, chosen=True))
    note_judged(plan, judged)
    return Solved(tuned_rows=len(taught), tuned_until=max(row.event_time for row in rows).isoformat())


def kept_back(plan: TrainingPlan, rows: Sequence[Example]) -> KeptBack:
    """Return which of the rows to tune on judge each epoch instead; none without early stopping.

    Nor are there any where too few rows could be kept back: then every epoch is learnt, and the run's history says so.
    """
    if plan.spec.training.early_stopping is None:
        return KeptBack(frozenset(), ())
    kept = keep_back(rows, plan.seed)
    if not kept.judging:
        plan.tell(f"{len(rows)} rows are too few to keep some back: tuning does not stop early")
        _LOG.warning("not_stopping_early", task=plan.spec.name, rows=len(rows), next="every epoch is learnt")
    return kept


def _judging(plan: TrainingPlan, wanted: Tuning, kept: KeptBack) -> Judging | None:
    """Return what the model is asked after each epoch: the task's metric of what the layer that is tuned along answers."""
    if not kept.judging:
        return None
    score, gold = plan.score, [wanted.examples[at].target for at in kept.judging]
    return Judging(
        [wanted.rows[at] for at in kept.judging], len(kept.judging), plan.metric, plan.lower_is_better,
        None if score is None else lambda outputs: score(gold, wanted.answers(outputs)),
    )  # fmt: skip


def fitted(plan: TrainingPlan, trainable: Trainable, rows: Sequence[Learnable], recipe: Recipe) -> Recipe:
    """Return the recipe with batches as small as the memory there is asks for, where the task wants that."""
    if not plan.spec.training.auto_batch_size:
        return recipe
    found = within_memory(trainable, rows, recipe, limit_mib=plan.memory_limit_mib)
    plan.note_batch_size(found.batch_size)
    plan.tell(f"batches of {found.batch_size} rows, {found.accumulation} of them a step")
    return found


def note_judged(plan: TrainingPlan, judged: Judged | None) -> None:
    """Note what rows kept back said of each epoch."""
    for tried in judged.tried if judged else ():
        plan.note_tried(tried)


def as_it_was(champion: Solved | None, start: Start[Any, Any], report: Callable[[TrainingStep], None]) -> Solved:
    """Report the one step of a run that does not tune; return what its head is to say of the encoder.

    Processes that were started to tune along end here.
    """
    processes.leave()
    report(TrainingStep(step=1, steps=1, epoch=1.0, loss=0.0, examples_per_s=0.0))
    return replace(champion, refreshes=champion.refreshes + 1) if champion and start.from_champion else Solved()


def stored(plan: TrainingPlan, start: Start[Any, Any]) -> FeatureSet | None:
    """Return what is stored of an encoder that was not tuned."""
    if start.tune:
        return None
    return plan.champion_features if start.from_champion else plan.base_features


def with_note(report: Callable[[TrainingStep], None], note: str, *, cut: int) -> Callable[[TrainingStep], None]:
    """Put `note` on the first step reported, and on every one how many texts were cut."""
    waiting = [note] if note else []
    return lambda step: report(replace(step, texts_cut=cut, message=waiting.pop() if waiting else step.message))


def features_of_rows(
    plan: TrainingPlan,
    encoder: TextEncoder,
    rows: Sequence[Example],
    tokenised: Sequence[Sequence[int]],
    stored: FeatureSet | None,
) -> Features:
    """Return what the encoder that will be served makes of the rows; what is `stored` of it may serve."""
    plan.tell(f"reading {len(rows)} rows with the encoder that will be served")
    began = time.process_time()
    ids = [row.example_id for row in rows]
    features, computed = features_of(encoder.as_served(plan.hardware.compute), ids, tokenised, stored)
    what = "all rows" if computed == len(rows) else f"{computed} of {len(rows)} rows"
    plan.note_tried(Tried(name=f"features of {what} computed", scores={}, cpu_s=time.process_time() - began, chosen=True))
    plan.keep_features(FeatureSet.of(ids, features))
    return features


def served(plan: TrainingPlan, encoder: TextEncoder, texts: Sequence[str]) -> Features:
    """Return what the encoder that will be served makes of a few texts, shape (texts, features)."""
    return encoder.as_served(plan.hardware.compute).features(texts)[0]


def epochs_over(plan: TrainingPlan, rows: int, *, from_base: bool) -> int:
    """Return how often a run that solves its head on all rows passes over so many in tuning."""
    training = plan.spec.training
    epochs, most = (training.full_epochs, training.full_tuning_rows) if from_base else (training.epochs, training.tuning_rows)
    # Few rows need another pass, many do not.
    return max(1, min(epochs, most // rows))


def recipe_of(plan: TrainingPlan, transformer: PreTrainedModel, epochs: int, *, from_base: bool) -> Recipe:
    """Return how a run tunes a transformer, as the task file says."""
    training = plan.spec.training
    rate = training.full_learning_rate if from_base else training.learning_rate
    if rate == "auto":
        rate = rate_for(size_of(transformer), adapters=training.lora_rank is not None)
        _LOG.info("learning_rate_chosen", task=plan.spec.name, weights=size_of(transformer), learning_rate=rate)
    return Recipe(
        epochs=epochs,
        learning_rate=rate,
        batch_size=plan.batch_size,
        seed=plan.seed,
        hardware=plan.hardware,
        accumulation=plan.accumulation,
        layer_decay=training.layer_decay,
        gradient_checkpointing=training.gradient_checkpointing,
        patience=training.early_stopping,
    )


def fingerprint(recipe: Recipe, depends_on: object, rows: Iterable[object]) -> str:
    """Return a short hash of everything that a checkpoint's steps depend on.

    A resumed run may have other threads, and make its steps of smaller batches.
    """
    recipe = replace(recipe, hardware=replace(recipe.hardware, threads=0), batch_size=recipe.rows_per_step, accumulation=1)
    digest = hashlib.sha256(repr((recipe, depends_on)).encode())
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()[:12]


def _fingerprint(plan: TrainingPlan, recipe: Recipe, rows: Sequence[Example], depends_on: object) -> str:
    training = plan.spec.training
    start = (plan.spec.base_model, training.max_tokens, str(plan.warm_start), plan.full, depends_on)
    said = ((row.example_id, row.text, json.dumps(row.target, sort_keys=True), row.weight) for row in rows)
    return fingerprint(recipe, start, said)

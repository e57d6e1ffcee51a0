"""One label per text, with a stock Hugging Face sequence classifier."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog
import torch

from config.errors import RunFailedError
from config.tasks import TaskSpec
from config.words import named
from perennial_artifact.description import Description, Input, describe, versions_of
from perennial_artifact.labels import LabelSet
from perennial_artifact.predictor import Predictor
from perennial_artifact.transformer.classifier import FORMAT
from perennial_artifact.transformer.encoder import Encoder
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.baseline import MostFrequentLabel, NearestCentroid
from trainers.learners.encoders.fine_tuning import Recipe, Row, fine_tune
from trainers.learners.encoders.imprinting import imprint
from trainers.learners.label_set import grow
from trainers.learners.opening import usable
from trainers.learners.protocols import Aligner, Example, TrainingPlan, TrainingStep

_LOG = structlog.get_logger(__name__)


class ClassificationLearner:
    """Learns one label per text."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Fine-tune the champion on `plan.rows`, or the base model in a full or first run, and write a model folder.

        Raises `RunFailedError` when fewer than two labels can be learnt, `UserError` when the base model cannot be loaded;
        out-of-memory errors pass through.
        """
        champion = None if plan.full else _champion(plan)
        counts = Counter(str(row.target["label"]) for row in plan.rows if row.weight > 0)
        with usable():
            previous = LabelSet.read(plan.warm_start) if plan.warm_start else None
        labels = grow(plan.spec, counts, previous, from_base=champion is None)
        rows = [row for row in plan.rows if row.weight > 0 and row.target["label"] in labels.seen]
        left_out = _left_out(plan, labels, rows, counts)
        # Before the first sum: another number of threads adds in another order.
        torch.set_num_threads(plan.hardware.threads)
        torch.manual_seed(plan.seed)
        encoder = encoders.grown(champion, labels.names) if champion else _base(plan, labels)
        ids = labels.ids
        recipe = _recipe(plan, from_base=champion is None)
        tokenised, cut = encoder.read([row.text for row in rows])
        learning = [Row(tokens, ids[row.target["label"]], row.weight) for row, tokens in zip(rows, tokenised, strict=True)]
        known = previous.seen_ids if champion and previous else ()
        imprint(encoder, learning, set(labels.seen_ids).difference(known), plan.hardware)
        fine_tune(
            encoder,
            learning,
            labels.seen_ids,
            recipe,
            # Another plan never resumes from this one's checkpoints.
            checkpoints=plan.work_dir / f"checkpoints-{_fingerprint(plan, recipe, labels, rows)}",
            report=_with_note(plan.report, left_out, cut=sum(cut)),
        )
        encoder.save(output)
        labels.write(output)
        Description(
            kind=plan.spec.kind, backend=plan.spec.backend, format=FORMAT, base=plan.spec.base_model,
            labels=tuple(labels.names[number] for number in labels.seen_ids),
            input=Input(max_tokens=encoder.tokenizer.model_max_length), libraries=versions_of("torch", "transformers"),
        ).write(output)  # fmt: skip

    def aligner(self, model: Predictor) -> Aligner:  # noqa: ARG002 - a label is a label
        """Return what leaves labels as they are."""
        return lambda text, targets: targets  # noqa: ARG005 - see above

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return what a first model must beat.

        `majority`: always the most frequent label of `rows`. `base`: the untouched base model; a text gets the label whose
        mean training embedding (mean-pooled last layer) is nearest by cosine. Raises `RunFailedError` when there are no rows.
        """
        if not rows:
            message = f"task {spec.name!r} has no training rows to make its baseline from; send labels first"
            raise RunFailedError(message)
        if spec.promotion.baseline == "base":
            return NearestCentroid(spec, rows)
        return MostFrequentLabel(rows)


def _champion(plan: TrainingPlan) -> Encoder | None:
    """Return the model to go on from, unless there is none or the task's base model has changed since."""
    if plan.warm_start is None:
        return None
    with usable():
        base = describe(plan.warm_start).base
        if base == plan.spec.base_model:
            return encoders.open_champion(plan.warm_start, max_tokens=plan.spec.training.max_tokens)
    _LOG.info("base_model_changed", task=plan.spec.name, champion=base, now=plan.spec.base_model, next="from base")
    return None


def _base(plan: TrainingPlan, labels: LabelSet) -> Encoder:
    return encoders.open_base(plan.spec.base_model, label_names=labels.names, max_tokens=plan.spec.training.max_tokens)


def _left_out(plan: TrainingPlan, labels: LabelSet, rows: Sequence[Example], counts: Counter[str]) -> str:
    """Say which rows cannot be learnt from yet. Raises `RunFailedError` when too few are left to tell labels apart."""
    absent = sorted(counts.keys() - labels.seen, key=lambda name: (-counts[name], name))
    reason = f"a new label joins when {plan.spec.new_label_min_examples} rows carry it"
    if len(labels.names) >= plan.spec.max_labels:
        reason += f", and while a model has fewer than {plan.spec.max_labels} labels (max_labels)"
    note = f"left out {len(plan.rows) - len(rows)} rows with labels {named(absent)}; {reason}" if absent else ""
    if len(labels.seen) >= 2 and rows:  # noqa: PLR2004 - one label alone is nothing to tell apart
        return note
    message = (
        f"task {plan.spec.name!r} has {len(rows)} usable rows with {len(labels.seen)} labels, and at least two labels are needed "
        f"({note or reason}). Send more labelled examples; the next trigger tries again"
    )
    raise RunFailedError(message)


def _with_note(report: Callable[[TrainingStep], None], note: str, *, cut: int) -> Callable[[TrainingStep], None]:
    """Put `note` on the first step reported, and on every one how many texts were cut."""
    waiting = [note] if note else []
    return lambda step: report(replace(step, texts_cut=cut, message=waiting.pop() if waiting else step.message))


def _recipe(plan: TrainingPlan, *, from_base: bool) -> Recipe:
    training = plan.spec.training
    return Recipe(
        epochs=training.full_epochs if from_base else training.epochs,
        learning_rate=training.full_learning_rate if from_base else training.learning_rate,
        batch_size=plan.batch_size,
        seed=plan.seed,
        hardware=plan.hardware,
        accumulation=training.gradient_accumulation,
    )


def _fingerprint(plan: TrainingPlan, recipe: Recipe, labels: LabelSet, rows: Sequence[Example]) -> str:
    """Return a short hash of everything that a checkpoint's steps depend on: a resumed run may have other threads."""
    recipe = replace(recipe, hardware=replace(recipe.hardware, threads=0))
    digest = hashlib.sha256()
    start = (plan.spec.base_model, plan.spec.training.max_tokens, str(plan.warm_start), plan.full)
    digest.update(repr((start, recipe, labels.names, labels.seen_ids)).encode())
    for row in rows:
        digest.update(repr((row.example_id, row.text, row.target["label"], row.weight)).encode())
    return digest.hexdigest()[:12]

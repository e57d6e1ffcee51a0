"""One run of a token classifier: open, lay spans on words, begin the head, tune, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import torch

from config.errors import RunFailedError
from perennial_artifact.description import Description, Input, versions_of
from perennial_artifact.labels import LabelSet
from perennial_artifact.tagging import tags
from perennial_artifact.tagging.entities import FORMAT, PIECE_CHARS
from trainers.learners.encoders.adapters import LowRank, adapted, settle_on
from trainers.learners.encoders.fine_tuning import Trainable, fine_tune
from trainers.learners.encoders.slow.steps import champion_of, fingerprint, fitted, kept_back, note_judged, recipe_of, with_note
from trainers.learners.entities.judging import Judge
from trainers.learners.entities.passes import passes_of
from trainers.learners.opening import usable
from trainers.learners.protocols import Example, TrainingPlan, TrainingStep
from trainers.learners.tagging import head
from trainers.learners.tagging.exporting import export
from trainers.learners.tagging.keeping import Keeping, as_served
from trainers.learners.tagging.labels import next_labels, of_champion
from trainers.learners.tagging.rows import TaggedRow, tagged, targets
from trainers.learners.tagging.tagger import Tagger, open_base, open_champion, retag, save
from trainers.learners.tried import Tried
from trainers.learners.tuning.judging import Judging, Outputs

_LOG = structlog.get_logger(__name__)


def train(plan: TrainingPlan, output: Path, *, frozen: bool = False) -> None:
    """Learn from `plan.rows`, from the champion or in a full run from the base model, and write a token classifier.

    Words that a partial target does not speak of are left out of the loss; of a type outside a row's scope its silence teaches
    nothing. What is learnt on top of a champion may be averaged with it, where it forgets too much. With `frozen` only the head
    of a champion learns. Raises `RunFailedError` when nothing can be learnt from the rows, `UserError` when the base model cannot
    be used; out-of-memory errors pass through.
    """
    # Before the first sum: another number of threads adds in another order.
    torch.set_num_threads(plan.hardware.threads)
    torch.manual_seed(plan.seed)
    plan = plan.of_weight()
    champion = champion_of(plan, of_format=FORMAT)
    if frozen and champion is None:
        message = f"the champion of task {plan.spec.name!r} is no token classifier on its base model; ask for a full run"
        raise RunFailedError(message)
    with usable():
        tagger = (
            open_champion(champion, max_tokens=plan.spec.training.max_tokens)
            if champion
            else open_base(plan.spec.base_model, max_tokens=plan.spec.training.max_tokens)
        )
    tagger.model.to(plan.hardware.device)  # type: ignore[arg-type]  # the decorated method's type loses its self
    keeping = Keeping(plan, tagger, of_champion(champion) if champion else None)
    labels, known_as = next_labels(plan, tagger, from_champion=champion is not None)
    new = retag(tagger, labels.names, known_as)
    known = [name for number, name in enumerate(labels.names) if not new[tags.begins(number)]]
    rows, report = tagged(
        tagger, keeping.learnt, labels, learnt_before=known,
        report=lambda done: plan.tell(f"{done:,} of {len(keeping.learnt):,} texts laid on words"),
    )  # fmt: skip
    if not labels.seen or not rows:
        message = (
            f"task {plan.spec.name!r} has {len(rows)} rows with a word and {len(labels.seen)} entity types to learn; a type "
            f"joins when {plan.spec.new_label_min_examples} rows carry it. Send more labels"
        )
        raise RunFailedError(message)
    _LOG.info("rows_laid_on_words", task=plan.spec.name, rows=len(rows), types=sorted(labels.seen), message=str(report))
    if not frozen:
        settle_on(tagger.model, LowRank.of(plan.spec.training))
    # New rows of the head are zero yet, so that averages leave them as the candidate has them.
    start = keeping.weights()
    plan.tell("solving a head to begin with")
    head.begin(tagger, rows, new)
    began = time.process_time()
    if frozen:
        _learn_head(plan, tagger, rows, labels, note=str(report))
    else:
        _tune(plan, tagger, rows, labels, from_base=champion is None, note=str(report))
    keeping.settle(start, labels, trained_cpu_s=time.process_time() - began)
    never = tags.of_types(number for number, name in enumerate(labels.names) if name not in labels.seen)
    save(tagger, output, never=never)
    labels.write(output)
    Description(
        kind=plan.spec.kind, backend=plan.spec.backend, format=FORMAT, base=plan.spec.base_model,
        labels=tuple(labels.names[number] for number in labels.seen_ids),
        input=Input(max_tokens=tagger.max_tokens, piece_chars=PIECE_CHARS), libraries=versions_of("torch", "transformers"),
    ).write(output)  # fmt: skip
    export(plan, output, rows, keeping.kept_back or keeping.learnt, champion)


def _tune(plan: TrainingPlan, tagger: Tagger, rows: Sequence[TaggedRow], labels: LabelSet, *, from_base: bool, note: str) -> None:
    kept = kept_back(plan, [row.example for row in rows])
    judging = _judging(plan, tagger, [rows[at] for at in kept.judging], labels)
    rows = [row for at, row in enumerate(rows) if at not in kept.out]
    passes = passes_of(rows, plan.spec.training, full=from_base)
    # Rows with more passes than others stand in each epoch more than once.
    epochs = min(passes)
    times = (round(each / epochs) for each in passes)
    windows = [window for row, often in zip(rows, times, strict=True) for _turn in range(often) for window in row.windows]
    count = 1 + 2 * len(labels.names)
    trainable = Trainable(tagger.model, tagger.model, tagger.pad, count, targets=lambda batch: targets(batch, count))
    recipe = recipe_of(plan, tagger.model, epochs, from_base=from_base)
    start = (plan.spec.base_model, str(plan.warm_start), plan.full, labels.names, labels.seen_ids)
    began = time.process_time()
    low_rank = LowRank.of(plan.spec.training)
    with adapted(tagger.model, low_rank, base=plan.spec.base_model, work=plan.work_dir) as standing_on:
        recipe = fitted(plan, trainable, windows, recipe)
        judged = fine_tune(
            trainable,
            windows,
            _answered(labels),
            recipe,
            # Another plan never resumes from this one's checkpoints.
            checkpoints=plan.work_dir / f"checkpoints-{fingerprint(recipe, (low_rank, standing_on, *start), windows)}",
            report=with_note(plan.report, note, cut=0),
            judging=judging,
            tracking=plan.tracking,
        )
    most = max(passes)
    name = f"tuned on {len(rows)} rows, {f'{epochs} to {most}' if epochs < most else most} passes over each"
    plan.note_tried(Tried(name=name, scores={}, cpu_s=time.process_time() - began, chosen=True))
    note_judged(plan, judged)


def _judging(plan: TrainingPlan, tagger: Tagger, rows: Sequence[TaggedRow], labels: LabelSet) -> Judging | None:
    """Return what the model is asked after each epoch: the task's metric of the entities that it finds in whole texts."""
    if not rows:
        return None
    windows = [window for row in rows for window in row.windows]
    score = _scoring(plan, tagger, [row.example for row in rows], labels)
    return Judging(windows, len(rows), plan.metric, plan.lower_is_better, score, of_outputs=False)


def _scoring(plan: TrainingPlan, tagger: Tagger, texts: Sequence[Example], labels: LabelSet) -> Callable[[Outputs], float] | None:
    """Return what gives the metric of texts, read anew each time; None where the plan has none."""
    if plan.score is None:
        return None
    judge = Judge(as_served(plan, tagger, labels).borders_of, texts, plan.score)
    return lambda _outputs: judge.score(as_served(plan, tagger, labels), texts)


def _learn_head(plan: TrainingPlan, tagger: Tagger, rows: Sequence[TaggedRow], labels: LabelSet, *, note: str) -> None:
    began, cpu = time.monotonic(), time.process_time()
    windows = [window for row in rows for window in row.windows]
    loss = head.learn(tagger, windows, _answered(labels), plan.tell)
    speed = len(rows) / max(time.monotonic() - began, 1e-9)
    plan.report(TrainingStep(step=1, steps=1, epoch=1.0, loss=loss, examples_per_s=speed, message=note))
    plan.note_tried(Tried(name=f"head solved on {len(rows)} rows", scores={}, cpu_s=time.process_time() - cpu, chosen=True))


def _answered(labels: LabelSet) -> list[int]:
    return [tags.OUTSIDE, *tags.of_types(labels.seen_ids)]

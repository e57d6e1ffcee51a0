"""Fine-tune a transformer and its head with Hugging Face's Trainer: weighted rows, batches of like length, resumable.

What makes it quick on a processor: texts are tokenised once, batches hold rows of like length (little padding), freed memory
is kept for the next step, dropout is off (see `encoder`), which lets attention run fused, and attention runs unfused where
that is quicker (see `_quick_attention`).
`benchmarks.training_throughput` measures it, accuracy included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    TrainingArguments,
    set_seed,
)

from config.errors import RunFailedError
from trainers.hardware import Hardware, free_memory, keep_freed_memory
from trainers.learners.encoders.checkpoints import KEPT, Pace, newest_valid
from trainers.learners.encoders.weighted_trainer import Collator, Rows, WeightedTrainer
from trainers.learners.protocols import TrainingStep
from trainers.learners.tuning import processes
from trainers.learners.tuning.fitting import batch_that_fits
from trainers.learners.tuning.judging import Judging
from trainers.learners.tuning.recipe import Learnable, Recipe, Row, Trainable
from trainers.learners.tuning.recomputing import recomputed
from trainers.learners.tuning.reporting import Report
from trainers.learners.tuning.stopping import EarlyStopping, Found, Judged
from trainers.learners.tuning.tracking import figures, followers
from trainers.tracking import Tracking

_WARMUP_SHARE = 0.06
_REPORT_EVERY_S = 1.0
_EAGER_TOKENS = 256
"""Longest row up to which unfused attention trains quicker in bf16 on a processor."""

__all__ = ["Learnable", "Recipe", "Row", "Trainable", "fine_tune", "within_memory"]


def fine_tune(
    trainable: Trainable,
    rows: Sequence[Learnable],
    answerable: Sequence[int],
    recipe: Recipe,
    *,
    checkpoints: Path,
    report: Callable[[TrainingStep], None],
    pace: Pace | None = None,
    judging: Judging | None = None,
    tracking: Tracking | None = None,
) -> Judged | None:
    """Train the model in place, from the newest valid checkpoint in `checkpoints` where there is one.

    With rows that judge (`judging`) and a recipe that has patience the model ends with the weights of the epoch that answers
    them best, and what they said is returned.

    The loss (`losses`, or what the model brings) is that of the labels in `answerable` only, each row's share multiplied by its
    weight; of token classifiers every word of a step counts alike.
    Out-of-memory errors pass through.

    Where several processes were started for the run (`tuning.processes`) they do this together, and all but the first end here.
    """
    torch.set_num_threads(recipe.hardware.threads)
    together = processes.here()
    processes.join(recipe.hardware.device)
    if processes.first_says(checkpoints.name) != checkpoints.name:
        message = f"process {together.rank + 1} of {together.count} would tune otherwise than the first; nothing was trained"
        raise RunFailedError(message)
    keep_freed_memory()
    # Before the Trainer exists, so that nothing it draws depends on what the process did earlier.
    set_seed(recipe.seed)
    trainer = WeightedTrainer(
        model=trainable.model,
        args=_arguments(recipe, checkpoints, run=None if tracking is None else tracking.run),
        data_collator=Collator(trainable),
        train_dataset=Rows(rows),
        callbacks=[pace or Pace()] if together.first else [],
        answerable=answerable,
        labels=trainable.labels,
        loss=trainable.loss,
        transformer=trainable.transformer,
        recipe=recipe,
    )
    # It prints to standard output, which belongs to the job's progress lines.
    trainer.remove_callback(PrinterCallback)
    tracked = followers(tracking) if tracking is not None and together.first else []
    for follower in tracked:
        trainer.add_callback(follower)

    def told(step: TrainingStep) -> None:
        report(step)
        if tracked:
            trainer.log(figures(step))

    trainer.add_callback(
        Report(
            trainer.take_loss, told, recipe.rows_per_step, every_s=_REPORT_EVERY_S,
            # Whether a step is reported is a matter of time, and all must add up the same.
            after_each=together.count > 1,
        )
    )  # fmt: skip
    stopping = None
    if judging is not None and recipe.patience is not None:
        ask = partial(_ask, trainer, trainable.model, judging)
        stopping = EarlyStopping(trainable.model, ask, judging, checkpoints, patience=recipe.patience, writes=together.first)
        # Before `Pace`, which then knows whether this step is the last.
        trainer.callback_handler.callbacks.insert(0, stopping)
    checkpoint = processes.first_says(newest_valid(checkpoints) if together.first else None)
    with (
        _quick_attention(trainable.transformer, max(len(row.input_ids) for row in rows), recipe.hardware),
        recomputed(trainable.transformer, wanted=recipe.gradient_checkpointing),
    ):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    processes.leave()
    if stopping is None:
        return None
    stopping.restore()
    return stopping.judged


def _ask(trainer: WeightedTrainer, model: nn.Module, judging: Judging) -> Found:
    """Return what rows kept back say of a model; where several processes tune, all hear what the first has found."""
    score = judging.score
    loss, outputs = trainer.asked(judging.rows, outputs=score is not None and judging.of_outputs)
    found = Found(loss, None if score is None or not processes.here().first else score(outputs))
    # One that was asked by itself has answered as it is served.
    model.train()
    return processes.first_says(found)


def within_memory(trainable: Trainable, rows: Sequence[Learnable], recipe: Recipe, *, limit_mib: int) -> Recipe:
    """Return the recipe with batches that fit into the memory that is free now; a step learns from as many rows as before.

    The model moves to where it is trained. `limit_mib` is what the process may hold (0: no limit).
    """
    longest, device, among = max((row.input_ids for row in rows), key=len), recipe.hardware.device, processes.here().count
    processes.join(device)
    trainable.model.to(device)
    batch_of = [{name: values.to(device) for name, values in trainable.pad([longest] * count).items()} for count in (1, 2)]
    with _quick_attention(trainable.transformer, len(longest), recipe.hardware):
        size = batch_that_fits(
            trainable.model, trainable.transformer, batch_of, recipe.hardware, recipe.rows_per_step, recipe.batch_size,
            recompute=recipe.gradient_checkpointing, free=free_memory(device, limit_mib=limit_mib, among=among), among=among,
        )  # fmt: skip
    size = processes.first_says(size)
    return replace(recipe, batch_size=size, accumulation=recipe.rows_per_step // size)


@contextmanager
def _quick_attention(transformer: PreTrainedModel, longest: int, hardware: Hardware) -> Iterator[None]:
    """Let attention run unfused while training short rows in bf16 on a processor.

    There the fused backward pass is slow (torch 2.13: 40 against 77 examples/s at 128 tokens). Longer rows, whose attention
    would fill the memory, and fp32, where it makes no difference, stay fused.
    """
    fused = transformer.config._attn_implementation  # noqa: SLF001 - the library has no public reader
    if fused != "sdpa" or hardware.device != "cpu" or hardware.precision != "bf16" or longest > _EAGER_TOKENS:
        yield
        return
    transformer.set_attn_implementation("eager")
    try:
        yield
    finally:
        transformer.set_attn_implementation(fused)


def _arguments(recipe: Recipe, checkpoints: Path, *, run: str | None) -> TrainingArguments:
    together, on_gpu = processes.here(), recipe.hardware.device == "cuda"
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=_WARMUP_SHARE,
        per_device_train_batch_size=-(-recipe.batch_size // together.count),
        gradient_accumulation_steps=recipe.accumulation,
        train_sampling_strategy="group_by_length",
        bf16=recipe.hardware.precision == "bf16",
        use_cpu=recipe.hardware.device == "cpu",
        dataloader_pin_memory=on_gpu,
        accelerator_config={"non_blocking": on_gpu},
        # It would wait for the GPU at every batch, for a log that is off.
        logging_nan_inf_filter=not on_gpu,
        seed=recipe.seed,
        # `Pace` decides when; the library decides how.
        save_strategy="no",
        save_total_limit=KEPT,
        logging_strategy="no",
        # Reporters are added one by one, each behind a guard.
        report_to="none",
        run_name=run,
        disable_tqdm=True,
        remove_unused_columns=False,
        # Of some bases not all is used, such as a pooler.
        ddp_find_unused_parameters=True if together.count > 1 else None,
    )
    # One process has one GPU; without this the library would spread each batch over all that it sees.
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - the library has no public way
    return arguments

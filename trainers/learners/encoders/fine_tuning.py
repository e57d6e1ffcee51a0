"""Fine-tune a transformer and its head with Hugging Face's Trainer: weighted rows, batches of like length, resumable.

What makes it quick on a processor: texts are tokenised once, batches hold rows of like length (little padding), freed memory
is kept for the next step, dropout is off (see `encoder`), which lets attention run fused, and attention runs unfused where
that is quicker (see `_quick_attention`).
`benchmarks.training_throughput` measures it, accuracy included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from trainers.hardware import Hardware, keep_freed_memory
from trainers.learners.encoders.checkpoints import KEPT, Pace, newest_valid
from trainers.learners.encoders.losses import loss_of_rows, told
from trainers.learners.protocols import TrainingStep
from trainers.learners.tuning.batches import GroupedByLength
from trainers.learners.tuning.rates import by_layer
from trainers.learners.tuning.recomputing import recomputed

_WARMUP_SHARE = 0.06
_REPORT_EVERY_S = 1.0
_EAGER_TOKENS = 256
"""Longest row up to which unfused attention trains quicker in bf16 on a processor."""
_NOT_COUNTED = -100
"""What the library leaves out when it counts the items of a step."""


class Learnable(Protocol):
    """One row to learn from."""

    @property
    def input_ids(self) -> Sequence[int]:
        """Its token ids, special ones included."""
        ...

    @property
    def weight(self) -> float | Sequence[float]:
        """What its loss is multiplied by, or the loss of each of its labels."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One tokenised example."""

    input_ids: Sequence[int]
    label: int | Sequence[float]
    """Its id; of several labels 1, 0 or below 0 (not known) for each; or the numbers that a head is to give."""
    weight: float | Sequence[float]
    """Of several labels it may be one for each."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to learn."""

    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    hardware: Hardware
    max_steps: int = -1
    """Stop after this many steps; -1: after `epochs`."""
    accumulation: int = 1
    """Batches whose gradients make one step."""
    layer_decay: float = 1.0
    """Share of a layer's step size that the layer below it has."""
    gradient_checkpointing: bool = False
    """Compute once more what a layer gives when the gradient needs it, instead of keeping it."""

    @property
    def rows_per_step(self) -> int:
        """Rows that one step learns from."""
        return self.batch_size * self.accumulation


def ids_of(rows: Sequence[Row]) -> torch.Tensor:
    """Return the label of each row, shape (rows), or what is known of each label, shape (rows, labels)."""
    return torch.tensor([row.label for row in rows])


@dataclass(frozen=True, slots=True)
class Trainable:
    """What is trained."""

    model: nn.Module
    """Called with `input_ids` and `attention_mask`; what it returns has `logits`, the labels' in the last dimension."""
    transformer: PreTrainedModel
    """The part of it whose attention is computed."""
    pad: Callable[[Sequence[Sequence[int]]], dict[str, torch.Tensor]]
    """Brings rows of token ids to one length, with a mask."""
    labels: int
    targets: Callable[[Sequence[Any]], torch.Tensor] = ids_of
    """What the loss (`losses`) compares the logits of a batch of rows with."""
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """The loss of each row, of logits and of what the rows say (numbers); None: of labels."""


def fine_tune(
    trainable: Trainable,
    rows: Sequence[Learnable],
    answerable: Sequence[int],
    recipe: Recipe,
    *,
    checkpoints: Path,
    report: Callable[[TrainingStep], None],
    pace: Pace | None = None,
) -> None:
    """Train the model in place, from the newest valid checkpoint in `checkpoints` where there is one.

    The loss (`losses`, or what the model brings) is that of the labels in `answerable` only, each row's share multiplied by its
    weight; of token classifiers every word of a step counts alike.
    Out-of-memory errors pass through.
    """
    torch.set_num_threads(recipe.hardware.threads)
    keep_freed_memory()
    # Before the Trainer exists, so that nothing it draws depends on what the process did earlier.
    set_seed(recipe.seed)
    trainer = _WeightedTrainer(
        model=trainable.model,
        args=_arguments(recipe, checkpoints),
        data_collator=_Collator(trainable),
        train_dataset=_Rows(rows),
        callbacks=[pace or Pace()],
        answerable=answerable,
        labels=trainable.labels,
        loss=trainable.loss,
        transformer=trainable.transformer,
        recipe=recipe,
    )
    # It prints to standard output, which belongs to the job's progress lines.
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Report(trainer, report, recipe.rows_per_step))
    checkpoint = newest_valid(checkpoints)
    with (
        _quick_attention(trainable.transformer, max(len(row.input_ids) for row in rows), recipe.hardware),
        recomputed(trainable.transformer, wanted=recipe.gradient_checkpointing),
    ):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


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


def _arguments(recipe: Recipe, checkpoints: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=_WARMUP_SHARE,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        train_sampling_strategy="group_by_length",
        bf16=recipe.hardware.precision == "bf16",
        use_cpu=recipe.hardware.device == "cpu",
        dataloader_pin_memory=recipe.hardware.device == "cuda",
        seed=recipe.seed,
        # `Pace` decides when; the library decides how.
        save_strategy="no",
        save_total_limit=KEPT,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )


class _Rows(Dataset[Learnable]):
    def __init__(self, rows: Sequence[Learnable]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Learnable:
        return self._rows[index]


class _Collator:
    """Rows to one padded batch."""

    def __init__(self, trainable: Trainable) -> None:
        self._trainable = trainable

    def __call__(self, rows: Sequence[Learnable]) -> dict[str, torch.Tensor]:
        batch = self._trainable.pad([row.input_ids for row in rows])
        batch["targets"] = self._trainable.targets(rows)
        batch["weights"] = torch.tensor([row.weight for row in rows], dtype=torch.float32)
        # The library counts what stands under this name.
        batch["labels"] = torch.where(told(batch["targets"]), 0, _NOT_COUNTED)
        return batch


class _WeightedTrainer(Trainer):
    """Trainer with a weighted loss over the answerable labels."""

    def __init__(
        self,
        *,
        answerable: Sequence[int],
        labels: int,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None,
        transformer: PreTrainedModel,
        recipe: Recipe,
        **options: Any,  # noqa: ANN401 - handed on to the library
    ) -> None:
        super().__init__(**options)
        self._loss, self._transformer, self._recipe = loss, transformer, recipe
        self._tuned: nn.Module = options["model"]
        closed = torch.ones(labels, dtype=torch.bool)
        closed[list(answerable)] = False
        self._closed = closed.to(self.args.device)
        self.loss_sum = torch.zeros((), device=self.args.device)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401 - the library's signature
        """Return the batch's share of the weighted mean loss over all items (rows, or words) of the step.

        `num_items_in_batch` are the items of the step. For a model whose `forward` takes no further arguments the library does
        not count them; it then divides what this returns by the batches of the step.
        """
        targets, weights, counted = (inputs.pop(name) for name in ("targets", "weights", "labels"))
        outputs = model(**inputs)
        loss = self._weighted_loss(outputs.logits.float(), targets, weights).sum()
        if num_items_in_batch is None:
            loss = loss / (counted != _NOT_COUNTED).sum()
            self.loss_sum += loss.detach() / self.current_gradient_accumulation_steps
        else:
            loss = loss / num_items_in_batch
            self.loss_sum += loss.detach()
        return (loss, outputs) if return_outputs else loss

    def _weighted_loss(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        if self._loss is not None:
            return self._loss(logits, targets) * weights
        return loss_of_rows(logits, targets, weights, self._closed)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the library's own optimizer, with a rate for each layer where the recipe asks for that."""
        if self._recipe.layer_decay == 1.0 or self.optimizer is not None:
            return super().create_optimizer(model)
        made, options = Trainer.get_optimizer_cls_and_kwargs(self.args)
        groups = by_layer(self._tuned, self._transformer, self._recipe.learning_rate, self._recipe.layer_decay)
        self.optimizer = made(groups, **options)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> GroupedByLength:
        rows = train_dataset if train_dataset is not None else self.train_dataset
        lengths = [len(rows[index].input_ids) for index in range(len(rows))]  # type: ignore[index, arg-type]  # it is ours
        return GroupedByLength(self._recipe.rows_per_step, lengths, self._recipe.seed)


class _Report(TrainerCallback):
    """Passes progress on: the first step, the last, and about one a second between."""

    def __init__(self, trainer: _WeightedTrainer, report: Callable[[TrainingStep], None], rows_per_step: int) -> None:
        self._trainer = trainer
        self._report = report
        self._rows_per_step = rows_per_step
        self._began = self._reported = 0.0
        self._first_step = self._reported_step = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002 - the library's signature
        self._began = time.monotonic()
        self._first_step = self._reported_step = state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002 - the library's signature
        now = time.monotonic()
        edge = state.global_step in (self._first_step + 1, state.max_steps)
        if not edge and now - self._reported < _REPORT_EVERY_S:
            return
        loss = self._trainer.loss_sum.item() / (state.global_step - self._reported_step)
        self._trainer.loss_sum.zero_()
        rows = (state.global_step - self._first_step) * self._rows_per_step
        self._reported, self._reported_step = now, state.global_step
        self._report(
            TrainingStep(
                step=state.global_step,
                steps=state.max_steps,
                epoch=float(state.epoch or 0.0),
                loss=loss,
                examples_per_s=rows / max(now - self._began, 1e-9),
            )
        )

"""Hugging Face's Trainer with weighted rows, batches of like length, rates by layer, and processes that share each batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, Trainer

from trainers.learners.encoders.losses.labels import loss_of_rows, told
from trainers.learners.tuning import processes
from trainers.learners.tuning.batches import GroupedByLength, Share, SharedLoader
from trainers.learners.tuning.judging import Outputs
from trainers.learners.tuning.rates import by_layer
from trainers.learners.tuning.recipe import Learnable, Recipe, Trainable

_NOT_COUNTED = -100
"""What the library leaves out when it counts the items of a step."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A row that only keeps a process in step with the others."""

    row: Learnable


class Rows(Dataset[Learnable | Silent]):
    """The rows to learn from; `-1 - row` asks for one that is to say nothing."""

    def __init__(self, rows: Sequence[Learnable]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Learnable | Silent:
        return self._rows[index] if index >= 0 else Silent(self._rows[-1 - index])


class Collator:
    """Rows to one padded batch."""

    def __init__(self, trainable: Trainable) -> None:
        self._trainable = trainable

    def __call__(self, given: Sequence[Learnable | Silent]) -> dict[str, torch.Tensor]:
        """Return the model's inputs, and beside them `targets`, `weights`, and under `labels` which items count."""
        rows = [row.row if isinstance(row, Silent) else row for row in given]
        batch = self._trainable.pad([row.input_ids for row in rows])
        batch["targets"] = self._trainable.targets(rows)
        batch["weights"] = torch.tensor([row.weight for row in rows], dtype=torch.float32)
        # The library counts what stands under this name.
        batch["labels"] = torch.where(told(batch["targets"]), 0, _NOT_COUNTED)
        silent = [at for at, row in enumerate(given) if isinstance(row, Silent)]
        batch["weights"][silent], batch["labels"][silent] = 0.0, _NOT_COUNTED
        return batch


class WeightedTrainer(Trainer):
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
        self._rows: Rows = options["train_dataset"]
        self._collate: Collator = options["data_collator"]
        self._together = processes.here()
        if self._together.count > 1:
            # Then the items of a step are counted in all processes; `compute_loss` asks the model for no loss anyway.
            self.model_accepts_loss_kwargs = True
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
        loss, counted, outputs = self._losses(model, inputs)
        if num_items_in_batch is None:
            loss = loss / counted
            self.loss_sum += loss.detach() / self.current_gradient_accumulation_steps
        else:
            loss = loss / num_items_in_batch
            self.loss_sum += loss.detach()
        # What the processes computed is averaged, and each loss is a share of the whole already.
        loss = loss * self._together.count
        return (loss, outputs) if return_outputs else loss

    def take_loss(self) -> float:
        """Return the sum of the steps' losses since this was asked last."""
        if self._together.count > 1:
            distributed.all_reduce(self.loss_sum)
        taken = self.loss_sum.item()
        self.loss_sum.zero_()
        return taken

    def asked(self, rows: Sequence[Learnable], *, outputs: bool) -> tuple[float, Outputs]:
        """Return the weighted mean loss over all items of `rows`, which are not learnt from, and what the model gives for each.

        Of several processes all return the same. Without `outputs` these are none.
        """
        self._tuned.eval()
        order = sorted(range(len(rows)), key=lambda at: len(rows[at].input_ids))
        size = self._recipe.batch_size
        total, given = torch.zeros(2, device=self.args.device), dict[int, Outputs]()
        with torch.no_grad():
            for start in range(size * self._together.rank, len(rows), size * self._together.count):
                batch = order[start : start + size]
                inputs = self._prepare_inputs(self._collate([rows[at] for at in batch]))
                loss, counted, found = self._losses(self._tuned, inputs)
                total += torch.stack([loss, counted])
                if outputs:
                    given.update(zip(batch, found.logits.float().cpu().numpy(), strict=True))
        if self._together.count > 1:
            distributed.all_reduce(total)
            given = {at: one for part in processes.all_say(given) for at, one in part.items()}
        self._tuned.train()
        return float(total[0] / total[1]), np.array([given[at] for at in sorted(given)], dtype=np.float32)

    def _losses(self, model: nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Return the sum of the weighted losses of a batch, how many items have one, and what the model returned."""
        targets, weights, counted = (inputs.pop(name) for name in ("targets", "weights", "labels"))
        outputs = model(**inputs)
        logits = outputs.logits.float()
        each = self._loss(logits, targets) * weights if self._loss else loss_of_rows(logits, targets, weights, self._closed)
        return each.sum(), (counted != _NOT_COUNTED).sum(), outputs

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the library's own optimizer, with a rate for each layer where the recipe asks for that."""
        if self._recipe.layer_decay == 1.0 or self.optimizer is not None:
            return super().create_optimizer(model)
        made, options = Trainer.get_optimizer_cls_and_kwargs(self.args)
        groups = by_layer(self._tuned, self._transformer, self._recipe.learning_rate, self._recipe.layer_decay)
        self.optimizer = made(groups, **options)
        return self.optimizer

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the library's own, or of several processes what loads the share of this one."""
        if self._together.count == 1:
            return super().get_train_dataloader()
        share = Share(self._get_train_sampler(), self._recipe.batch_size, self._together)
        return SharedLoader(self._rows, batch_sampler=share, collate_fn=self._collate, pin_memory=self.args.dataloader_pin_memory)

    def store_flos(self) -> None:
        """Count no operations: all processes would have to, and checkpoints are written by the first alone."""

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> GroupedByLength:
        rows = train_dataset if train_dataset is not None else self.train_dataset
        lengths = [len(rows[index].input_ids) for index in range(len(rows))]  # type: ignore[index, arg-type]  # it is ours
        return GroupedByLength(self._recipe.rows_per_step, lengths, self._recipe.seed)

"""Early stopping: rows kept back from training say which epoch was the best, and when another is not worth its time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from config.files.durable import write_atomic
from trainers.learners.tried import Tried

_SHARE = 10
"""One row in so many is kept back."""
_LEAST, _MOST = 50, 1_000
"""Fewer would judge by chance; more would only cost time."""
_LOSSES_FILE = "kept_back.json"
_WEIGHTS_FILE = "best-{epoch}.safetensors"

_LOG = structlog.get_logger(__name__)


def keep_back(documents: Sequence[str | None], seed: int) -> frozenset[int]:
    """Return which rows judge instead of teaching, given the document of each: a tenth, 1,000 at most, documents always whole.

    None where that would be fewer than 50: then nothing is judged.
    """
    members: dict[object, list[int]] = {}
    for row, document in enumerate(documents):
        members.setdefault(row if document is None else document, []).append(row)
    most = min(_MOST, len(documents) // _SHARE)
    order = list(members.values())
    random.Random(seed).shuffle(order)  # noqa: S311 - a sample
    chosen: set[int] = set()
    for rows in order:
        if len(chosen) + len(rows) <= most:
            chosen.update(rows)
    return frozenset(chosen) if len(chosen) >= _LEAST else frozenset()


@dataclass(frozen=True, slots=True)
class Judged:
    """What rows that were kept back said of each epoch."""

    losses: Mapping[int, float]
    """By epoch, from 1 on: the mean weighted loss, as training counts it."""
    rows: int
    epochs: int
    """As many as there would have been."""

    @property
    def best(self) -> int:
        """The epoch whose weights go on: the first of those with the smallest loss."""
        return min(self.losses, key=lambda epoch: (self.losses[epoch], epoch))

    @property
    def tried(self) -> list[Tried]:
        """Each epoch, for the run's report."""
        of = f"of {self.epochs}, on {self.rows} rows kept back"
        return [
            Tried(name=f"tuned for {epoch} {of}", scores={"loss": loss}, cpu_s=0.0, chosen=epoch == self.best)
            for epoch, loss in sorted(self.losses.items())
        ]


class EarlyStopping(TrainerCallback):
    """After each epoch asks for the loss of the rows kept back, keeps the best weights, and ends training when it stays worse.

    What it knows lies in the folder of the checkpoints, so that a resumed run goes on with it.
    """

    def __init__(
        self, model: nn.Module, loss: Callable[[], float], folder: Path, *, patience: int, rows: int, writes: bool = True
    ) -> None:
        """`writes`: whether this process keeps the weights; of several the first does."""
        self._model, self._loss, self._folder = model, loss, folder
        self._patience, self._rows, self._writes = patience, rows, writes
        self._losses: dict[int, float] = {}
        self._epochs = self._steps = 1

    @property
    def judged(self) -> Judged:
        """What was found so far."""
        return Judged(dict(self._losses), self._rows, self._epochs)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002 - the library's signature
        """Take up what an attempt before found, of the epochs that its checkpoint has behind it."""
        self._epochs = int(state.num_train_epochs)
        self._steps = state.max_steps // self._epochs
        path = self._folder / _LOSSES_FILE
        known = json.loads(path.read_text(encoding="utf-8")) if state.global_step and path.exists() else {}
        self._losses = {int(epoch): loss for epoch, loss in known.items() if int(epoch) * self._steps <= state.global_step}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:  # noqa: ANN401, ARG002 - the library's signature
        """Judge where an epoch ends; before the checkpoint that this step may ask for, so that this knows of it."""
        if state.global_step % self._steps:
            return control
        epoch = state.global_step // self._steps
        self._losses[epoch] = self._loss()
        if self._writes:
            self._write(epoch)
        worse_for = epoch - self.judged.best
        _LOG.info("epoch_judged", epoch=epoch, loss=self._losses[epoch], rows=self._rows, best=self.judged.best)
        if worse_for >= self._patience:
            control.should_training_stop = True
        return control

    def restore(self) -> None:
        """Give the model the weights of the best epoch."""
        best, last = self.judged.best, max(self._losses)
        path = self._folder / _WEIGHTS_FILE.format(epoch=best)
        if best == last or not path.exists():
            return
        weights = load_file(path)
        with torch.no_grad():
            for name, values in self._model.named_parameters():
                if name in weights:
                    values.copy_(weights[name])

    def _write(self, epoch: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.judged.best == epoch:
            # Weights that are not tuned are the same after every epoch.
            tuned = {name: values for name, values in self._model.named_parameters() if values.requires_grad}
            path = self._folder / _WEIGHTS_FILE.format(epoch=epoch)
            unfinished = path.with_suffix(".tmp")
            save_file({name: values.detach().cpu().contiguous() for name, values in tuned.items()}, unfinished)
            unfinished.replace(path)
            for older in self._folder.glob(_WEIGHTS_FILE.format(epoch="*")):
                if older != path:
                    older.unlink()
        write_atomic(self._folder / _LOSSES_FILE, json.dumps(self._losses).encode())

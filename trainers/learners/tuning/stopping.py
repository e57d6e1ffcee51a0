"""Early stopping: rows kept back from training say which epoch was the best, and when another is not worth its time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from config.files.durable import write_atomic
from trainers.learners.tried import Tried
from trainers.learners.tuning.judging import Judging

_FOUND_FILE = "judged.json"
_WEIGHTS_FILE = "best-{epoch}.safetensors"

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What rows that were kept back said of one epoch."""

    loss: float
    """The mean weighted loss, as training counts it."""
    score: float | None
    """The task's metric; None where the loss alone judges."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What rows that were kept back said of each epoch."""

    found: Mapping[int, Found]
    """By epoch, from 1 on."""
    rows: int
    epochs: int
    """As many as there would have been."""
    metric: str = ""
    lower_is_better: bool = False

    @property
    def best(self) -> int:
        """The epoch whose weights go on: that of the best metric, of several that of the smallest loss, and then the first.

        On so few rows metrics that count mistakes are often equal; the loss then tells which model is surer of what is right.
        """
        return min(self.found, key=lambda epoch: (self._errors(epoch), self.found[epoch].loss, epoch))

    @property
    def tried(self) -> list[Tried]:
        """Each epoch, for the run's report."""
        of = f"of {self.epochs}, on {self.rows} rows kept back"
        return [
            Tried(name=f"tuned for {epoch} {of}", scores=self._scores(found), cpu_s=0.0, chosen=epoch == self.best)
            for epoch, found in sorted(self.found.items())
        ]

    def _errors(self, epoch: int) -> float:
        score = self.found[epoch].score
        return 0.0 if score is None else score if self.lower_is_better else -score

    def _scores(self, found: Found) -> dict[str, float]:
        return {"loss": found.loss} if found.score is None else {self.metric: found.score, "loss": found.loss}


class EarlyStopping(TrainerCallback):
    """After each epoch asks the rows kept back, keeps the best weights, and ends training when others stay no better.

    What it knows lies in the folder of the checkpoints, so that a resumed run goes on with it.
    """

    def __init__(
        self, model: nn.Module, ask: Callable[[], Found], judging: Judging, folder: Path, *, patience: int, writes: bool = True
    ) -> None:
        """`ask` returns the same in all of several processes; `writes`: whether this one keeps the weights, as the first does."""
        self._model, self._ask, self._judging, self._folder = model, ask, judging, folder
        self._patience, self._writes = patience, writes
        self._found: dict[int, Found] = {}
        self._epochs = self._steps = 1

    @property
    def judged(self) -> Judged:
        """What was found so far."""
        of = self._judging
        return Judged(dict(self._found), of.count, self._epochs, of.metric, of.lower_is_better)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002 - the library's signature
        """Take up what an attempt before found, of the epochs that its checkpoint has behind it."""
        self._epochs = int(state.num_train_epochs)
        self._steps = state.max_steps // self._epochs
        path = self._folder / _FOUND_FILE
        known = json.loads(path.read_text(encoding="utf-8")) if state.global_step and path.exists() else {}
        self._found = {int(epoch): Found(**one) for epoch, one in known.items() if int(epoch) * self._steps <= state.global_step}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:  # noqa: ANN401, ARG002 - the library's signature
        """Judge where an epoch ends; before the checkpoint that this step may ask for, so that this knows of it."""
        if state.global_step % self._steps:
            return control
        epoch = state.global_step // self._steps
        self._found[epoch] = found = self._ask()
        if self._writes:
            self._write(epoch)
        worse_for = epoch - self.judged.best
        told = {"metric": self._judging.metric, "score": found.score, "loss": found.loss}
        _LOG.info("epoch_judged", epoch=epoch, rows=self._judging.count, best=self.judged.best, **told)
        if worse_for >= self._patience:
            control.should_training_stop = True
        return control

    def restore(self) -> None:
        """Give the model the weights of the best epoch."""
        best, last = self.judged.best, max(self._found)
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
        write_atomic(self._folder / _FOUND_FILE, json.dumps({at: asdict(one) for at, one in self._found.items()}).encode())

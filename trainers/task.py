"""The protocols every task kind fulfils, and the values that pass between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from config.tasks import TaskSpec

# ner: {"spans": [{"start", "end", "label"}]}; classification: {"label": str, "scores": {label: probability}, "truncated": bool}.
# A model that reads every text whole may leave out "truncated".
Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """One row a task learns from: a text and its target (the wire form of `consumers.events`)."""

    example_id: str
    text: str
    target: Mapping[str, Any]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a task may use, already resolved: no `auto` here."""

    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    threads: int


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One report of progress from inside training."""

    step: int
    steps: int
    epoch: float
    loss: float
    examples_per_s: float
    texts_cut: int = 0
    """Texts of the run that are longer than the model reads."""
    message: str = ""
    """What the reader of the history should know, such as rows that could not be used."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything a task needs for one training run."""

    spec: TaskSpec
    rows: Sequence[Example]
    full: bool
    warm_start: Path | None
    """The champion's model folder, for an incremental run."""
    seed: int
    hardware: Hardware
    batch_size: int
    work_dir: Path
    """Scratch space that survives a killed attempt (checkpoints); the caller removes it after publishing."""
    report: Callable[[TrainingStep], None]


class Predictor(Protocol):
    """A loaded model. Thread-safe for one caller at a time."""

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return one answer per text, in order."""
        ...


class Aligner(Protocol):
    """Brings targets and answers of one text into the form in which they are compared."""

    def __call__(self, text: str, targets: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return one for each of `targets`, in order."""
        ...


class Task(Protocol):
    """One kind of thing to learn."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn from `plan.rows` and write a loadable model into the new folder `output`.

        Raises `RunFailedError` when the rows cannot be learnt from; `MemoryError` or torch's out-of-memory error pass through.
        """
        ...

    def load(self, folder: Path, hardware: Hardware) -> Predictor:
        """Return the model in `folder`. Raises `RunFailedError` when it cannot be read."""
        ...

    def aligner(self, model: Predictor) -> Aligner:
        """Return what brings gold and the answers of any model into one form, given the loaded candidate."""
        ...

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return the declared baseline (`spec.promotion.baseline`) that a first model must beat, made from training rows."""
        ...

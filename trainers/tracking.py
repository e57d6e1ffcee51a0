"""Who follows a run's loss beside its own report: TensorBoard, MLflow, Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_MODULES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}


@dataclass(frozen=True, slots=True)
class Tracking:
    """How one run is followed."""

    by: tuple[str, ...]
    """Names of `training.trackers`."""
    run: str
    project: str
    """What runs of one task have in common: an experiment, a project."""
    folder: Path
    """Where those write that write files."""


def missing(trackers: Sequence[str]) -> list[str]:
    """Return those whose package is not installed, as `pip install 'perennial[NAME]'` brings it."""
    return [name for name in trackers if find_spec(_MODULES[name]) is None]

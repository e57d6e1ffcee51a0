"""Models opened as the daemon opens them, on one thread of the processor."""

from __future__ import annotations

from pathlib import Path

from config.settings import load_settings
from perennial_artifact.predictor import Predictor
from trainers.learners.opening import open_model

ON_CPU = load_settings().training.model_copy(update={"device": "cpu", "precision": "fp32", "threads": 1})


def opened(folder: Path) -> Predictor:
    """Return the model in a folder, by what it says of itself. Raises `RunFailedError`."""
    return open_model(folder, ON_CPU)

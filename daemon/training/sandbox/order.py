"""What goes into a sandbox and what comes out: the whole protocol between the daemon and `python -m daemon.serving.sandbox`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from config.sections import TrainingSettings

FOLDER = "sandbox"
"""In the run's folder; it holds texts, so it goes with them when they are erased."""
ORDER_FILE = "order.json"
FINDINGS_FILE = "findings.json"
BEGUN_FILE = "begun"
"""Empty; there from the moment on at which what happens to the process is the candidate's doing."""
FEATURES_FILE = "features.parquet"

EXIT_DONE = 0
EXIT_TRY_LATER = 5
"""The machine had no room, or something else that passes; the findings say what."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Asked(_Value):
    """One text, and what the candidate answered when it was compared."""

    text: str
    recorded: dict[str, Any] | None = None


class Order(_Value):
    """One candidate to be opened and asked."""

    version: str
    kind: str
    backend: str
    folder: Path
    """Of the artifact store, every byte checked against its manifest."""
    training: TrainingSettings
    threads: int
    text_time_s: float
    memory_limit_mib: int
    modules: tuple[str, ...] = ()
    asked: tuple[Asked, ...]
    task: dict[str, Any]
    """The task file, with `must_not_break`."""
    features: Path | None = None
    """What the champion's encoder makes of the texts, where only the head is new; None: the whole model is opened."""


class Findings(_Value):
    """What the sandbox found."""

    outcome: Literal["passed", "failed"]
    reason: str = ""
    """Why it failed, in words; empty where it passed."""
    scope: Literal["model", "head"]
    """`head`: its encoder is that of a version that has passed, so its head alone was asked, by stored features."""
    code: str = ""
    """Versions of program and libraries."""
    texts: int = 0
    """Answered, examples included."""
    examples: int = 0
    """Of `must_not_break`, all that were asked."""
    broken: int = 0
    """Those of them that were answered otherwise."""
    compared: int = 0
    """Answers that were compared with those of the comparison."""
    differ: int = 0
    """Of these the ones that say something else."""
    load_s: float = 0.0
    warm_s: float = 0.0
    p50_ms: float | None = None
    p95_ms: float | None = None
    """Of one text at a time."""
    peak_memory_mib: float = 0.0
    size_mib: float = 0.0
    cpu_s: float | None = None
    """Processor seconds of the process; None: nobody counted."""

"""Runs that wish for a variant, on tiny models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from config.tasks import TaskSpec
from tests.support import broken_exporters
from tests.support.tiny_models import dated, toy_plan
from trainers.export.building import Limits
from trainers.learners.catalog import learner_for
from trainers.learners.protocols import Example
from trainers.learners.tried import Tried

_ROOT = Path(__file__).parents[2]


def learn(folder: Path, spec: TaskSpec, rows: Sequence[Example], **changes: Any) -> tuple[Path, list[Tried]]:
    """Return the model of one run and what its report says of variants."""
    tried: list[Tried] = []
    model = folder / f"model-{time.monotonic_ns()}"
    limits = Limits(modules=(broken_exporters.__name__,))
    plan = toy_plan(spec, dated(rows), folder / "work", note_tried=tried.append, export_limits=limits, **changes)
    with pytest.MonkeyPatch.context() as patched:
        # The process that builds finds the exporters of tests.
        patched.setenv("PYTHONPATH", f"{_ROOT}:{_ROOT / 'artifact'}")
        learner_for(spec).train(plan, model)
    return model, [one for one in tried if one.name.startswith("export ")]

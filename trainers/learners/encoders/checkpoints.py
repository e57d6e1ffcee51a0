"""Checkpoints that a killed run can trust: sealed by a manifest of SHA-256, bounded in number and in cost."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from config.files.durable import sha256_of_file, write_atomic

KEPT = 2
"""The newest, and the one to fall back to when the newest is torn."""
_PREFIX = "checkpoint-"
_SEAL = "sealed.json"
_LOG = structlog.get_logger(__name__)


def newest_valid(folder: Path) -> Path | None:
    """Return the newest sealed and undamaged checkpoint in `folder`, and remove newer ones that cannot be trusted."""
    for checkpoint in sorted(folder.glob(f"{_PREFIX}*"), key=_step, reverse=True):
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        _LOG.warning("checkpoint_dropped", checkpoint=checkpoint.name, reason=fault, next="an older one, or the start")
        shutil.rmtree(checkpoint)
    return None


def seal(checkpoint: Path) -> None:
    """Write the manifest that makes a checkpoint count; a kill before this line leaves one that is never resumed from."""
    files = {path.name: sha256_of_file(path) for path in sorted(checkpoint.iterdir()) if path.name != _SEAL}
    write_atomic(checkpoint / _SEAL, json.dumps(files, indent=2).encode())


class Pace(TrainerCallback):
    """Asks for a checkpoint when one is due, and seals it.

    Due: `interval_s` after the last one, and not before writing them has taken less than `max_share` of the time.
    """

    def __init__(self, *, interval_s: float = 30.0, max_share: float = 0.05) -> None:
        self._interval_s = interval_s
        self._max_share = max_share
        self._last_end = self._asked_at = time.monotonic()
        self._cost_s = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002 - the library's signature
        """Start the clock."""
        self._last_end = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:  # noqa: ANN401, ARG002 - the library's signature
        """Ask for a checkpoint when one is due; none after the last step, which ends in the model itself."""
        now = time.monotonic()
        wait_s = max(self._interval_s, self._cost_s / self._max_share)
        ends = control.should_training_stop or state.global_step >= state.max_steps
        if not ends and now - self._last_end >= wait_s:
            self._asked_at = now
            control.should_save = True
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002 - the library's signature
        """Seal the checkpoint that was just written and note what it cost."""
        seal(Path(str(args.output_dir)) / f"{_PREFIX}{state.global_step}")
        self._last_end = time.monotonic()
        self._cost_s = self._last_end - self._asked_at


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(_PREFIX)
    return int(number) if number.isdecimal() else -1


def _fault(checkpoint: Path) -> str | None:
    """Return why a checkpoint cannot be trusted, or None."""
    try:
        sealed: Mapping[str, str] = json.loads((checkpoint / _SEAL).read_text(encoding="utf-8"))
        for name, digest in sealed.items():
            if sha256_of_file(checkpoint / name) != digest:
                return f"{name} has changed since it was written"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except (OSError, ValueError, AttributeError) as error:
        return f"it cannot be read ({error})"
    return None

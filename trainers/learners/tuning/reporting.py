"""Progress of a tuning, passed on while it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.learners.protocols import TrainingStep


class Report(TrainerCallback):
    """Passes progress on: the first step, the last, and about one every `every_s` seconds between."""

    def __init__(
        self, losses: Callable[[], float], report: Callable[[TrainingStep], None], rows_per_step: int, *, every_s: float,
        after_each: bool = False,
    ) -> None:  # fmt: skip
        """`losses` returns the sum of the steps' losses since it was asked last; `after_each`: it must be asked at each step."""
        self._losses, self._report, self._rows_per_step, self._every_s = losses, report, rows_per_step, every_s
        self._after_each = after_each
        self._began = self._reported = self._sum = 0.0
        self._first_step = self._reported_step = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002 - the library's signature
        """Start the clock."""
        self._began = time.monotonic()
        self._first_step = self._reported_step = state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002 - the library's signature
        """Report a step when one is due."""
        now = time.monotonic()
        if self._after_each:
            self._sum += self._losses()
        edge = state.global_step in (self._first_step + 1, state.max_steps) or control.should_training_stop
        if not edge and now - self._reported < self._every_s:
            return
        total = self._sum if self._after_each else self._losses()
        self._sum, loss = 0.0, total / (state.global_step - self._reported_step)
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

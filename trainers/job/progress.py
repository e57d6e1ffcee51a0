"""Progress of a training child: one JSON line each on standard output and in a history file that can be read meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TextIO

import structlog

from config.clock import Clock, utc_now
from trainers.job.spec import Progress
from trainers.learners.protocols import TrainingStep

_LOG = structlog.get_logger(__name__)
_MIN_INTERVAL_S = 0.25
_NOTE_INTERVAL_S = 1.0


def claim_standard_output() -> TextIO:
    """Return standard output for progress alone: whatever a library prints goes to standard error from now on."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return stream


class ProgressLog:
    """Writes each line at once, whole, to both places. Thread-safe."""

    def __init__(
        self,
        run_id: str,
        history: Path | None,
        stream: TextIO | None,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Append to the file `history`; an unfinished line that a killed attempt left there is closed first. None: to none."""
        self._run_id, self._stream, self._clock, self._monotonic = run_id, stream, clock, monotonic
        self._lock = threading.Lock()
        self._last_step_at = self._last_note_at = float("-inf")
        self._history = history
        if history is not None and history.exists() and not history.read_bytes().endswith(b"\n"):
            self._append("\n")

    def write(
        self,
        phase: Literal["starting", "training", "scoring", "done", "failed"],
        **fields: Any,  # noqa: ANN401 - pydantic checks them
    ) -> None:
        """Write one line; `fields` are those of `Progress`."""
        line = Progress(run_id=self._run_id, at=self._clock().isoformat(), phase=phase, **fields).model_dump_json() + "\n"
        with self._lock:
            self._append(line)
            if self._stream is not None:
                self._send(self._stream, line)

    def note(self, message: str) -> None:
        """Report what is done before the first step; notes in quick succession are thinned out."""
        now = self._monotonic()
        if now - self._last_note_at >= _NOTE_INTERVAL_S:
            self._last_note_at = now
            self.write("starting", message=message)

    def step(self, step: TrainingStep) -> None:
        """Write one step of training; steps in quick succession are thinned out, the last and those with a message never."""
        now = self._monotonic()
        if now - self._last_step_at < _MIN_INTERVAL_S and step.step < step.steps and not step.message:
            return
        self._last_step_at = now
        self.write(
            "training",
            step=step.step,
            steps=step.steps,
            epoch=round(step.epoch, 3),
            loss=step.loss,
            examples_per_s=round(step.examples_per_s, 1),
            message=step.message,
        )

    def _append(self, text: str) -> None:
        if self._history is None:
            return
        with self._history.open("a", encoding="utf-8") as file:
            file.write(text)

    def _send(self, stream: TextIO, line: str) -> None:
        try:
            stream.write(line)
        except BrokenPipeError:
            # Nobody listens any more; the history file still has it.
            self._stream = None
            _LOG.warning("progress_reader_gone", run_id=self._run_id)

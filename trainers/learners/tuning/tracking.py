"""Trainer's own reporters, each behind a guard: what fails in one is logged once, and the run goes on without it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import MLflowCallback, TensorBoardCallback, WandbCallback

from trainers.tracking import Tracking, missing

_LOG = structlog.get_logger(__name__)

_PATIENCE = {
    # The library would try for minutes while training waits.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "WANDB_INIT_TIMEOUT": "30",
}  # fmt: skip


def followers(tracking: Tracking) -> list[TrainerCallback]:
    """Return what passes a run's losses on; one whose package is not installed is named in the log and left out."""
    absent = missing(tracking.by)
    for name in absent:
        _LOG.warning(
            "tracker.missing", tracker=name, next="the run goes on without it", remedy=f"pip install 'perennial[{name}]'"
        )
    return [Guarded(name, _maker(name, tracking)) for name in tracking.by if name not in absent]


class Guarded(TrainerCallback):
    """One tracker. It is made when training begins, and left alone for good once it has failed."""

    def __init__(self, name: str, make: Callable[[], TrainerCallback]) -> None:
        self._name, self._make = name, make
        self._tracker: TrainerCallback | None = None
        self._failed = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:  # noqa: ANN401 - the library's signature
        """Begin a run over there."""
        self._pass_on("on_train_begin", args, state, control, more)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:  # noqa: ANN401 - same
        """Pass figures on."""
        self._pass_on("on_log", args, state, control, more)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:  # noqa: ANN401 - same
        """End the run over there."""
        self._pass_on("on_train_end", args, state, control, more)

    def _pass_on(
        self, event: str, args: TrainingArguments, state: TrainerState, control: TrainerControl, more: dict[str, Any]
    ) -> None:
        if self._failed:
            return
        try:
            if self._tracker is None:
                self._tracker = self._make()
            getattr(self._tracker, event)(args, state, control, **more)
        except Exception as error:  # noqa: BLE001 - another's program, whatever it raises, is no reason to end a run
            self._failed = True
            _LOG.warning(
                "tracker.failed", tracker=self._name, at=event, reason=(str(error) or type(error).__name__)[:500],
                next="the run goes on without it",
            )  # fmt: skip


def _maker(name: str, tracking: Tracking) -> Callable[[], TrainerCallback]:
    return {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}[name](tracking)


def _tensorboard(tracking: Tracking) -> Callable[[], TrainerCallback]:
    def make() -> TrainerCallback:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - heavy, and in an extra

        writer = SummaryWriter(log_dir=str(tracking.folder / "tensorboard" / tracking.run))
        return TensorBoardCallback(writer)  # type: ignore[no-untyped-call]  # same

    return make


def _mlflow(tracking: Tracking) -> Callable[[], TrainerCallback]:
    return _by_environment(MLflowCallback, {"MLFLOW_EXPERIMENT_NAME": tracking.project})


def _wandb(tracking: Tracking) -> Callable[[], TrainerCallback]:
    folder = tracking.folder / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    said = {"WANDB_PROJECT": tracking.project, "WANDB_DIR": str(folder), "WANDB_SILENT": "true", "WANDB_WATCH": "false"}
    return _by_environment(WandbCallback, said)


def _by_environment(kind: Callable[[], Any], said: dict[str, str]) -> Callable[[], TrainerCallback]:
    def make() -> TrainerCallback:
        for name, value in (_PATIENCE | said).items():
            os.environ.setdefault(name, value)
        found: TrainerCallback = kind()
        return found

    return make


def figures(step: Any) -> dict[str, float]:  # noqa: ANN401 - a `TrainingStep`
    """Return what trackers are told of a step."""
    return {"loss": step.loss, "examples_per_s": step.examples_per_s}


__all__: Sequence[str] = ("Guarded", "figures", "followers")

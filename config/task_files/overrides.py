"""What a request for a run may set otherwise than the task file, for that run alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from config.kinds.values import Frozen, whole
from config.task_files.sections.training import MAX_ACCUMULATION, Training

MAX_EPOCHS, MAX_BATCH = 1_000, 4_096
MAX_LEARNING_RATE = 1.0


class Overrides(Frozen):
    """Settings of one run; what is None stays as the task file has it."""

    epochs: Annotated[
        Annotated[int, Field(ge=1, le=MAX_EPOCHS, strict=True), BeforeValidator(whole)] | None,
        Field(description="Passes over the rows."),
    ] = None
    learning_rate: Annotated[
        Annotated[float, Field(gt=0, le=MAX_LEARNING_RATE, strict=True)] | None, Field(description="Step size.")
    ] = None
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=MAX_BATCH, strict=True), BeforeValidator(whole)] | None,
        Field(description="Rows per batch."),
    ] = None
    gradient_accumulation: Annotated[
        Annotated[int, Field(ge=1, le=MAX_ACCUMULATION, strict=True), BeforeValidator(whole)] | None,
        Field(description="Batches per step."),
    ] = None

    @property
    def given(self) -> dict[str, int | float]:
        """What is set, by name."""
        return self.model_dump(exclude_none=True)

    @property
    def told(self) -> str:
        """What is set, in words; empty where nothing is."""
        return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in self.given.items())

    def applied_to(self, training: Training) -> Training:
        """Return `training` with what is set here, for incremental and full runs alike."""
        given = self.given
        for name in ("epochs", "learning_rate"):
            if name in given:
                given[f"full_{name}"] = given[name]
        return training.model_copy(update=given)


NONE = Overrides()
"""All as the task file has it."""

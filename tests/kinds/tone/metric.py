from __future__ import annotations

from trainers.compare.metrics.errors import MeanError
from trainers.compare.metrics.metric import Target
from trainers.compare.metrics.scale import Scale


def numbers_of(target: Target) -> dict[str, float]:
    return {"tone": float(target["tone"])}


TONE_ERROR = MeanError(
    "tone_error",
    Scale(title="mean error of the tone", better="lower", lowest=0.0, highest=2.0, unit="steps"),
    squared=False,
    read=numbers_of,
)

"""What a loaded model is to whoever asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from perennial_artifact.compute import Used

# ner: {"spans": [{"start", "end", "label"}]}; classification: {"label": str, "scores": {label: probability}, "truncated": bool}.
# multilabel answers as classification does, with "labels" (a list) in the place of "label".
# regression: {"values": {dimension: number}, "truncated": bool}, with tiers also "score" and "tier".
# signals: {"signals": {category: {"score": -1..1, "tag": str, "probability": number}}, "truncated": bool}.
# A model that reads every text whole may leave out "truncated".
Answer = Mapping[str, Any]


class Predictor(Protocol):
    """A loaded model. Thread-safe for one caller at a time."""

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return one answer per text, in order."""
        ...


@runtime_checkable
class Weighs(Protocol):
    """A predictor whose answers leave out most of what it computes; a student learns from all of that."""

    def weigh(self, texts: Sequence[str]) -> list[Answer]:
        """Return for each text what `predict` makes its answer from, with the probability of all that it could answer.

        signals: {"signals": {category: {"score": -1..1, "tags": {tag: probability}}}}, with a score whatever the tags are.
        """
        ...


@runtime_checkable
class Divides(Protocol):
    """A predictor that answers a long text in parts, so that others' texts need not wait for the whole of it."""

    def divide(self, text: str) -> Sequence[tuple[int, int]]:
        """Return (start, end) of the parts of a text, in order; a short one is one part."""
        ...

    def join(self, starts: Sequence[int], answers: Sequence[Answer]) -> Answer:
        """Return the answer to a text from those to its parts, which begin at `starts`."""
        ...


@runtime_checkable
class Tells(Protocol):
    """A predictor that tells what it computes by."""

    @property
    def used(self) -> Used:
        """A variant beside the weights, or their precision."""
        ...


@runtime_checkable
class Pauses(Protocol):
    """A predictor that works long on one part of a text, in steps of bounded size, between which others can be answered."""

    def predict_pausing(self, texts: Sequence[str], pause: Callable[[], None]) -> list[Answer]:
        """Return what `predict` returns; `pause` is called between two steps, on the same thread.

        It may call `predict` for others. What it raises ends the work, and is raised here.
        """
        ...

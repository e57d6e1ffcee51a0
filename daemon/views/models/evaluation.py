"""What one or two models are worth on the rows of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from daemon.views.models.comparison import Comparison, Scale
from daemon.views.view import JsonFloat, View
from registry.runs import Level


class Model(View):
    """A model that answered."""

    name: str
    """A version, or a folder."""
    learnt_known: bool
    """Whether what it has learnt from is recorded, so that such rows could be left out."""
    readiness: Level | None = None
    """What the report of the run says that made it; None where nothing was said, and of a folder."""


class Figure(View):
    """One metric of each model."""

    name: str
    scale: Scale
    decides: bool
    """Whether the task's policy promotes by it."""
    scores: tuple[JsonFloat, ...]
    """In the order of the models."""
    bounds: tuple[tuple[JsonFloat, JsonFloat], ...]
    """Of each score: a bootstrap by document and text, each bound one-sided at `confidence`."""


class Part(View):
    """Some of the rows, scored by the metric that decides."""

    name: str
    rows: int
    scores: tuple[JsonFloat, ...]


class Evaluation(View):
    """Models on the rows of a file, all on the same ones."""

    task: str
    kind: str
    file: str
    models: tuple[Model, ...]
    rows: int
    clusters: int
    """Documents or distinct texts: so many independent pieces of evidence."""
    learnt_left_out: int
    """Rows left out because one of the models has learnt from the text."""
    left_out: Mapping[str, int]
    """Reason -> other rows left out."""
    unusable: int
    unknown_labels: Mapping[str, int]
    """Labels that no model can give -> rows that carry them."""
    truncated: int
    """Rows of which the last model read the beginning only."""
    confidence: float
    figures: tuple[Figure, ...]
    parts: tuple[Part, ...]
    """Labels, dimensions or signals, and the newest rows."""
    comparison: Comparison
    """The last model as the candidate. Of one model: beside itself, so that its gain is 0."""
    verdict: Literal["promote", "keep", "insufficient_evidence"] | None
    """What the task's policy would say of the second model on these rows alone; None for one model."""
    reasons: tuple[str, ...]
    answers_differ: int
    """Rows that the two models answer differently."""

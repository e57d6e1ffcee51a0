"""The comparison of a version with its opponent, as its run recorded it."""

from __future__ import annotations

import math
from typing import Literal

from daemon.views.view import JsonFloat, Recorded


class Scale(Recorded):
    """How a metric's scores are to be read."""

    title: str
    """Its name in a sentence: `macro F1`."""
    better: Literal["higher", "lower"] = "higher"
    lowest: JsonFloat = 0.0
    highest: JsonFloat = 1.0
    unit: str = "points"
    """Unit of differences."""

    def format_score(self, score: float) -> str:
        """Return a score as people read it, as `trainers.compare.metrics.scale.Scale` has it."""
        return f"{score:.3f}" if math.isfinite(self.highest - self.lowest) else f"{score:.4g}"


class Part(Recorded):
    """A part of the rows, scored by both: the anchor set, or a slice."""

    name: str
    rows: int
    champion_score: JsonFloat
    candidate_score: JsonFloat


class Reliability(Recorded):
    """The bins that hold rows, by rising confidence: rows, mean confidence and accuracy of each."""

    rows: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


class Probabilities(Recorded):
    """What one model's probabilities are worth; the figures are those of `trainers.compare.probabilities.Probabilities`."""

    calibration_error: float
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017)."""
    top_2: float | None
    top_3: float | None
    reliability: Reliability
    of_each_label: bool = False
    """Whether each label of each text counts, as where a text may have several."""
    abstained: float | None = None
    """Share of the rows whose answer abstains; None where the task's `abstain_below` was 0."""
    accuracy_of_others: float | None = None


class Errors(Recorded):
    """One model in one dimension: both errors in the units of the dimension, and rank correlation."""

    mae: float
    rmse: float
    spearman: float


class Dimension(Recorded):
    """Both models in one dimension, on the deciding rows that have a number there."""

    name: str
    rows: int
    candidate: Errors
    champion: Errors


class LabelFigures(Recorded):
    """One model on one label, each 0..1."""

    precision: float
    recall: float
    f1: float


class LabelMeasures(Recorded):
    """Both models on one label of texts that may have several."""

    name: str
    rows: int
    """Rows that have it."""
    candidate: LabelFigures
    champion: LabelFigures


class Guard(Recorded):
    """One guard as the gate judged it; the figures are those of `trainers.compare.guarding.guard.Guard`."""

    name: str
    result: str
    """`holds`, `broken` or `not judged`."""
    in_words: str
    rows: int | None = None
    documents: int | None = None
    measured: JsonFloat | None = None
    bound: JsonFloat | None = None
    allowed: JsonFloat | None = None
    unit: str = "points"


class Comparison(Recorded):
    """Both models on the rows that decide. The figures are those of `trainers.compare.comparison.Comparison`.

    None: the version of the program that recorded it did not say.
    """

    metric: str | None = None
    scale: Scale | None = None
    """None: recorded when every score was 0..1 and higher was better."""
    opponent: str | None = None
    """Its name: `news-topics/v3` or `baseline: most frequent label`."""
    champion_version: str | None = None
    """None: compared with the declared baseline, as for a first version."""
    rows: int | None = None
    stories: int | None = None
    champion_score: JsonFloat | None = None
    candidate_score: JsonFloat | None = None
    gain: JsonFloat | None = None
    """Positive where the candidate is better, on the scale of the scores."""
    lower_bound: JsonFloat | None = None
    upper_bound: JsonFloat | None = None
    confidence: float | None = None
    required_gain: JsonFloat | None = None
    """Infinite where it cannot be reached."""
    looks: int | None = None
    """How often these rows have been looked at."""
    candidate_probabilities: Probabilities | None = None
    """On the deciding rows; None too where answers carry no probabilities."""
    champion_probabilities: Probabilities | None = None
    abstain_below: float | None = None
    """The task's, when the models were compared."""
    dimensions: tuple[Dimension, ...] = ()
    """Empty where answers are no numbers."""
    labels: tuple[LabelMeasures, ...] = ()
    """On the deciding rows, the most frequent first; empty where a text has one label."""
    anchor: Part | None = None
    slices: tuple[Part, ...] = ()
    guards: tuple[Guard, ...] = ()
    """Empty until the gate has decided."""

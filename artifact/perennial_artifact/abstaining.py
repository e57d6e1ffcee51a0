"""Whether an answer abstains: it is given, and says that its model is less sure than its reader asks for."""

from __future__ import annotations

from collections.abc import Mapping

from perennial_artifact.predictor import Answer


def highest(answer: Answer) -> float | None:
    """Return the highest probability of the answer's label; None where it carries none, or where a text may have several.

    There low probabilities say that a text has no label, and the model may be sure of it.
    """
    scores = answer.get("scores")
    return max(scores.values()) if "label" in answer and isinstance(scores, Mapping) and scores else None


def abstains(answer: Answer, below: float) -> bool:
    """Return whether the highest probability is below `below` (0..1; 0: never); without probabilities it is not.

    Keywords, which have none, say it themselves where they find nothing.
    """
    if answer.get("abstained") is True:
        return True
    if below <= 0.0:
        return False
    sure = highest(answer)
    return sure is not None and sure < below

"""Where an answer of a user stands: whether it may train, and if not, why, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Standing = Literal[
    "effective", "over_cap", "replaced", "distrusted", "outvoted", "rejected", "conflict", "contradicts_gold", "alarm",
    "unusable",
]  # fmt: skip
STANDINGS: tuple[Standing, ...] = get_args(Standing)
Decision = Literal["accept", "reject"]
QUARANTINED: tuple[Standing, ...] = ("conflict", "alarm")
"""These wait for a person, where their text may train at all; the others that are not effective are set aside."""

SILENT: tuple[Standing, ...] = ("over_cap", "replaced", "unusable")
"""These have no say about their text, and nothing but a person's decision changes that."""

IN_WORDS: Mapping[Standing, str] = {
    "effective": "",
    "over_cap": "it is over a cap",
    "replaced": "its user has answered again about the same text since, and the newer answer counts",
    "distrusted": "its user's corrections have disagreed too often with labels that were given without looking at a model",
    "outvoted": "the other answers about the same text say otherwise and are trusted more",
    "rejected": "a person has looked at it and rejected it",
    "conflict": "other users say otherwise of the same text, and neither side is trusted enough",
    "contradicts_gold": (
        "a label that was given without looking at a model says otherwise of the same text, and a label wins over feedback. "
        "Where the label is wrong, import the right one"
    ),
    "unusable": "it could not be judged, for a fault of the program that its log tells",
    "alarm": "far more corrections than usual say the same of their texts (the label-flip alarm)",
}

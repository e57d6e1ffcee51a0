"""The standing of a user's answer: whether it may train, and if not, why, in words."""

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
"""These wait for a person, if their text may train at all; the others that are not effective are set aside."""

SILENT: tuple[Standing, ...] = ("over_cap", "replaced", "unusable")
"""These do not count for their text, and only a person's decision changes that."""

IN_WORDS: Mapping[Standing, str] = {
    "effective": "",
    "over_cap": "it exceeds a cap",
    "replaced": "its user has given a newer answer about the same text, which counts instead",
    "distrusted": "its user's corrections have disagreed too often with independent labels",
    "outvoted": "the other answers about the same text disagree and are trusted more",
    "rejected": "a person has reviewed and rejected it",
    "conflict": "other users disagree about the same text, and neither side is trusted enough",
    "contradicts_gold": (
        "an independent label disagrees about the same text, and a label wins over feedback. If the label is wrong, import the "
        "right one"
    ),
    "unusable": "it could not be judged because of an error in the program (see the daemon's log)",
    "alarm": "far more corrections than usual make the same change (label-flip alarm)",
}

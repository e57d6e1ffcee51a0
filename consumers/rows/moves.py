"""Why a row left training after it was enriched, as it is recorded with the row: written here, and read again by a replay."""

from __future__ import annotations

import re
from typing import Literal

from consumers.rows.eligibility import WITHDRAWN

_TIED = re.compile(r"its story is tied to held-out story .* by row (.+)", re.DOTALL)
_MEASURED, _NEAR, _BESIDE = "held out so that ", "its story is tied to held-out document ", "another text of its document "


def tied_to_story(story: str, row_id: str) -> str:
    """Return why rows of a story leave training: row `row_id` has tied it to a story that is held out."""
    return f"its story is tied to held-out story {story} by row {row_id}"


def beside_held_out(document: str) -> str:
    """Return why a row leaves training: another text of its document is held out."""
    return f"{_BESIDE}{document} is held out"


def held_out_to_measure(what: str, held_out: int, documents: int) -> str:
    """Return why a document moves to the test side: too few of those with `what` were held out."""
    return f"{_MEASURED}{what} can be measured: {held_out} of its {documents} documents were"


def near_document(document: str) -> str:
    """Return why a row leaves training: it is like a text of a document that has moved to the test side."""
    return f"{_NEAR}{document}"


def cause(reason: str | None) -> Literal["tied", "beside", "freeze", "withdrawn"] | None:
    """Return what took a row out of training later: a tie of its story or document, a run's freeze, an event. None: nothing."""
    if reason is None:
        return None
    if reason.startswith((_MEASURED, _NEAR)):
        return "freeze"
    if reason.startswith(WITHDRAWN):
        return "withdrawn"
    return "beside" if reason.startswith(_BESIDE) else "tied" if _TIED.fullmatch(reason) else None


def tied_by(reason: str) -> str | None:
    """Return the row that tied a story to a held-out one; None where something else took the row out of training."""
    found = _TIED.fullmatch(reason)
    return found[1] if found else None

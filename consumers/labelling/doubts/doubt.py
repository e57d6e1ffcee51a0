"""A label in doubt, and the file in which the last look at a task keeps what it found. It holds no texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Sort = Literal["same_text", "near_copy", "contradicted"]
MOST = 2_000
"""So many are kept, the worst first; all are counted."""


class Doubt(BaseModel):
    """A text whose label may be wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_sha256: str
    example_id: str
    """Of the label that counts now."""
    sorts: tuple[Sort, ...]
    """`same_text`: the same text has another label too; `near_copy`: a near copy of it has; `contradicted`: a model says so."""
    given: dict[str, Any]
    suggested: dict[str, Any] | None
    """What the others say."""
    score: float
    """0..1: the higher, the more likely is the label wrong."""
    side: str
    beside: tuple[str, ...]
    """Ids of the examples that say otherwise."""


class Doubts(BaseModel):
    """What a look at a task found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    task: str
    at: datetime
    texts: int
    """With a label."""
    judged: int
    """Those that a model has judged."""
    counts: Mapping[Sort, int]
    """Texts by what is wrong with them; one may count twice."""
    not_judged: str | None
    """Why the model judged fewer than all; None where it judged all."""
    doubts: tuple[Doubt, ...]


def ranked(found: Sequence[Doubt]) -> list[Doubt]:
    """Return one doubt for each text, the worst first: those with several signs, then by their scores."""
    by_text: dict[str, Doubt] = {}
    for one in found:
        other = by_text.get(one.text_sha256)
        by_text[one.text_sha256] = one if other is None else _both(other, one)
    return sorted(by_text.values(), key=lambda one: (-len(one.sorts), -one.score, one.text_sha256))


def _both(one: Doubt, other: Doubt) -> Doubt:
    first, second = (one, other) if one.score >= other.score else (other, one)
    return first.model_copy(
        update={
            "sorts": tuple(dict.fromkeys((*one.sorts, *other.sorts))),
            "suggested": first.suggested or second.suggested,
            "beside": tuple(dict.fromkeys((*first.beside, *second.beside))),
        }
    )

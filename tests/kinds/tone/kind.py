from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from config.kinds.kind import UNKNOWN, Answer, Piece, Relation, RowValues, Target, Words
from config.kinds.values import Answered, Frozen, excerpt, whole


class ToneTarget(Frozen):
    """How a text sounds: bad, neither, or good."""

    tone: Annotated[int, Field(ge=-1, le=1, strict=True), BeforeValidator(whole)]


class ToneAnswer(Answered):
    """How a text sounds to a model."""

    tone: Annotated[float, Field(ge=-1, le=1, strict=True)]


class ShownTone(BaseModel):
    """As HTTP sends it."""

    tone: Annotated[float, Field(description="From -1 (bad) to 1 (good).")] = 0.0


class Tone:
    """A number, and no label."""

    name = "tone"
    key = "tone"
    target: type[BaseModel] = ToneTarget
    answer: type[BaseModel] = ToneAnswer
    shown: type[BaseModel] = ShownTone
    backends: tuple[str, ...] = ("counts",)
    metrics: tuple[str, ...] = ("tone_error",)
    columns: tuple[str, ...] = ("tone",)
    positional = False
    several = False
    words = Words(task="a tone", about="how a text sounds", majority="most frequent tone")

    def labels(self, target: Target) -> list[str]:
        return []

    def spelt(self, label: str) -> str:
        return json.dumps(label)

    def as_read(self, target: Target) -> dict[str, Any]:
        return {"tone": int(target["tone"])}

    def renamed(self, target: Target, new_name: Callable[[str], str]) -> dict[str, Any]:
        return dict(target)

    def fits(self, target: Target) -> bool:
        return target.get("tone") in (-1, 0, 1)

    def misplaced(self, value: Target | Answer, text: str) -> str | None:
        return None

    def relation(self, one: Target, other: Target) -> Relation:
        apart = abs(one["tone"] - other["tone"])
        return "same" if apart < 0.5 else "contrary" if apart > 1.5 else "unlike"

    def moves(self, answer: Answer | None, target: Target, confident_from: float) -> Sequence[tuple[str, str]]:
        old, new = UNKNOWN if answer is None else str(round(answer["tone"])), str(target["tone"])
        return [] if old == new else [(old, new)]

    def plain(self, answer: Answer) -> dict[str, Any]:
        return {"tone": answer["tone"]}

    def confirmed(self, answer: Answer) -> dict[str, Any]:
        return {"tone": round(answer["tone"])}

    def corrected(self, target: Target) -> dict[str, Any] | None:
        return {"tone": float(target["tone"])}

    def from_row(self, row: RowValues) -> dict[str, Any] | None:
        return {"tone": row.number("tone")}

    def in_words(self, target: Target) -> str:
        return f"tone {target['tone']}"

    def pieces(self, answer: Answer, text: str) -> list[Piece]:
        return [(f"{answer['tone']:+.2f}", "strong"), ("  ", "plain"), (excerpt(text), "plain")]

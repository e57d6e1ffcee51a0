"""Regression: what people and models say of a text in numbers, one for each dimension; any of them may be missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from config.kinds import forms, values
from config.kinds.kind import UNKNOWN, Answer, Piece, Relation, RowValues, Target, Words
from config.kinds.regression.dimensions import LARGEST, MAX_DIMENSIONS, VALUES, Dimension
from config.kinds.values import Answered, Frozen, at_most

_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False, strict=True)]

_SAME, _CONTRARY = 0.05, 0.5
"""How far two numbers may be apart, as a share of the larger one (or of 1, where both are smaller), to be the same, and from
where on they are contrary."""


def _known(found: dict[str, float | None]) -> dict[str, float | None]:
    known = {name: value for name, value in found.items() if value is not None}
    if not known:
        message = "no dimension has a number; give at least one"
        raise ValueError(message)
    return dict(known)


class ValuesTarget(Frozen):
    """The number of each dimension of a text; null, or absent, where it is not known."""

    values: Annotated[
        dict[_Name, _Number | None],
        Field(min_length=1, max_length=MAX_DIMENSIONS, description="By dimension; at least one number."),
        BeforeValidator(at_most(MAX_DIMENSIONS)),
        AfterValidator(_known),
    ]


class ValuesAnswer(Answered):
    """The numbers that a model gave, within their ranges; with tiers also the weighted mean and its tier."""

    values: Annotated[
        dict[_Name, _Number], Field(min_length=1, max_length=MAX_DIMENSIONS), BeforeValidator(at_most(MAX_DIMENSIONS))
    ]
    score: _Number | None = None
    tier: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class ShownValues(BaseModel):
    """As HTTP sends it."""

    values: Annotated[dict[str, float], Field(description="Number per dimension, within its range.")] = {}
    score: Annotated[float | None, Field(description="Weighted mean of the values, where the task has tiers.")] = None
    tier: Annotated[str | None, Field(description="The tier that the score falls into.")] = None


class Regression:
    """Numbers in named dimensions, and no label; the task says which dimensions there are (`dimensions`)."""

    name = "regression"
    key = VALUES
    declares = "dimensions"
    target: type[BaseModel] = ValuesTarget
    answer: type[BaseModel] = ValuesAnswer
    shown: type[BaseModel] = ShownValues
    backends: tuple[str, ...] = ("transformer",)
    metrics: tuple[str, ...] = ("mae", "rmse", "spearman")
    columns: tuple[str, ...] = (VALUES,)
    positional = False
    several = False
    widget: forms.Widget = "numbers"
    words = Words(task="a regression", about="numbers in named dimensions", majority="mean of each dimension")

    def labels(self, target: Target) -> list[str]:  # noqa: ARG002 - there are none
        """Return no label."""
        return []

    def spelt(self, label: str) -> str:
        """Return what no target holds."""
        return f'"label":{json.dumps(label, ensure_ascii=False)}'

    def as_read(self, target: Target) -> dict[str, Any]:
        """Return a valid target without what is missing, each number as a decimal one."""
        return {**target, VALUES: {name: float(value) for name, value in target[VALUES].items() if value is not None}}

    def renamed(self, target: Target, new_name: Callable[[str], str]) -> dict[str, Any]:  # noqa: ARG002 - no label to rename
        """Return the target."""
        return dict(target)

    def fits(self, target: Target) -> bool:
        """Return whether numbers stand by dimension."""
        found = target.get(VALUES)
        return isinstance(found, Mapping) and bool(found) and all(type(value) in (int, float) for value in found.values())

    def misplaced(self, value: Target | Answer, text: str) -> str | None:  # noqa: ARG002 - a number can be said of any text
        """Return None."""
        return None

    def relation(self, one: Target, other: Target) -> Relation:
        """Return `same` where the numbers of all shared dimensions are within a twentieth, `contrary` where one is half apart."""
        shared = one[VALUES].keys() & other[VALUES].keys()
        apart = [_apart(one[VALUES][name], other[VALUES][name]) for name in shared]
        if not apart:
            return "unlike"
        return "same" if max(apart) <= _SAME else "contrary" if max(apart) >= _CONTRARY else "unlike"

    def moves(self, answer: Answer | None, target: Target, confident_from: float) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - numbers have no probability
        """Return which dimensions were moved up, and which down; without an answer each of the target's is moved from unknown."""
        said = target[VALUES]
        if answer is None:
            return [(UNKNOWN, name) for name in sorted(said)]
        shown = answer[VALUES]
        moved = {name: said[name] - shown[name] for name in sorted(said.keys() & shown.keys())}
        changed = [(name, f"{name} {'up' if by > 0 else 'down'}") for name, by in moved.items() if by]
        return [*changed, *((UNKNOWN, name) for name in sorted(said.keys() - shown.keys()))]

    def plain(self, answer: Answer) -> dict[str, Any]:
        """Return the numbers, and score and tier where they are there."""
        numbers = {name: float(value) for name, value in answer[VALUES].items()}
        return {VALUES: numbers} | {name: answer[name] for name in ("score", "tier") if answer.get(name) is not None}

    def confirmed(self, answer: Answer) -> dict[str, Any]:
        """Return the target with the answer's numbers."""
        return {VALUES: dict(answer[VALUES])}

    def corrected(self, target: Target) -> dict[str, Any] | None:
        """Return the numbers; whether they are all that the task asks for, `restricted` tells."""
        return {VALUES: dict(target[VALUES])}

    def from_row(self, row: RowValues) -> dict[str, Any] | None:
        """Return the target with the row's numbers."""
        return {VALUES: {name: value for name, value in row.numbers(VALUES).items() if value is not None}}

    def from_form(self, given: forms.Given, text: str) -> dict[str, Any]:  # noqa: ARG002 - a number can be said of any text
        """Return the target with the numbers that were given."""
        return {VALUES: forms.numbers(given)}

    def form_of(self, target: Target) -> dict[str, list[str]]:
        """Return the numbers as the form holds them."""
        return {f"{forms.NUMBER}{name}": [repr(value)] for name, value in target[VALUES].items() if value is not None}

    def in_words(self, target: Target) -> str:
        """Return each dimension with its number."""
        return ", ".join(f"{name} {value:.4g}" for name, value in target[VALUES].items()).replace("\n", " ")

    def pieces(self, answer: Answer, text: str) -> list[Piece]:
        """Return the tier and each dimension's number, then the text."""
        pieces: list[Piece] = []
        if (tier := answer.get("tier")) is not None:
            pieces += [(f"{tier} ", "strong"), (f"{answer.get('score', 0.0):.3g}  ", "faint")]
        pieces.append((self.in_words(answer), "plain" if pieces else "strong"))
        pieces += [(" read in part", "warning")] if answer.get("truncated") else []
        return [*pieces, ("  ", "plain"), (values.excerpt(text), "plain")]

    def unfit(self, target: Target, declared: Sequence[Dimension]) -> str | None:
        """Return, in words, what a valid target says that its task does not measure, or out of range; None where it says none."""
        known = {dimension.name: dimension for dimension in declared}
        for name, value in target[VALUES].items():
            if name not in known:
                return f"dimension {name!r} is not one of the task's: {', '.join(known)}"
            if not known[name].holds(value):
                low, high = (values.as_sent(one) for one in (known[name].low, known[name].high))
                return f"{name} is {values.as_sent(value)}, and ranges from {low} to {high}"
        return None

    def restricted(self, target: Target, declared: Sequence[Dimension]) -> dict[str, Any] | None:
        """Return a stored target with what its task measures today, within the ranges of today; None where nothing is left."""
        known = {dimension.name: dimension for dimension in declared}
        left = {name: value for name, value in target[VALUES].items() if name in known and known[name].holds(value)}
        return {**target, VALUES: left} if left else None


def _apart(one: float, other: float) -> float:
    return abs(one - other) / max(abs(one), abs(other), 1.0)

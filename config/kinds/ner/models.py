"""Entities as events, models and HTTP write them: code-point offsets into the text, end exclusive, and a type."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from config.foreign.labels import LabelName
from config.kinds.values import Answered, Frozen, at_most, whole

MAX_SPANS = 10_000
MAX_TYPES = 10_000
MAX_ANSWERED_SPANS = 100_000
"""A model may find more in a text than a person would send back."""

_Name = Annotated[str, Field(min_length=1, max_length=1_000)]
_MOST_CHARS = 10_000_000
"""No text is longer. An offset beyond may have more digits than a number can be printed with."""
_Offset = Annotated[int, Field(ge=0, le=_MOST_CHARS, strict=True)]


class Span(Frozen):
    """One entity: code-point offsets into the text, end exclusive, and its type."""

    start: Annotated[int, Field(ge=0, le=_MOST_CHARS, strict=True), BeforeValidator(whole)]
    end: Annotated[int, Field(gt=0, le=_MOST_CHARS, strict=True), BeforeValidator(whole)]
    label: LabelName

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            message = f"span ends at {self.end}, before or where it starts ({self.start}); give code-point offsets, end exclusive"
            raise ValueError(message)
        return self


class NerTarget(Frozen):
    """All entities of a text, or, when `partial`, only those the user spoke of."""

    spans: Annotated[
        tuple[Span, ...],
        Field(max_length=MAX_SPANS),
        BeforeValidator(at_most(MAX_SPANS, "; split the text or leave some out")),
    ]
    partial: StrictBool = False
    types: Annotated[
        tuple[LabelName, ...] | None,
        Field(
            min_length=1,
            max_length=MAX_TYPES,
            description="The types that the annotator knew; of others the target says nothing.",
        ),
        BeforeValidator(at_most(MAX_TYPES)),
    ] = None

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        _refuse_overlaps(self.spans)
        return self

    @model_validator(mode="after")
    def _of_known_types(self) -> Self:
        if self.types is not None and (others := sorted({span.label for span in self.spans}.difference(self.types))):
            message = f"types leaves out {', '.join(others)}, which spans carry; name every type that could have been marked"
            raise ValueError(message)
        return self


class SpanAnswer(Answered):
    """One entity that a model found: code-point offsets, end exclusive, and its type."""

    start: _Offset
    end: _Offset
    label: _Name


class NerAnswer(Answered):
    """The entities that a model found."""

    spans: Annotated[tuple[SpanAnswer, ...], BeforeValidator(at_most(MAX_ANSWERED_SPANS))]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        after = 0
        for span in sorted(self.spans, key=lambda span: (span.start, span.end)):
            if not after <= span.start < span.end:
                message = f"span {span.start}-{span.end} is empty or overlaps another; list each entity once"
                raise ValueError(message)
            after = span.end
        return self


class AnsweredSpan(BaseModel):
    """One entity: code-point offsets into the text, end exclusive, and its type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: int
    end: int
    label: str


class ShownEntities(BaseModel):
    """As HTTP sends them."""

    spans: Annotated[list[AnsweredSpan], Field(description="The entities in order of the text.")] = []


def _refuse_overlaps(spans: Sequence[Span]) -> None:
    ordered = sorted(spans, key=lambda span: (span.start, span.end))
    for left, right in itertools.pairwise(ordered):
        if right.start < left.end:
            message = (
                f"spans {left.start}-{left.end} ({left.label}) and {right.start}-{right.end} ({right.label}) overlap; "
                "keep one of them"
            )
            raise ValueError(message)

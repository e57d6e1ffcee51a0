"""What an event says a text's answer is: the target of each kind of task, and whether it fits its task and its text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence, Sized
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError, model_validator

from config.errors import DeadLetterError
from config.labels import LabelName, label
from config.tasks import TaskSpec
from consumers.events.errors import explain

MAX_SPANS = 10_000
NOT_BLANK = r"[^\s\x1c-\x1f\x85]"
"""What `not_blank` asks for, as JSON Schema can say it."""


def not_blank(text: str) -> str:
    """Return `text`. Raises ValueError when nothing stands in it."""
    if not text.strip():
        message = "it is empty or only white space; fill it or leave it out"
        raise ValueError(message)
    return text


def _not_too_many(spans: object) -> object:
    # Before pydantic looks at each: a `max_length` alone still collects every fault of every entry, a gigabyte from 2 MB of `{}`.
    if isinstance(spans, Sized) and len(spans) > MAX_SPANS:
        message = f"it has {len(spans)} entries; at most {MAX_SPANS} are read; split the text or leave some out"
        raise ValueError(message)
    return spans


def _whole(number: object) -> object:
    # JSON has one kind of number: 7.0 is as whole as 7.
    return int(number) if isinstance(number, float) and number.is_integer() else number


class Frozen(BaseModel):
    """Read once, never changed, and with no key that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(Frozen):
    """One entity: code-point offsets into the text, end exclusive, and its type."""

    start: Annotated[int, Field(ge=0, strict=True), BeforeValidator(_whole)]
    end: Annotated[int, Field(gt=0, strict=True), BeforeValidator(_whole)]
    label: LabelName

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            message = f"span ends at {self.end}, before or where it starts ({self.start}); give code-point offsets, end exclusive"
            raise ValueError(message)
        return self


class NerTarget(Frozen):
    """All entities of a text, or, when `partial`, only those the user spoke of."""

    spans: Annotated[tuple[Span, ...], Field(max_length=MAX_SPANS), BeforeValidator(_not_too_many)]
    partial: StrictBool = False

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        refuse_overlaps(self.spans)
        return self


class LabelTarget(Frozen):
    """The one label of a text."""

    label: LabelName


Target = NerTarget | LabelTarget
TARGETS: Mapping[str, type[NerTarget | LabelTarget]] = {"ner": NerTarget, "classification": LabelTarget}


def refuse_overlaps(spans: Sequence[Span]) -> None:
    """Refuse spans that share characters (`ValueError`)."""
    ordered = sorted(spans, key=lambda span: (span.start, span.end))
    for left, right in itertools.pairwise(ordered):
        if right.start < left.end:
            message = (
                f"spans {left.start}-{left.end} ({left.label}) and {right.start}-{right.end} ({right.label}) overlap; "
                "keep one of them"
            )
            raise ValueError(message)


def parse_target(task: TaskSpec, target: Mapping[str, Any]) -> Target:
    """Return the typed target of a task. Raises `DeadLetterError` naming the field."""
    try:
        parsed = TARGETS[task.kind].model_validate(target)
    except ValidationError as error:
        raise explain(error, prefix="target.") from None
    labels = [span.label for span in parsed.spans] if isinstance(parsed, NerTarget) else [parsed.label]
    for name in labels:
        if not task.accepts_label(name):
            reason = (
                f"target: label {name!r} is not one of task {task.name!r}: {', '.join(task.label_names)}; "
                "use one of them, or add the label to the task file"
            )
            raise DeadLetterError(reason, field="target")
    return parsed


def as_read(target: Mapping[str, Any]) -> dict[str, Any]:
    """Return a target that `parse_target` takes as it was sent, but for its labels and offsets: those as they are read."""
    if "spans" not in target:
        return {**target, "label": label(target["label"])}
    spans = [
        {**span, "start": _whole(span["start"]), "end": _whole(span["end"]), "label": label(span["label"])}
        for span in target["spans"]
    ]
    return {**target, "spans": spans}


def check_spans(target: Target, text: str) -> None:
    """Refuse spans outside `text` (`DeadLetterError`)."""
    for span in target.spans if isinstance(target, NerTarget) else ():
        if span.end > len(text):
            reason = (
                f"target.spans: span {span.start}-{span.end} ({span.label}) ends outside the text, which has {len(text)} "
                "code points; offsets count code points of title, blank line, body"
            )
            raise DeadLetterError(reason, field="target.spans")

"""What a model answered, as `prediction` events carry it: checked by its task's kind, and read again from rows of any age."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from config.errors import DeadLetterError
from config.labels import label_of_stored
from config.tasks import TaskSpec
from consumers.events.errors import explain

MAX_ANSWERED_SPANS = 100_000
"""A model may find more in a text than a person would send back."""
_ROUNDING = 1e-3
"""Probabilities come from floats of 16 or 32 bits."""

_Name = Annotated[str, Field(min_length=1, max_length=1_000)]
_Offset = Annotated[int, Field(ge=0, strict=True)]


class _Answered(BaseModel):
    # Later versions of serving say more of an answer.
    model_config = ConfigDict(frozen=True, extra="allow")


def _not_too_many(spans: object) -> object:
    # Before pydantic looks at each, as in `consumers.events.targets`.
    if isinstance(spans, Sized) and len(spans) > MAX_ANSWERED_SPANS:
        message = f"it has {len(spans)} entries; at most {MAX_ANSWERED_SPANS} are read"
        raise ValueError(message)
    return spans


class SpanAnswer(_Answered):
    """One entity that a model found: code-point offsets, end exclusive, and its type."""

    start: _Offset
    end: _Offset
    label: _Name


class NerAnswer(_Answered):
    """The entities that a model found."""

    spans: Annotated[tuple[SpanAnswer, ...], BeforeValidator(_not_too_many)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        after = 0
        for span in sorted(self.spans, key=lambda span: (span.start, span.end)):
            if not after <= span.start < span.end:
                message = f"span {span.start}-{span.end} is empty or overlaps another; an answer holds each entity once"
                raise ValueError(message)
            after = span.end
        return self


class LabelAnswer(_Answered):
    """The label that a model gave, and the probability of each."""

    label: _Name
    scores: dict[_Name, Annotated[float, Field(ge=-_ROUNDING, le=1 + _ROUNDING, strict=True)]] = {}


ANSWERS: Mapping[str, type[NerAnswer | LabelAnswer]] = {"ner": NerAnswer, "classification": LabelAnswer}


def check_answer(task: TaskSpec, answer: Mapping[str, Any], text: str) -> None:
    """Refuse an answer that is none of its task's kind, or none about `text` (`DeadLetterError`)."""
    try:
        parsed = ANSWERS[task.kind].model_validate(answer)
    except ValidationError as error:
        raise explain(error, prefix="answer.") from None
    for span in parsed.spans if isinstance(parsed, NerAnswer) else ():
        if span.end > len(text):
            reason = f"answer.spans: span {span.start}-{span.end} ends outside the text, which has {len(text)} code points"
            raise DeadLetterError(reason, field="answer.spans")


def stored_answer(answer: object, text: str) -> dict[str, Any] | None:
    """Return what a stored answer says of `text`, under labels as they are read today; None when it cannot be read.

    Earlier versions stored answers unseen, and a task may be of another kind by now: nothing here raises.
    """
    if not isinstance(answer, Mapping):
        return None
    try:
        parsed = (NerAnswer if "spans" in answer else LabelAnswer).model_validate(answer)
    except ValidationError:
        return None
    if isinstance(parsed, LabelAnswer):
        scores = {label_of_stored(name): score for name, score in parsed.scores.items()}
        return {"label": label_of_stored(parsed.label), "scores": scores}
    if any(span.end > len(text) for span in parsed.spans):
        return None
    spans = [{"start": span.start, "end": span.end, "label": label_of_stored(span.label)} for span in parsed.spans]
    return {"spans": spans}


def target_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target that says the same as an answer: what a confirmation of it confirms."""
    if "spans" in answer:
        return {"spans": [{name: span[name] for name in ("start", "end", "label")} for span in answer["spans"]]}
    return {"label": answer["label"]}

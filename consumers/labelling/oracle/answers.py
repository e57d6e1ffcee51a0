"""From a reply of a language model to a target: JSON of the asked shape with the task's own names, or a reason why not. Pure.

Nothing is guessed: no label is taken from prose, no number clipped into its range, no near name corrected. Otherwise an article
that makes the model talk would choose its own label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.kinds import catalog as kinds
from config.task_files.sections.oracle import names_of
from config.tasks import TaskSpec
from consumers.labelling.oracle.problems import Problem

MOST_SPANS = 1_000
MOST_REPLY = 200_000
_FENCE = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*)\n```\s*\Z", re.DOTALL)
_Name = Annotated[str, Field(min_length=1, max_length=1_000)]


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Label(_Reply):
    label: _Name


class _Labels(_Reply):
    labels: Annotated[list[_Name], Field(max_length=MOST_SPANS)]


class _Quote(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text: _Name
    label: _Name


class _Spans(_Reply):
    spans: Annotated[list[_Quote], Field(max_length=MOST_SPANS)]


class _Values(_Reply):
    values: Annotated[dict[_Name, Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=1_000)]


class _Signal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    score: Annotated[float, Field(allow_inf_nan=False)]
    tag: _Name


class _Signals(_Reply):
    signals: Annotated[dict[_Name, _Signal], Field(max_length=1_000)]


_REPLIES: Mapping[str, type[_Reply]] = {
    "classification": _Label, "multilabel": _Labels, "ner": _Spans, "regression": _Values, "signals": _Signals,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What a language model says of a text."""

    target: Mapping[str, Any]
    """In the form of the task's kind."""
    confidence: float
    """0..1, as the model states it."""


class _RefusedError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read(task: TaskSpec, content: str, text: str) -> Said | Problem:
    """Return what a reply says of a text, or why it is refused. `text` as far as it was sent."""
    if len(content) > MOST_REPLY:
        return Problem("schema", f"it is longer than {MOST_REPLY} characters")
    fenced = _FENCE.match(content)
    try:
        reply = _REPLIES[task.kind].model_validate_json(fenced[1] if fenced else content)
    except ValidationError as error:
        return _in_words(error)
    except (RecursionError, UnicodeError):
        return Problem("not json", "it is no JSON that can be read")
    try:
        target = _TARGETS[task.kind](task, reply, text)
        checked = kinds.get(task.kind).target.model_validate(target).model_dump(mode="json", exclude_none=True)
    except _RefusedError as error:
        return error.problem
    except ValidationError as error:
        return Problem("schema", f"it does not fit the task ({error.error_count()} problems)")
    return Said(checked, reply.confidence)


def _in_words(error: ValidationError) -> Problem:
    """Tell which keys are wrong and how; what stands there is not repeated, and keys only where they are ours."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Problem("not json", "it is not one whole JSON object, with nothing before or after it")
    ours = [str(part) for part in first["loc"] if part in _KEYS]
    where = ".".join(ours) or "the object"
    if first["type"] == "missing":
        return Problem("schema", f"{where} is missing")
    if first["type"] == "extra_forbidden":
        return Problem("schema", "it has a key that was not asked for")
    if first["type"] in ("less_than_equal", "greater_than_equal"):
        return Problem("scale", f"{where} is outside 0 to 1")
    return Problem("schema", f"{where} has the wrong type ({first['type']})")


_KEYS = frozenset({"label", "labels", "spans", "values", "signals", "confidence", "text", "score", "tag"})


def _known(task: TaskSpec, name: str) -> str:
    if name not in names_of(task):
        raise _RefusedError(Problem("unknown label", "a label is none of the labels listed above, spelt as there"))
    return name


def _of_label(task: TaskSpec, reply: Any, _text: str) -> dict[str, Any]:  # noqa: ANN401 - a reply of its kind
    return {"label": _known(task, reply.label)}


def _of_labels(task: TaskSpec, reply: Any, _text: str) -> dict[str, Any]:  # noqa: ANN401 - a reply of its kind
    return {"labels": sorted({_known(task, name) for name in reply.labels})}


def _of_spans(task: TaskSpec, reply: Any, text: str) -> dict[str, Any]:  # noqa: ANN401 - a reply of its kind
    found: list[dict[str, Any]] = []
    after = 0
    for quote in reply.spans:
        label, start = _known(task, quote.label), text.find(quote.text, after)
        if start < 0 or quote.text != quote.text.strip():
            why = "a quoted mention does not stand in the article after the one before it, letter by letter"
            raise _RefusedError(Problem("words", why))
        after = start + len(quote.text)
        found.append({"start": start, "end": after, "label": label})
    # It was asked for these types alone: of others its silence says nothing.
    return {"spans": found, "types": list(names_of(task))}


def _of_values(task: TaskSpec, reply: Any, _text: str) -> dict[str, Any]:  # noqa: ANN401 - a reply of its kind
    ranges = {one.name: one for one in task.dimensions}
    if reply.values.keys() != ranges.keys():
        raise _RefusedError(Problem("schema", "values has not exactly the dimensions listed above"))
    for name, value in reply.values.items():
        if not ranges[name].holds(value):
            one = ranges[name]
            raise _RefusedError(Problem("scale", f"the value of {name} is outside {one.low:g} to {one.high:g}"))
    return {"values": dict(reply.values)}


def _of_signals(task: TaskSpec, reply: Any, _text: str) -> dict[str, Any]:  # noqa: ANN401 - a reply of its kind
    tags = {one.name: one.tag_names for one in task.signals}
    if reply.signals.keys() != tags.keys():
        raise _RefusedError(Problem("schema", "signals has not exactly the categories listed above"))
    for name, said in reply.signals.items():
        if said.tag not in tags[name]:
            raise _RefusedError(Problem("unknown label", f"the tag of {name} is none of its tags listed above"))
        if not -1 <= said.score <= 1:
            raise _RefusedError(Problem("scale", f"the score of {name} is outside -1 to 1"))
        if (said.score == 0) != (said.tag == tags[name][-1]):
            raise _RefusedError(Problem("scale", f"{name} has score 0 with a tag, or tag none with another score"))
    return {"signals": {name: {"score": said.score, "tag": said.tag} for name, said in reply.signals.items()}}


_TARGETS: Mapping[str, Callable[[TaskSpec, Any, str], dict[str, Any]]] = {
    "classification": _of_label, "multilabel": _of_labels, "ner": _of_spans, "regression": _of_values, "signals": _of_signals,
}  # fmt: skip

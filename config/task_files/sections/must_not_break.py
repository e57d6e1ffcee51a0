"""Answers that every candidate must give before the gate may promote it: short examples in the task file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from config.kinds import catalog as kinds
from config.kinds.kind import Answer, Kind, Measures
from config.task_files.sections.section import Section

if TYPE_CHECKING:
    from config.tasks import TaskSpec

MOST_EXAMPLES = 500
_MOST_CHARS = 100_000
_ENTITIES = "entities"


class Example(Section):
    """A text and what must be said of it, under the keys of the task's kind: `label`, `labels`, `spans`, `values`, `signals`.

    Where spans are asked for, `entities` may name them by their words instead of by their places.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    text: Annotated[str, Field(min_length=1, max_length=_MOST_CHARS, description="The text.")]
    within: Annotated[float | None, Field(gt=0, allow_inf_nan=False, description="How far a number, or a score, may be off.")] = (
        None
    )

    @property
    def said(self) -> dict[str, Any]:
        """What the file says of the text, unchecked."""
        return dict(self.model_extra or {})


def target_of(example: Example, task: TaskSpec) -> dict[str, Any]:
    """Return the target of an example, under the labels in force. Raises `ValueError`, in words, where it has none."""
    kind, said = kinds.get(task.kind), example.said
    if kind.positional and _ENTITIES in said:
        named = _listed(said.pop(_ENTITIES))
        said = {**said, kind.key: [_place(one, example.text) for one in named]}
    try:
        kind.target.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or kind.key
        message = f"`{key}`: {first['msg'].removeprefix('Value error, ')}; kind {kind.name} needs `{kind.key}` beside `text`"
        raise ValueError(message) from None
    target = kind.renamed(kind.as_read(said), lambda label: task.renames.get(label, label))
    if (problem := _problem(kind, target, example, task)) is not None:
        raise ValueError(problem)
    return target


def still_asked(task: TaskSpec) -> tuple[Example, ...]:
    """Return the examples of a task, with its labels in force, that a model can still answer: none of a label that is gone."""
    kind = kinds.get(task.kind)

    def answerable(example: Example) -> bool:
        try:
            return task.gone.isdisjoint(kind.labels(target_of(example, task)))
        except ValueError:
            return False  # of a closed task whose label was retired

    return tuple(filter(answerable, task.must_not_break)) if task.gone else task.must_not_break


def broken(example: Example, task: TaskSpec, answer: Answer) -> str | None:
    """Return, in words, how a valid answer differs from what an example asks for; None where it says that."""
    kind, target = kinds.get(task.kind), target_of(example, task)
    given = kind.confirmed(kind.plain(answer))
    if example.within is not None and isinstance(kind, Measures):
        same = all(
            name in given[kind.key] and _near(right, given[kind.key][name], example.within)
            for name, right in target[kind.key].items()
        )
    else:
        same = kind.relation(target, given) == "same"
    return None if same else f"{kind.in_words(given)}, and {kind.in_words(target)} must be answered"


def misfit(task: TaskSpec) -> str | None:
    """Return, in words, which example of a task does not fit it; None where all do."""
    for number, example in enumerate(task.must_not_break, start=1):
        try:
            target_of(example, task)
        except ValueError as error:
            return f"must_not_break, example {number} ({example.text[:60]!r}): {error}"
    return None


def _problem(kind: Kind, target: Mapping[str, Any], example: Example, task: TaskSpec) -> str | None:
    if example.within is not None and not isinstance(kind, Measures):
        return f"`within` is for numbers, and kind {kind.name} has labels; remove it"
    if (misplaced := kind.misplaced(target, example.text)) is not None:
        return misplaced
    if target.get("partial"):
        return "`partial` leaves open what else must be answered; name everything and remove it"
    if isinstance(kind, Measures):
        return kind.unfit(target, task.declared)
    refused = next((name for name in kind.labels(target) if not task.accepts_label(name)), None)
    return None if refused is None else f"label {refused!r} is not one of label_names"


def _listed(entities: object) -> list[Any]:
    if not isinstance(entities, list | tuple):
        message = f"`{_ENTITIES}` must be a list such as `[{{text: Berlin, label: LOC}}]`"
        raise ValueError(message)  # noqa: TRY004 - what is wrong with a file
    return list(entities)


def _place(entity: object, text: str) -> dict[str, Any]:
    """Return the span of an entity that is named by its words, which must occur once."""
    if not isinstance(entity, Mapping) or entity.keys() != {"text", "label"} or not isinstance(entity["text"], str):
        message = f"each of `{_ENTITIES}` has the keys text and label, such as `{{text: Berlin, label: LOC}}`"
        raise ValueError(message)
    words = entity["text"]
    if not words or (found := text.count(words)) != 1:
        often = "is empty" if not words else f"occurs {found} times in the text"
        message = f"entity {words!r} {often}; give its place with `spans: [{{start: 0, end: 6, label: LOC}}]`"
        raise ValueError(message)
    start = text.index(words)
    return {"start": start, "end": start + len(words), "label": entity["label"]}


def _near(right: Any, given: Any, within: float) -> bool:  # noqa: ANN401 - a number, or a signal
    if isinstance(right, Mapping):
        tags = {right.get("tag"), given.get("tag")} - {None}
        return len(tags) <= 1 and abs(right["score"] - given["score"]) <= within
    return bool(abs(right - given) <= within)

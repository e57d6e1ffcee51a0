"""What an event says a text's answer is: whether it fits its task and its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from config.errors import DeadLetterError
from config.foreign.characters import SHOWN, in_json_schema, shows_nothing
from config.kinds import catalog as kinds
from config.kinds.kind import Measures
from config.tasks import TaskSpec
from consumers.events.errors import explain

NOT_BLANK = in_json_schema(SHOWN)
"""What `not_blank` asks for, as JSON Schema can say it: it knows no marks."""


def not_blank(text: str) -> str:
    """Return `text`. Raises ValueError when nothing stands in it."""
    if shows_nothing(text):
        message = "it is empty or only white space and invisible characters; fill it in or leave it out"
        raise ValueError(message)
    return text


def read_target(task: TaskSpec, target: Mapping[str, Any], text: str | None = None) -> dict[str, Any]:
    """Return a target of a task as it was sent, but for its labels and numbers: those as they are read.

    Raises `DeadLetterError`, with the field, where the target does not fit the task or does not fit `text`.
    """
    kind = kinds.get(task.kind)
    try:
        kind.target.model_validate(target)
    except ValidationError as error:
        raise explain(error, prefix="target.") from None
    read = kind.as_read(target)
    for name in kind.labels(read):
        if not task.accepts_label(name):
            reason = (
                f"target: label {name!r} is not one of task {task.name!r}: {', '.join(task.label_names)}; "
                "use one of them, or add the label to the task file"
            )
            raise DeadLetterError(reason, field="target")
    if isinstance(kind, Measures) and (unfit := kind.unfit(read, task.declared)) is not None:
        field = f"target.{kind.key}"
        reason = f"{field}: {unfit}; correct it, or change {kind.declares} in the file of task {task.name!r}"
        raise DeadLetterError(reason, field=field)
    problem = None if text is None else kind.misplaced(read, text)
    if problem is not None:
        field = f"target.{kind.key}"
        reason = f"{field}: {problem}; offsets count code points of title, blank line, body"
        raise DeadLetterError(reason, field=field)
    return read

"""What a model answered, as `prediction` events carry it: checked by its task's kind, and read again from rows of any age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from config.errors import DeadLetterError
from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.events.errors import explain


def check_answer(task: TaskSpec, answer: Mapping[str, Any], text: str) -> None:
    """Raise `DeadLetterError` for an answer that does not fit its task's kind or does not fit `text`."""
    kind = kinds.get(task.kind)
    try:
        kind.answer.model_validate(answer)
    except ValidationError as error:
        raise explain(error, prefix="answer.") from None
    if (problem := kind.misplaced(answer, text)) is not None:
        field = f"answer.{kind.key}"
        reason = f"{field}: {problem}"
        raise DeadLetterError(reason, field=field)


def stored_answer(answer: object, text: str) -> dict[str, Any] | None:
    """Return what a stored answer says of `text`, under labels as they are read today; None when it cannot be read.

    Earlier versions stored answers unseen, and a task may be of another kind by now: nothing here raises.
    """
    if not isinstance(answer, Mapping):
        return None
    try:
        kind = kinds.of(answer)
        kind.answer.model_validate(answer)
    except (LookupError, ValidationError):
        return None
    return kind.plain(answer) if kind.misplaced(answer, text) is None else None


def target_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target that says the same as an answer: what a confirmation of it confirms."""
    return kinds.of(answer).confirmed(answer)

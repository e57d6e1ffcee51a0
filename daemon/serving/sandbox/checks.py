"""Whether the answers of a candidate are answers of its kind, say what was compared, and keep what must not break."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from config.kinds import catalog as kinds
from config.kinds.kind import Answer, Measures
from config.task_files.sections import must_not_break
from config.tasks import TaskSpec
from config.words import counted
from perennial_artifact.description import Description
from trainers.learners.protocols import Aligner

MOST_DIFFERENT = 0.05
"""Share of the compared answers that may say something else: a text in a batch and alone is added up in another order, and a
close call may then go the other way. Of fewer than twenty one may."""
_SHOWN_CHARS = 80
_NAMED = 3


class WrongError(Exception):
    """An answer that no candidate may give; the message says of which text and what is wrong."""


def check_shape(text: str, answer: Answer, task: TaskSpec, description: Description) -> None:
    """Raise `WrongError` for an answer that is not one of the task's kind, or names what the model does not know."""
    kind = kinds.get(task.kind)
    try:
        json.dumps(answer, allow_nan=False)
    except ValueError:
        raise WrongError(_of(text, "holds a number that is not finite")) from None
    try:
        kind.answer.model_validate(answer)
        said = kind.plain(answer)
    except (ValidationError, LookupError, TypeError, ValueError) as error:
        raise WrongError(_of(text, f"is none of kind {kind.name}: {_first(error)}")) from None
    if (misplaced := kind.misplaced(said, text)) is not None:
        raise WrongError(_of(text, f"cannot be said of it: {misplaced}"))
    if isinstance(kind, Measures):
        unfit = kind.unfit(kind.confirmed(said), task.declared) if task.declared else None
        if unfit is not None:
            raise WrongError(_of(text, f"does not fit the task: {unfit}"))
        return
    known = frozenset(description.labels)
    if known and (unknown := sorted(set(kind.labels(said)) - known)):
        raise WrongError(_of(text, f"names {unknown[0]!r}, which is not among the labels of the model"))


def differences(answered: Sequence[tuple[str, Answer, Mapping[str, Any]]], task: TaskSpec, align: Aligner) -> int:
    """Return how many answers say something else than was recorded in the comparison: text, answer and that, each.

    Raises `WrongError` where they are more than `MOST_DIFFERENT` of them all.
    """
    kind = kinds.get(task.kind)
    differ = []
    for text, answer, recorded in answered:
        ours, theirs = (kind.confirmed(kind.plain(one)) for one in (align(text, [answer])[0], recorded))
        if ours != theirs and kind.relation(ours, theirs) != "same":
            differ.append((text, kind.in_words(ours), kind.in_words(theirs)))
    if len(differ) > max(MOST_DIFFERENT * len(answered), min(len(answered) - 1, 1)):
        first, said, compared = differ[0]
        message = (
            f"{len(differ)} of {len(answered)} answers differ from those that were compared; the first is to "
            f"{first[:_SHOWN_CHARS]!r}: {said} instead of {compared}"
        )
        raise WrongError(message)
    return len(differ)


def broken_by(example: must_not_break.Example, answer: Answer, task: TaskSpec) -> str | None:
    """Return, in words, how an answer breaks an example of the task file; None where it does not."""
    what = must_not_break.broken(example, task, answer)
    return None if what is None else f"it answers {example.text[:_SHOWN_CHARS]!r} with {what}"


def check_examples(broken: Sequence[str], asked: int) -> None:
    """Raise `WrongError` where examples of the task file are broken; it names the first ones."""
    if not broken:
        return
    told = "; ".join(broken[:_NAMED])
    more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    are = "is" if len(broken) == 1 else "are"
    message = f"{len(broken)} of {counted(asked, 'example')} of must_not_break {are} broken: {told}{more}"
    raise WrongError(message)


def _of(text: str, problem: str) -> str:
    return f"its answer to {text[:_SHOWN_CHARS]!r} {problem}"


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {error}"

"""A person corrects a label that was wrong: checked here, an event in the log, and put in force by the leading daemon."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from config.errors import DeadLetterError, UserError
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.events.correcting import LabelCorrection
from consumers.events.targets import read_target
from consumers.log.open import publish
from consumers.rows.arriving.event_rows import canonical_json
from registry.people.audit import By, refuse_named

if TYPE_CHECKING:  # brings LanceDB, which a page that nobody has opened needs not
    from consumers.buffer.reader import BufferReader
    from consumers.rows.labels.label_corrections import LabelRow
    from registry.store import Registry


class At(NamedTuple):
    """Where labels are, and what is done with them is recorded."""

    settings: Settings
    tasks: Mapping[str, TaskSpec]
    registry: Registry
    buffer: BufferReader


def correct(at: At, label_id: str, said: Mapping[str, Any], *, annotator: str, by: By) -> bool:
    """Publish, durably, that a label says something else; return whether a daemon runs that puts it in force, else the next does.

    Raises `UserError`, and publishes nothing, for a label that is not stored, for feedback, for a target that does not fit the
    task or the text, and for one that the label has already.
    """
    label = at.buffer.labels.find(label_id)
    if label is None:
        message = (
            f"no label {label_id[:200]!r} is stored, so nothing was corrected: it never came, is older than "
            "buffer.retention_days, or was erased. Labels are called by the event id they came under"
        )
        raise UserError(message)
    refuse_named(by.reason, {"label": label_id, "article": label.article_id})
    target = _checked(at.tasks, label, said)
    if canonical_json(target) == canonical_json(label.target):
        message = f"label {label_id} says that already; nothing was changed"
        raise UserError(message)
    event = LabelCorrection(
        event_id=f"correct-{secrets.token_hex(8)}", occurred_at=at.registry.clock(), source=by.actor[:200], task=label.task,
        label_id=label_id, target=target, annotator=annotator, article_id=label.article_id, note=by.reason[:1_000] or None,
    )  # fmt: skip
    publish(at.settings, event)
    return at.registry.lease.holder() is not None


def obstacle(tasks: Mapping[str, TaskSpec], label: LabelRow) -> str:
    """Return why a label cannot be corrected, and what to do instead; empty where it can be."""
    if label.verdict is not None:
        return f"{label.label_id} is feedback of a user, not a label: `perennial feedback reject` takes it out"
    if label.is_made:
        return f"{label.label_id} is a label that no person gave: label its text at the desk"
    if label.task not in tasks:
        return f"task {label.task!r} of label {label.label_id} has no task file here: put it back first"
    return ""


def _checked(tasks: Mapping[str, TaskSpec], label: LabelRow, said: Mapping[str, Any]) -> dict[str, Any]:
    if why_not := obstacle(tasks, label):
        message = f"{why_not}; nothing was corrected"
        raise UserError(message)
    try:
        return read_target(tasks[label.task], said, label.text)
    except DeadLetterError as error:
        message = f"{error.reason}; nothing was corrected"
        raise UserError(message) from error

"""The feedback event, as serving and Kafka take it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypedDict

TOPIC = "perennial.feedback"
"""The topic that serving publishes feedback to."""

# The order of serving's own events: the same feedback gives the same bytes.
_ORDER = (
    "schema_version", "event_id", "occurred_at", "source", "task", "article_id", "text", "target", "type", "user_id", "verdict",
    "prediction_id", "model_version",
)  # fmt: skip


class Feedback(TypedDict):
    """What a person said of an answer. One of `prediction_id`, `article_id` and `text` says which text; None counts as not given.

    `docs/post-feedback.md` says what each field means.
    """

    user_id: str
    verdict: Literal["correction", "confirmation"]
    target: NotRequired[Mapping[str, Any] | None]
    """A correction needs it; a confirmation that cites an answer (`prediction_id`) confirms that one.

    What is right: `{"label": "politics"}`, or `{"spans": [{"start": 0, "end": 12, "label": "ORG"}]}` in code points.
    """
    prediction_id: NotRequired[str | None]
    article_id: NotRequired[str | None]
    text: NotRequired[str | None]
    model_version: NotRequired[str | None]
    occurred_at: NotRequired[datetime | None]
    """With a time zone. None: now."""
    source: NotRequired[str | None]
    event_id: NotRequired[str | None]
    """The app's own key: feedback sent again under it is the same event. None: a new one."""


def event(task: str, fields: Feedback) -> dict[str, Any]:
    """Return the event, with its own id unless the app gave one.

    Raises `TypeError` or `ValueError` for what is no feedback.
    """
    if unknown := sorted(fields.keys() - Feedback.__annotations__.keys()):
        message = f"feedback has no field {', '.join(unknown)}; it has {', '.join(Feedback.__annotations__)}"
        raise TypeError(message)
    given = {"type": "feedback", "schema_version": 1, "task": task, **fields, "event_id": fields.get("event_id") or new_id()}
    moment = fields.get("occurred_at")
    if moment is not None:
        given["occurred_at"] = in_utc(moment)
    return {name: given[name] for name in _ORDER if given.get(name) is not None}


def new_id() -> str:
    """Return an event id that no other call has."""
    return f"fb-{uuid.uuid4().hex}"


def in_utc(moment: datetime) -> str:
    """Return the ISO form. Raises `ValueError` for a time without zone."""
    if moment.tzinfo is None:
        message = f"occurred_at is {moment.isoformat()}, which has no time zone; give one, such as datetime.now(UTC)"
        raise ValueError(message)
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_bytes(body: Mapping[str, Any]) -> bytes:
    """Return JSON in UTF-8. Raises `ValueError` for a number that JSON does not have, or half of a surrogate pair."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

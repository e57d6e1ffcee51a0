"""The published JSON Schemas of the events: made from the models that ingest reads with, and held to them by a test.

They say all that a JSON Schema can say. What it cannot, docs/kafka.md lists: that a task is defined, a label allowed, a span
inside its text, a time in the calendar and not ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from config.kinds import catalog as kinds
from consumers.events.schemas import EVENT_TYPES
from consumers.events.targets import NOT_BLANK

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of every event type and of every kind's target, keyed by name."""
    schemas = {name: _of_event(name) for name in EVENT_TYPES}
    schemas |= {f"target.{kind.name}": kind.target.model_json_schema() for kind in kinds.every()}
    return {name: {"$schema": _DRAFT, **schema} for name, schema in schemas.items()}


def _of_event(name: str) -> dict[str, Any]:
    schema = EVENT_TYPES[name].model_json_schema()
    # A model knows its own type; an event must say it.
    schema["required"] = ["type", *(field for field in schema.get("required", ()) if field != "type")]
    return schema | _RULES.get(name, {})


def _given(part: str, **how: object) -> dict[str, Any]:
    """Return the schema of an object that carries `part`, not null."""
    return {"required": [part], "properties": {part: how or {"not": {"type": "null"}}}}


def _not_given(part: str, *also: object) -> dict[str, Any]:
    return {"properties": {part: {"enum": [None, *also]}}}


def _any_of(*parts: str) -> dict[str, Any]:
    return {"anyOf": [_given(part) for part in parts]}


def _one_of(*choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"oneOf": [{"allOf": list(choice)} for choice in choices]}


# What goes for several fields together; pydantic's own schema says nothing of it.
_RULES: dict[str, dict[str, Any]] = {
    "article": {"anyOf": [_given(part, pattern=NOT_BLANK) for part in ("title", "body")]},
    "label": _any_of("text", "article_id"),
    "feedback": {
        "allOf": [
            _any_of("prediction_id", "article_id", "text"),
            {"anyOf": [_given("target"), {"allOf": [_given("verdict", const="confirmation"), _given("prediction_id")]}]},
        ]
    },
    "feedback_review": _one_of(
        [_given("event_ids", minItems=1), _not_given("user_id"), _not_given("alarm"), _not_given("task")],
        [_not_given("event_ids", []), _given("user_id"), _not_given("alarm"), _not_given("task")],
        [_not_given("event_ids", []), _not_given("user_id"), _given("alarm"), _given("task")],
    ),
    "task_schema": _any_of("renames", "splits", "retired", "added", "undoes"),
    "erase": _any_of("user_id", "article_id"),
}

"""The published AsyncAPI document: every topic, who writes it, and what its events look like."""

from __future__ import annotations

from typing import Any

from consumers.events.json_schemas import json_schemas
from consumers.events.schemas import (
    ARTICLES_TOPIC,
    EVENT_TYPES,
    FEEDBACK_TOPIC,
    LIFECYCLE_TOPIC,
    PREDICTIONS_TOPIC,
    TOPIC_OF_TYPE,
)

_VERSION = "3.0.0"
_ABOUT = {
    ARTICLES_TOPIC: "Crawled articles, keyed by article id, so that revisions stay in order.",
    FEEDBACK_TOPIC: "Labels, feedback, decisions about it, requests to retrain, to erase and to undo imports, changes of labels.",
    PREDICTIONS_TOPIC: "The answers that serving gave, which feedback may cite.",
    LIFECYCLE_TOPIC: "What happens to the models, keyed by task; CloudEvents 1.0 in binary mode.",
}
_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NONE: dict[str, Any] = {"type": ["string", "null"]}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_NAMES: dict[str, Any] = {"type": "object", "additionalProperties": _TEXT}
_FLAG: dict[str, Any] = {"type": "boolean"}
_LEVEL: dict[str, Any] = {"enum": ["DEPLOY", "REVIEW", "FAIL", None]}
_MOVED: dict[str, Any] = {
    "version": _TEXT, "previous": _TEXT_OR_NONE, "actor": _TEXT, "reason": _TEXT, "generation": {"type": "integer"},
    "uri": {"type": "string", "format": "uri-reference"}, "run_id": _TEXT, "reasons": _TEXTS, "readiness": _LEVEL,
    "measured": _TEXT, "decides": _TEXT,
}  # fmt: skip
OUTGOING: dict[str, dict[str, Any]] = {
    "training.started": {
        "run_id": _TEXT, "reason": _TEXT, "full": _FLAG, "refresh": _FLAG, "requests": _TEXTS,
        "requests_served": {"type": "integer"},
    },
    "training.finished": {
        "run_id": _TEXT, "verdict": {"enum": ["promote", "keep", "insufficient_evidence"]}, "reasons": _TEXTS,
        "version": _TEXT_OR_NONE, "refresh": _FLAG, "sandbox": {"enum": ["passed", "failed"]}, "readiness": _LEVEL,
        "look": {"type": "integer"}, "measured": _TEXT, "decides": _TEXT,
    },
    "label.requested": {"run_id": _TEXT, "pool": _TEXT, "lane": _TEXT, "requests": _TEXTS},
    "labels.changed": {
        "change": _TEXT, "does": _TEXTS, "renames": _NAMES, "splits": {"type": "object", "additionalProperties": _TEXTS},
        "retired": _TEXTS, "added": _TEXTS, "undoes": _TEXT_OR_NONE, "labels": _TEXTS, "actor": _TEXT, "reason": _TEXT,
    },
    "training.failed": {"run_id": _TEXT, "error": _TEXT},
    "model.promoted": _MOVED,
    "model.rolled_back": _MOVED,
    "model.pinned": _MOVED,
    "model.unpinned": _MOVED,
    "alarm.raised": {
        "alarm": {"enum": ["label_flip"]}, "move": _TEXT, "reason": _TEXT, "next": _TEXT, "remedy": _TEXT, "runbook": _TEXT
    },
}  # fmt: skip
"""What each outgoing event may hold beside `event_id`, `occurred_at`, `type` and `task`."""


def outgoing_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of one type of outgoing event. Further fields may join; readers pass over what they do not know."""
    common = {"event_id": _TEXT, "occurred_at": {"type": "string", "format": "date-time"}, "type": {"const": kind}, "task": _TEXT}
    return {"type": "object", "required": list(common), "properties": {**common, **OUTGOING[kind]}}


def document(version: str) -> dict[str, Any]:
    """Return the AsyncAPI document of this `version` of the program."""
    schemas = json_schemas()
    incoming = {name: {**schemas[name], "$id": f"{name}.schema.json"} for name in EVENT_TYPES}
    messages = {
        **{name: _message(name, TOPIC_OF_TYPE[name], schema) for name, schema in incoming.items()},
        **{kind: _message(kind, LIFECYCLE_TOPIC, outgoing_schema(kind)) for kind in OUTGOING},
    }
    topics = {**TOPIC_OF_TYPE, **dict.fromkeys(OUTGOING, LIFECYCLE_TOPIC)}
    return {
        "asyncapi": _VERSION,
        "info": {"title": "Perennial", "version": version, "description": "Events in and out, over Kafka or the embedded log."},
        "defaultContentType": "application/json",
        "channels": {
            topic: {
                "address": topic,
                "description": about,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages if topics[name] == topic},
            }
            for topic, about in _ABOUT.items()
        },
        "operations": {
            topic.rpartition(".")[2]: {
                # Seen from the daemon: it receives what apps send.
                "action": "send" if topic == LIFECYCLE_TOPIC else "receive",
                "channel": {"$ref": f"#/channels/{topic}"},
            }
            for topic in _ABOUT
        },
        "components": {"messages": messages},
    }


def _message(name: str, topic: str, schema: dict[str, Any]) -> dict[str, Any]:
    about = str(schema.get("description", "")).split("\n\n", maxsplit=1)[0]
    return {"name": name, "title": name, "summary": about or f"An event of {topic}.", "payload": schema}

"""The published JSON Schemas and ingest say the same of every event, but for what a JSON Schema cannot say."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import DeadLetterError
from consumers.events import parsing
from consumers.events import schemas as events
from consumers.events.json_schemas import json_schemas
from tests.support.sample_events import NOW, TASKS, VALID

SCHEMAS = json_schemas()
VALIDATORS = {name: jsonschema_rs.Draft202012Validator(schema) for name, schema in SCHEMAS.items()}

# What docs/kafka.md lists as beyond a schema, by the words of the refusal.
BEYOND = re.compile(
    "is not defined here|is not one of task|ends outside the text|overlap|ends at|content_sha256 does not fit|"
    "time|year|serial number|day and month|bytes in UTF-8|form NFC|"
    r"target\.|answer\.|half of a surrogate pair"
)

POOL: list[Any] = [
    None, True, False, 0, 1, 1.0, 2, -1, 7.0, 7.5, 10**12, 20240501, 20240501.0, 1714564800,
    "", " ", "\n", "x", "label", "article", "é", "e\u0301", "a\u200bb", "a b", " a", "a ", "x" * 101, "x" * 201, "x" * 513,
    "ü" * 300, "\u200b", "\u3164", "\u2800", "\uffff",
    "2024-05-01T10:00:00Z", "2024-05-01", "20240501", "2024-05-01T10:00:00", "Wed, 01 May 2024 10:00:00 GMT", "1714564800",
    "2024",
    "45413", "soon", "accept", "confirmation", "correction", "news-topics", "news-entities", "gold", "0" * 64,
    [], [1], ["a"], ["a", "b"], ["a\n"], {}, {"a": "b"}, {"a": ""}, {"a": 1},
    {"label": "economy"}, {"label": " economy\n"}, {"label": "x", "y": 1}, {"label": 1},
    {"spans": []}, {"spans": [{"start": 0, "end": 3.0, "label": "ORG"}]}, {"spans": [{"start": 0, "end": 3.5, "label": "ORG"}]},
    {"epochs": 2, "learning_rate": 1}, {"epochs": 3.0, "batch_size": None}, {"epochs": 0}, {"learning_rate": 2},
    {"batch_size": "8"}, {"gradient_accumulation": True},
    {"spans": [{"start": True, "end": 3, "label": "ORG"}]}, {"spans": [], "partial": "yes"},
]  # fmt: skip
MORE = ("training", "title", "body", "text", "prediction_id", "document_id", "alarm", "colour", "")
NAMES = sorted({*(name for event in VALID for name in event), *MORE})
FEEDBACK = next(event for event in VALID if event["type"] == "feedback")
CONFIRMATION = {name: value for name, value in FEEDBACK.items() if name != "target"} | {
    "verdict": "confirmation",
    "prediction_id": "p",
}


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    event = dict(draw(st.sampled_from([*VALID, CONFIRMATION])))
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=3)):
        if draw(st.booleans()):
            event[name] = draw(st.sampled_from(POOL))
        else:
            event.pop(name, None)
    return event


def refusal(payload: Any) -> str | None:
    try:
        parsing.parse(json.dumps(payload).encode(), tasks=TASKS, now=NOW)
    except DeadLetterError as error:
        return error.reason
    return None


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_ingest_takes_what_the_schema_accepts_and_nothing_else(payload: dict[str, Any]) -> None:
    kind = payload.get("type")
    reason = refusal(payload)
    if not isinstance(kind, str) or kind not in VALIDATORS or kind.startswith("target."):
        assert reason is not None
        return
    faults = [error.message for error in VALIDATORS[kind].iter_errors(payload)]
    if reason is None:
        assert not faults
    elif not BEYOND.search(reason):
        assert faults, reason


TARGETS = [value for value in POOL if isinstance(value, dict)]


@pytest.mark.parametrize("target", TARGETS, ids=json.dumps)
@pytest.mark.parametrize(("task", "kind"), [("news-topics", "classification"), ("news-entities", "ner")])
def test_targets_are_what_their_schema_says(task: str, kind: str, target: dict[str, Any]) -> None:
    label = {"type": "label", "event_id": "l", "occurred_at": "2024-05-01", "task": task, "text": "Oil falls", "target": target}
    reason = refusal(label)
    valid = VALIDATORS[f"target.{kind}"].is_valid(target)
    assert valid == (reason is None or "is not one of task" in reason), reason


@pytest.mark.parametrize("payload", VALID, ids=lambda payload: payload["type"])
def test_each_schema_accepts_its_event_and_asks_for_the_type(payload: dict[str, Any]) -> None:
    kind = payload["type"]
    assert VALIDATORS[kind].is_valid(payload)
    assert not VALIDATORS[kind].is_valid({name: value for name, value in payload.items() if name != "type"})
    assert all(not VALIDATORS[other].is_valid(payload) for other in events.EVENT_TYPES if other != kind)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_the_schemas_are_schemas(schema: dict[str, Any]) -> None:
    jsonschema_rs.Draft202012Validator(schema)
    assert jsonschema_rs.meta.is_valid(schema)
    assert json.loads(json.dumps(schema)) == schema

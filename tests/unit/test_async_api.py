"""The AsyncAPI document speaks of every topic and event, and the events that the daemon sends are what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest

from consumers.events import async_api
from consumers.events.schemas import DEAD_LETTERS_TOPIC, EVENT_TYPES, TOPICS
from registry import promotion
from registry.store import Registry
from tests.support.registries import TASK, add_version

DOCUMENT = async_api.document("1.2.3")
DOCS = Path(__file__).parents[2] / "docs"


def test_every_topic_and_event_stands_in_it_once() -> None:
    assert DOCUMENT["asyncapi"].startswith("3.")
    assert set(DOCUMENT["channels"]) == set(TOPICS) - {DEAD_LETTERS_TOPIC}
    named = [name for channel in DOCUMENT["channels"].values() for name in channel["messages"]]
    assert sorted(named) == sorted([*EVENT_TYPES, *async_api.OUTGOING])
    assert set(DOCUMENT["components"]["messages"]) == set(named)


def test_each_reference_names_something_that_is_there() -> None:
    for reference in re.findall(r'"\$ref": "#/((?:components|channels)/[^"]+)"', json.dumps(DOCUMENT)):
        at = DOCUMENT
        for part in reference.split("/"):
            at = at[part]
        assert at


def test_it_is_the_table_of_the_docs() -> None:
    text = (DOCS / "follow-events.md").read_text()
    for kind, fields in async_api.OUTGOING.items():
        assert f"`{kind}`" in text
        if not kind.startswith("model."):
            (row,) = (line for line in text.splitlines() if line.startswith(f"| `{kind}`"))
            assert set(fields) <= set(re.findall(r"`([a-z_]+)`", row))


def test_what_the_registry_sends_is_what_it_says(tmp_path: Path) -> None:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as registry:
        first, second = add_version(registry).name, add_version(registry).name
        promotion.promote(registry, TASK, first, expected=None, actor="ann", reason="the first")
        promotion.promote(registry, TASK, second, expected=first, actor="ann", reason="better")
        promotion.rollback(registry, TASK, actor="ann", reason="worse")
        promotion.pin(registry, TASK, actor="ann", reason="a holiday")
        events = [dict(row.event) for row in registry.outbox.pending()]
    assert [event["type"] for event in events] == ["model.promoted", "model.promoted", "model.rolled_back", "model.pinned"]
    for event in events:
        schema = async_api.outgoing_schema(event["type"])
        jsonschema_rs.validate(schema, event)
        assert event.keys() <= schema["properties"].keys()


def test_a_broken_event_is_not_what_it_says() -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(async_api.outgoing_schema("training.failed"), {"type": "training.failed", "task": "t"})

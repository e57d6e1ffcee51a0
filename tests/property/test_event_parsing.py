"""Whatever bytes arrive, parsing ends in an event or a dead letter; what it lets through survives writing and reading."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.errors import DeadLetterError
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_tasks
from consumers.events import parsing
from consumers.events import schemas as events

TASKS = load_tasks(SHIPPED_TASKS_DIR)
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
COMMON = {"event_id": "e-1", "occurred_at": "2024-05-01T10:00:00Z"}
VALID: tuple[dict[str, Any], ...] = (
    {"type": "article", **COMMON, "article_id": "a-1", "title": "Rates rise", "body": "The ECB acted.", "url": "u"},
    {"type": "label", **COMMON, "task": "news-topics", "text": "Rates", "target": {"label": "economy"}, "anchor": True},
    {
        "type": "feedback", **COMMON, "task": "news-entities", "text": "The ECB acted.", "user_id": "u", "verdict": "correction",
        "target": {"spans": [{"start": 4, "end": 7, "label": "ORG"}, {"start": 0, "end": 3, "label": "GPE"}], "partial": False},
    },
    {
        "type": "prediction", **COMMON, "prediction_id": "p", "task": "news-topics", "model_version": "news-topics/v1",
        "text": "t", "answer": {"label": "x", "scores": {"x": 0.5}},
    },
    {"type": "retrain", **COMMON, "task": "news-topics", "full": True, "reason": "r"},
    {"type": "task_schema", **COMMON, "task": "news-topics", "renames": {"a": "b"}},
    {"type": "erase", **COMMON, "article_id": "a"},
    {"specversion": "1.0", "id": "c", "source": "s", "type": "x.retrain", "time": COMMON["occurred_at"],
     "data": {"task": "news-topics", "reason": "r"}},
)  # fmt: skip

# Every character, lone surrogates too: json.dumps escapes them, as a careless sender does.
TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**305) | st.floats() | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12)
INTERESTING = st.sampled_from(
    ["", " ", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", 253402300800, -1e18, "1e400", "label"]
)


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [prefix] * bool(prefix) + [path for name, part in parts for path in paths(part, (*prefix, name))]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    event = json.loads(json.dumps(draw(st.sampled_from(VALID))))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(paths(event) or [("type",)]))
        parent = event
        for name in path[:-1]:
            parent = parent[name]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                parent[path[-1]] = draw(JSON | INTERESTING)
            case "remove":
                del parent[path[-1]]
            case "add" if isinstance(parent, dict):
                parent[draw(TEXT)] = draw(JSON)
    return event


def outcome(value: bytes) -> events.AnyEvent | None:
    try:
        return parsing.parse(value, tasks=TASKS, now=NOW)
    except DeadLetterError as error:
        refused = error
    # Reason and field must be storable themselves: text of a bounded length.
    assert 0 < len(refused.reason.encode("utf-8")) < 20_000
    assert len((refused.field or "").encode("utf-8")) < 1_000
    return None


@given(st.binary(max_size=300))
def test_any_bytes_end_as_an_event_or_a_dead_letter(value: bytes) -> None:
    outcome(value)


@given(JSON)
def test_any_json_ends_as_an_event_or_a_dead_letter(payload: Any) -> None:
    outcome(json.dumps(payload).encode())


@settings(max_examples=200)
@example(VALID[0] | {"author": None, "": None, "tags": [None, {"name": None}]})
@given(mutated())
def test_a_mutated_event_is_refused_or_can_be_kept(payload: dict[str, Any]) -> None:
    event = outcome(json.dumps(payload).encode())
    if event is None:
        return
    written = events.to_bytes(event)
    assert parsing.parse(written, tasks=TASKS, now=NOW) == event
    # What passes can be a row: every string is Unicode text, the time fits microseconds.
    strings = {name: value for name, value in event.model_dump().items() if isinstance(value, str)}
    table = pa.Table.from_pylist([strings | {"json": written.decode(), "at": event.occurred_at}])
    assert table.column("at")[0].as_py() == event.occurred_at


@given(st.sampled_from(VALID), st.data())
def test_a_cut_or_damaged_event_ends_as_an_event_or_a_dead_letter(payload: dict[str, Any], data: st.DataObject) -> None:
    value = bytearray(json.dumps(payload).encode())
    for _ in range(data.draw(st.integers(0, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    outcome(bytes(value[: data.draw(st.integers(0, len(value)))]))

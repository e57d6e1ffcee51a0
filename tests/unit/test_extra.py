"""Unknown fields of an article are kept within bounds; those of what people say are refused: a typo there loses the meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import DeadLetterError
from consumers.erasure.tombstones import Tombstones, digest
from consumers.events import parsing
from consumers.events import schemas as events
from consumers.events.extra import MAX_EXTRA_BYTES, kept
from consumers.log.protocols import Position
from consumers.rows.arriving.event_rows import Stored, payload_sha256, rows_of
from tests.support.sample_events import ARTICLE, FEEDBACK, LABEL, NOW, TASKS, wire


def parse(payload: Any) -> events.AnyEvent:
    return parsing.parse(wire(payload), tasks=TASKS, now=NOW)


def row(event: events.AnyEvent) -> Any:
    stored = Stored(event, Position("t", 0, 0))
    return rows_of(stored, payload_sha256(event), sequence=1, now=NOW)["articles"]


SOURCES: list[dict[str, Any]] = [
    {"author": "A. Reporter", "keywords": ["oil"], "fetched_at": 1714564800.5, "language": None},
    {"source_name": "Wire", "content": {"rendered": "<p>", "protected": False}, "_links": [{"href": "u"}]},
    {"user_id": 5, "prediction_id": {"x": 1}, "text_html": "t", "model_extra": 1, "extra_json": "x", "task": ["a"]},
]


@pytest.mark.parametrize("fields", SOURCES)
def test_an_article_keeps_what_nobody_here_knows(fields: dict[str, Any]) -> None:
    event = parse(ARTICLE | fields)
    plain = parse(ARTICLE)
    assert isinstance(event, events.Article)
    assert isinstance(plain, events.Article)
    assert event.text == plain.text
    assert json.loads(row(event)["extra"]) == {"fields": fields}
    assert row(plain)["extra"] is None
    assert parse(events.to_bytes(event)).model_dump(exclude_none=True) == event.model_dump(exclude_none=True)
    assert payload_sha256(event) == payload_sha256(plain), "fetched again it is no other content"


def test_an_unknown_field_is_nobodys_id() -> None:
    key = b"k" * 32
    stones = Tombstones(key, {"user": frozenset({digest(key, "user", "u-1")})})
    assert not stones.covers(parse(ARTICLE | {"user_id": 5}))
    assert not stones.covers(parse(ARTICLE | {"user_id": "u-1"}))


def test_what_is_beyond_the_bounds_is_left_out_by_name() -> None:
    deep: Any = "x"
    for _ in range(9):
        deep = [deep]
    told = json.loads(kept({"raw": "é" * MAX_EXTRA_BYTES, "author": "a", "deep": deep, "n" * 300: 1}) or "")
    assert told == {"fields": {"author": "a"}, "left_out": sorted(["raw", "deep", "n" * 200])}
    assert isinstance(parse(ARTICLE | {"raw": "x" * 100_000}), events.Article)


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.integers() | st.text(max_size=4000), st.lists, max_leaves=8))
)
def test_what_is_kept_is_bounded_and_as_it_was_sent(fields: dict[str, Any]) -> None:
    written = kept(fields)
    if written is None:
        assert not fields
        return
    told = json.loads(written)
    assert (
        len(json.dumps(told["fields"], ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
        <= MAX_EXTRA_BYTES + 2
    )
    assert told["fields"].items() <= fields.items()
    assert len(told["fields"]) + len(told.get("left_out", ())) >= min(len(fields), 20)


@pytest.mark.parametrize("payload", [LABEL | {"lable": "x"}, FEEDBACK | {"verdikt": "x"}, FEEDBACK | {"session": "s"}])
def test_a_field_that_a_label_or_feedback_does_not_have_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(DeadLetterError, match="is not a field of this event; remove it"):
        parse(payload)

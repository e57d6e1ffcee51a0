"""Events: each kind of bad input is refused with field, fault and remedy; the good forms are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from config.errors import DeadLetterError
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_tasks
from consumers import events

TASKS = load_tasks(SHIPPED_TASKS_DIR)
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)

ARTICLE = {
    "type": "article", "event_id": "e-1", "occurred_at": "2024-05-01T10:00:00Z", "article_id": "a-1",
    "title": "Rates rise", "body": "The ECB acted.",
}  # fmt: skip
LABEL = {
    "type": "label", "event_id": "e-2", "occurred_at": "2024-05-01T10:00:00Z", "task": "news-topics", "text": "Rates rise",
    "target": {"label": "economy"},
}  # fmt: skip
SPANS = LABEL | {"task": "news-entities", "text": "The ECB acted.", "target": {"spans": [{"start": 4, "end": 7, "label": "ORG"}]}}
FEEDBACK = LABEL | {"type": "feedback", "user_id": "u-1", "verdict": "correction"}
RETRAIN = {
    "type": "retrain",
    "event_id": "e-5",
    "occurred_at": "2024-05-01T10:00:00Z",
    "task": "news-topics",
    "reason": "new desk",
}
TASK_SCHEMA = {
    "type": "task_schema", "event_id": "e-6", "occurred_at": "2024-05-01T10:00:00Z", "task": "news-topics", "renames": {"a": "b"}
}  # fmt: skip
PREDICTION = {
    "type": "prediction", "event_id": "p-1", "prediction_id": "p-1", "occurred_at": "2024-05-01T10:00:00Z", "task": "news-topics",
    "model_version": "news-topics/v3", "text": "Rates rise", "answer": {"label": "economy", "scores": {"economy": 0.9}},
}  # fmt: skip
ERASE = {"type": "erase", "event_id": "e-7", "occurred_at": "2024-05-01T10:00:00Z", "user_id": "u-1"}
VALID = (ARTICLE, LABEL, SPANS, FEEDBACK, RETRAIN, TASK_SCHEMA, PREDICTION, ERASE)


def span(start: Any, end: Any, label: Any = "ORG") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


def spans(*several: dict[str, Any]) -> dict[str, Any]:
    return SPANS | {"target": {"spans": list(several)}}


def without(event: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != field}


def parse(payload: Any) -> events.AnyEvent:
    value = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return events.parse(value, tasks=TASKS, now=NOW)


# What is sent, the field that the error names, what the message says is wrong, and the remedy in it.
BAD_INPUT: dict[str, tuple[Any, str | None, str, str]] = {
    "invalid JSON": (b'{"type": ', None, "not JSON", "send one JSON object"),
    "empty bytes": (b"", None, "not JSON", "send one JSON object"),
    "a constant JSON lacks": (b'{"type": NaN}', None, "NaN is not JSON", "send one JSON object"),
    "JSON nested to exhaust the stack": (b"[" * 100_000, None, "not JSON", "send one JSON object"),
    "nested too deeply": (b'{"a":' * 40 + b"1" + b"}" * 40, ".".join("a" * 33), "more than 32 levels", "send a flatter object"),
    "a list": ([1], None, "JSON list", "send one JSON object"),
    "invalid UTF-8": (b'{"type": "\xff"}', None, "not UTF-8 (byte 10", "encoded as UTF-8"),
    "half a surrogate pair": (ARTICLE | {"title": "a\ud800"}, "title", "character 1 is half of a surrogate pair", "U+FFFD"),
    "half a surrogate pair inside": (spans(span(0, 3, "\udfff")), "target.spans.0.label", "half of a surrogate", "whole pair"),
    "half a surrogate pair in a name": (ARTICLE | {"\ud800": 1}, "\\ud800", "half of a surrogate pair", "whole pair"),
    "a number beyond floats": (b'{"x": [1, 1e999]}', "x.1", "too large", "send a finite number"),
    "no type": (without(LABEL, "type"), "type", "missing", "send one of article, label"),
    "unknown type": (LABEL | {"type": "lable"}, "type", "'lable', which is unknown", "send one of article, label"),
    "type of a wrong kind": (LABEL | {"type": ["label"]}, "type", "unknown", "send one of article, label"),
    "missing field": (without(LABEL, "task"), "task", "missing", "add it"),
    "missing event id": (without(ARTICLE, "event_id"), "event_id", "missing", "add it"),
    "missing field of the target": (LABEL | {"target": {}}, "target.label", "missing", "add it"),
    "missing field of a span": (spans({"start": 0, "end": 3}), "target.spans.0.label", "missing", "add it"),
    "extra field": (LABEL | {"colour": "red"}, "colour", "not a field", "remove it"),
    "extra field of the target": (LABEL | {"target": {"label": "x", "why": 1}}, "target.why", "not a field", "remove it"),
    "unknown task": (LABEL | {"task": "weather"}, "task", "'weather' is not defined", "the tasks are news-entities, news-topics"),
    "unknown task of a retrain": (RETRAIN | {"task": "weather"}, "task", "'weather' is not defined", "the tasks are"),
    "label outside a closed set": (spans(span(4, 7, "ORGG")), "target", "'ORGG' is not one of", "add the label to the task file"),
    "span outside the text": (spans(span(4, 99)), "target.spans", "outside the text, which has 14", "offsets count code points"),
    "span before the text": (spans(span(-1, 3)), "target.spans.0.start", "at least 0, got -1", "mend the number"),
    "span that is empty": (spans(span(4, 4)), "target.spans.0", "ends at 4, before or where it starts", "end exclusive"),
    "span offset with a fraction": (spans(span(4, 7.5)), "target.spans.0.end", "not a whole number, got 7.5", "send one"),
    "overlapping spans": (spans(span(0, 7), span(4, 9)), "target", "spans 0-7 (ORG) and 4-9 (ORG) overlap", "keep one of them"),
    "empty text": (LABEL | {"text": ""}, "text", "it is empty", "fill it"),
    "text of white space": (LABEL | {"text": " \n"}, "text", "only white space", "fill it"),
    "article without text": (ARTICLE | {"title": "", "body": " "}, None, "title and body are both empty", "send at least one"),
    "text that is too long": (LABEL | {"text": "x" * 1_000_001}, "text", "longer than 1000000 characters", "shorten it"),
    "text of a wrong kind": (LABEL | {"text": 5}, "text", "not a string, got 5", "send a string"),
    "label that names no text": (without(LABEL, "text"), None, "neither text nor article_id", "send one of them"),
    "feedback that names no text": (without(FEEDBACK, "text"), None, "none of prediction_id, article_id and text", "send one"),
    "blank label": (LABEL | {"target": {"label": " "}}, "target.label", "only white space", "fill it"),
    "target of a wrong kind": (LABEL | {"target": "economy"}, "target", "not a JSON object, got 'economy'", "send one"),
    "target of another task kind": (LABEL | {"target": {"spans": []}}, "target.label", "missing", "add it"),
    "time without a zone": (LABEL | {"occurred_at": "2024-05-01T10:00:00"}, "occurred_at", "no time zone", "append one, e.g. Z"),
    "time far ahead": (LABEL | {"occurred_at": "2024-05-01T12:05:01Z"}, "occurred_at", "300 s ahead", "check both clocks"),
    "no time": (LABEL | {"occurred_at": "yesterday"}, "occurred_at", "not a time", "send ISO 8601 with a zone"),
    "time before the calendar": (LABEL | {"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at", "outside", "send the time"),
    "event id with a space": (ARTICLE | {"event_id": "a b"}, "event_id", "does not match", "use only those characters"),
    "unknown schema version": (ARTICLE | {"schema_version": 2}, "schema_version", "is 2", "send 1"),
    "unknown choice": (FEEDBACK | {"verdict": "meh"}, "verdict", "is 'meh'", "send 'correction' or 'confirmation'"),
    "hash of another text": (ARTICLE | {"content_sha256": "0" * 64}, None, "content_sha256 does not fit", "SHA-256 of title"),
    "no renames": (TASK_SCHEMA | {"renames": {}}, "renames", "is empty", "at least 1"),
    "CloudEvents of another version": ({"specversion": "0.3"}, "specversion", "'0.3' is not read", "send 1.0"),
    "CloudEvent without id": ({"specversion": "1.0", "type": "x", "source": "y"}, "id", "must carry it as a string", "add it"),
    "CloudEvent without data": (
        {"specversion": "1.0", "id": "1", "type": "label", "source": "y"}, "data", "must carry the event", "as a JSON object",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "field", "fault", "remedy"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_refused_naming_field_fault_and_remedy(payload: Any, field: str | None, fault: str, remedy: str) -> None:
    with pytest.raises(DeadLetterError) as caught:
        parse(payload)
    assert caught.value.field == field
    assert fault in caught.value.reason
    assert remedy in caught.value.reason
    assert (field or "") in caught.value.reason


@pytest.mark.parametrize("payload", VALID, ids=lambda payload: payload["type"])
def test_each_type_is_read_and_written_back_the_same(payload: dict[str, Any]) -> None:
    event = parse(payload)
    assert event.type == payload["type"]
    assert parse(events.to_bytes(event)) == event


def test_every_type_has_a_topic_a_schema_and_an_example_here() -> None:
    assert set(events.EVENT_TYPES) == set(events.TOPIC_OF_TYPE) == {payload["type"] for payload in VALID}
    assert set(events.EVENT_TYPES) < set(events.json_schemas())


def test_times_are_kept_in_utc() -> None:
    local = parse(LABEL | {"occurred_at": "2024-05-01T12:00:00+02:00"})
    assert local.occurred_at == NOW - timedelta(hours=2)
    assert local.occurred_at.tzinfo == UTC
    assert local == parse(LABEL | {"occurred_at": "2024-05-01T10:00:00Z"})


def test_a_time_slightly_ahead_is_taken() -> None:
    assert parse(LABEL | {"occurred_at": "2024-05-01T12:05:00Z"}).occurred_at == NOW + timedelta(minutes=5)


def test_now_may_stand_in_any_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-11)))
    assert events.parse(json.dumps(LABEL).encode(), tasks=TASKS, now=elsewhere) == parse(LABEL)


def test_an_open_task_takes_a_new_label() -> None:
    assert parse(LABEL | {"target": {"label": "space"}}).target == {"label": "space"}


def test_offsets_count_code_points() -> None:
    emoji = SPANS | {"text": "😀 ECB", "target": {"spans": [span(2, 5)]}}
    event = parse(emoji)
    assert event.text[2:5] == "ECB"
    with pytest.raises(DeadLetterError, match="which has 5 code points"):
        parse(emoji | {"target": {"spans": [span(2, 6)]}})


def test_spans_that_touch_do_not_overlap() -> None:
    target = events.parse_target(TASKS["news-entities"], {"spans": [span(3, 5), span(0, 3)]})
    assert isinstance(target, events.NerTarget)
    assert len(target.spans) == 2


def test_an_escaped_whole_surrogate_pair_is_text() -> None:
    assert parse(json.dumps(LABEL | {"text": "😀"}).encode("ascii")).text == "😀"


def test_several_faults_are_named_together_and_a_flood_is_cut() -> None:
    with pytest.raises(DeadLetterError) as caught:
        parse(without(without(LABEL, "task"), "target") | {"extra": 1})
    assert all(field in caught.value.reason for field in ("task is missing", "target is missing", "extra is not a field"))
    with pytest.raises(DeadLetterError) as caught:
        parse(spans(*[span(-1, 0, 5)] * 10_000))
    assert caught.value.reason.endswith("and 29995 more")
    assert len(caught.value.reason) < 1000


def test_a_long_value_is_shown_cut() -> None:
    with pytest.raises(DeadLetterError) as caught:
        parse(LABEL | {"event_id": "x " * 50_000})
    assert len(caught.value.reason) < 300


def test_a_cloud_event_fills_what_its_data_leaves_out() -> None:
    envelope = {
        "specversion": "1.0", "id": "ce-1", "source": "desk", "type": "org.example.news.label", "time": "2024-05-01T10:00:00Z",
        "datacontenttype": "application/json", "traceparent": "00-1-1-00",
        "data": {"task": "news-topics", "text": "t", "target": {"label": "x"}},
    }  # fmt: skip
    event = parse(envelope)
    assert isinstance(event, events.Label)
    assert (event.event_id, event.source, event.occurred_at) == ("ce-1", "desk", NOW - timedelta(hours=2))
    inner = envelope | {"data": envelope["data"] | {"event_id": "own", "source": "inner"}}
    assert (parse(inner).event_id, parse(inner).source) == ("own", "inner")


def test_content_sha256_is_checked_when_given() -> None:
    text = events.article_text("Rates rise", "The ECB acted.")
    assert text == "Rates rise\n\nThe ECB acted."
    assert parse(ARTICLE | {"content_sha256": events.content_sha256(text)}).text == text

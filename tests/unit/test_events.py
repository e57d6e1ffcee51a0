"""Events: each kind of bad input is refused with field, fault and remedy; the good forms are read."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest

from config.errors import DeadLetterError
from consumers.events import parsing, targets
from consumers.events import schemas as events
from consumers.events.json_schemas import json_schemas
from consumers.rows.arriving.event_rows import payload_sha256
from tests.support.sample_events import (
    ARTICLE,
    BAD_INPUT,
    FEEDBACK,
    LABEL,
    NOW,
    SPANS,
    TASK_SCHEMA,
    TASKS,
    VALID,
    span,
    spans,
    wire,
    without,
)


def parse(payload: Any) -> events.AnyEvent:
    return parsing.parse(wire(payload), tasks=TASKS, now=NOW)


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


# Of the first release: stored rows carry them, and a redelivery that gives another one is a conflict.
HASHES = {
    "article": "783ece6e6f3ef868", "label": "d45009e9bf99c1b1", "feedback": "46958650386f72ea", "retrain": "c63a87417218470b",
    "task_schema": "a607a0b340c0ee51", "prediction": "c783f81790e45f6a", "erase": "3bfb23cea3837690",
    "feedback_review": "9d4a5d062e1cc4fa",
}  # fmt: skip


@pytest.mark.parametrize("kind", HASHES)
def test_what_an_event_says_hashes_as_it_always_did(kind: str) -> None:
    payload = next(one for one in VALID if one["type"] == kind)
    assert payload_sha256(parse(payload)).startswith(HASHES[kind])


def test_settings_of_one_run_are_read_as_numbers_and_kept_as_they_were_said() -> None:
    retrain = next(one for one in VALID if one["type"] == "retrain")
    event = parse(retrain | {"training": {"epochs": 5.0, "learning_rate": 1}})
    assert isinstance(event, events.Retrain)
    assert event.training is not None
    assert event.training.given == {"epochs": 5, "learning_rate": 1.0}
    assert parse(events.to_bytes(event)) == event
    assert payload_sha256(event) != payload_sha256(parse(retrain)), "the same id with other settings is a conflict"


def test_every_type_has_a_topic_a_schema_and_an_example_here() -> None:
    assert set(events.EVENT_TYPES) == set(events.TOPIC_OF_TYPE) == {payload["type"] for payload in VALID}
    assert set(events.EVENT_TYPES) < set(json_schemas())


def test_a_weak_label_has_a_weight_and_neither_tests_nor_is_a_persons() -> None:
    weak = LABEL | {"origin": "weak", "weight": 0.4}
    event = parse(weak)
    assert isinstance(event, events.Label)
    assert (event.origin, event.weight) == ("weak", 0.4)
    for wrong in (
        {"weight": None}, {"weight": 0}, {"weight": 1.5}, {"anchor": True}, {"annotator": "anna"}, {"selected_by": "audit"},
        {"settles": True}, {"origin": "gold"},
    ):  # fmt: skip
        with pytest.raises(DeadLetterError):
            parse(weak | wrong)


def test_times_are_kept_in_utc() -> None:
    local = parse(LABEL | {"occurred_at": "2024-05-01T12:00:00+02:00"})
    assert local.occurred_at == NOW - timedelta(hours=2)
    assert local.occurred_at.tzinfo == UTC
    assert local == parse(LABEL | {"occurred_at": "2024-05-01T10:00:00Z"})


def test_a_time_slightly_ahead_is_taken() -> None:
    assert parse(LABEL | {"occurred_at": "2024-05-01T12:05:00Z"}).occurred_at == NOW + timedelta(minutes=5)


def test_now_may_stand_in_any_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-11)))
    assert parsing.parse(json.dumps(LABEL).encode(), tasks=TASKS, now=elsewhere) == parse(LABEL)


def test_an_open_task_takes_a_new_label() -> None:
    assert parse(LABEL | {"target": {"label": "space"}}).target == {"label": "space"}


def test_offsets_count_code_points() -> None:
    emoji = SPANS | {"text": "😀 ECB", "target": {"spans": [span(2, 5)]}}
    event = parse(emoji)
    assert event.text[2:5] == "ECB"
    with pytest.raises(DeadLetterError, match="which has 5 code points"):
        parse(emoji | {"target": {"spans": [span(2, 6)]}})


def test_spans_that_touch_do_not_overlap() -> None:
    target = targets.read_target(TASKS["news-entities"], {"spans": [span(3, 5), span(0, 3)]})
    assert len(target["spans"]) == 2


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


def test_many_entries_under_a_long_name_do_not_fill_memory() -> None:
    long, entries = "n" * 100_000, 5_000
    payload = wire({long: [*[0] * entries, "half \ud800"]})
    tracemalloc.start()
    try:
        with pytest.raises(DeadLetterError, match="half of a surrogate pair") as caught:
            parse(payload)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(caught.value.reason) < 400
    assert peak < 20 * len(payload), "one path per entry would be some 500 MB"


def test_a_cloud_event_fills_what_its_data_leaves_out() -> None:
    envelope = {
        "specversion": "1.0", "id": "ce-1", "source": "desk", "type": "org.example.news.label", "time": "2024-05-01T10:00:00Z",
        "datacontenttype": "application/json", "traceparent": "00-1-1-00",
        "data": {"task": "news-topics", "text": "t", "target": {"label": "x"}},
    }  # fmt: skip
    event = parse(envelope)
    assert isinstance(event, events.Label)
    assert (event.event_id, event.source, event.occurred_at) == ("desk|ce-1", "desk", NOW - timedelta(hours=2))
    inner = envelope | {"data": envelope["data"] | {"event_id": "own", "source": "inner"}}
    assert (parse(inner).event_id, parse(inner).source) == ("own", "inner")


def test_content_sha256_is_checked_when_given() -> None:
    text = events.article_text("Rates rise", "The ECB acted.")
    assert text == "Rates rise\n\nThe ECB acted."
    assert parse(ARTICLE | {"content_sha256": events.content_sha256(text)}).text == text


TIMES = [
    (20240501, "2024-05-01T00:00:00+00:00"),
    ("20240501", "2024-05-01T00:00:00+00:00"),
    ("2024-05-01", "2024-05-01T00:00:00+00:00"),
    (1714550400, "2024-05-01T08:00:00+00:00"),
    (1714550400_000_000_000, "2024-05-01T08:00:00+00:00"),
    ("1714550400000", "2024-05-01T08:00:00+00:00"),
    ("Wed, 01 May 2024 08:00:00 GMT", "2024-05-01T08:00:00+00:00"),
    ("20240501T080000Z", "2024-05-01T08:00:00+00:00"),
]


@pytest.mark.parametrize(("sent", "read"), TIMES, ids=[str(sent) for sent, _ in TIMES])
def test_times_are_read_as_imports_read_them(sent: Any, read: str) -> None:
    assert parse(LABEL | {"occurred_at": sent}).occurred_at.isoformat() == read


@pytest.mark.parametrize("sent", [2024, "2024", 202405, 45413, "45413.5", 0, -1, True, "", "NaT", "01/05/2024", 1e300])
def test_what_is_no_whole_time_is_refused_by_name(sent: Any) -> None:
    with pytest.raises(DeadLetterError, match="occurred_at") as caught:
        parse(LABEL | {"occurred_at": sent})
    assert caught.value.field == "occurred_at"


SPELLINGS = ["caf\u00e9", "cafe\u0301", " caf\u00e9\n", "caf\u00e9\u00a0"]


@pytest.mark.parametrize(
    "change",
    [
        {"renames": {"\u00e9": "x", "e\u0301": "y"}},
        {"renames": {"a": "x", " a ": "y"}},
        {"renames": {"a  b": "x", "a b": "y"}},
        {"splits": {"a": ["b", "b "]}},
        {"splits": {"a": ["b", "b"]}},
        {"splits": {"a": ["b", "c"], "a ": ["b", "d"]}},
    ],
)
def test_labels_that_are_one_when_written_alike_mean_one_thing(change: dict[str, Any]) -> None:
    with pytest.raises(DeadLetterError) as caught:
        parse(TASK_SCHEMA | change)
    assert next(iter(change)) in caught.value.reason


def test_labels_that_mean_the_same_twice_are_read() -> None:
    schema = parse(TASK_SCHEMA | {"renames": {"a": "x", " a ": "x "}})
    assert isinstance(schema, events.TaskSchema)
    assert schema.renames == {"a": "x"}


@pytest.mark.parametrize("spelt", SPELLINGS, ids=ascii)
def test_one_label_however_it_is_spelt(spelt: str) -> None:
    assert parse(LABEL | {"target": {"label": spelt}}).target == {"label": "caf\u00e9"}
    said = parse(FEEDBACK | {"task": "news-topics", "target": {"label": spelt}})
    assert isinstance(said, events.Feedback)
    assert said.target == {"label": "caf\u00e9"}
    schema = parse(TASK_SCHEMA | {"renames": {spelt: f"{spelt.strip()} au lait"}})
    assert isinstance(schema, events.TaskSchema)
    assert list(schema.renames) == ["caf\u00e9"]


@pytest.mark.parametrize("label", ["pol\u200bitics", "pol\u202eitics", "politics\x00", "\u200b", "", "x" * 100_000])
def test_labels_that_cannot_be_seen_or_have_no_end_are_refused_everywhere(label: str) -> None:
    for payload in (
        LABEL | {"target": {"label": label}},
        FEEDBACK | {"task": "news-topics", "target": {"label": label}},
        spans(span(0, 3, label)),
        TASK_SCHEMA | {"renames": {label: "b"}},
        TASK_SCHEMA | {"renames": {"a": label}},
    ):
        with pytest.raises(DeadLetterError) as caught:
            parse(payload)
        assert len(caught.value.reason) < 500


def test_integral_floats_are_offsets() -> None:
    event = parse(spans({"start": 4.0, "end": 7.0, "label": "ORG"}))
    assert isinstance(event, events.Label)
    assert str(event.target["spans"]) == "[{'start': 4, 'end': 7, 'label': 'ORG'}]"


@pytest.mark.parametrize("name", ["article_id", "event_id"])
@pytest.mark.parametrize(
    "sent", ["https://site.example/?p=1234", "tag:site.example,2024:/posts/1", "auth0|x", "a+b@c", "åsa", "{7F-1}"]
)
def test_ids_of_publishers_are_taken(name: str, sent: str) -> None:
    assert getattr(parse(ARTICLE | {name: sent}), name) == sent
    assert getattr(parse(ARTICLE | {name: f"{sent}a\u030a"}), name) == f"{sent}å"

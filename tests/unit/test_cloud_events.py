"""CloudEvents in their three modes, written by the official SDK: read as the same event, from the log and over HTTP."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from config.errors import DeadLetterError
from consumers.events import parsing
from consumers.events import schemas as events
from consumers.events.cloud_events import MOST_EVENTS, batch_in, from_http, headers_of
from tests.support.sample_events import NOW, TASKS

ARTICLE = {"article_id": "bbc-2", "title": "Dollar gains", "body": "The dollar has hit its highest level"}
LABEL = {"task": "news-topics", "text": "Dollar gains", "target": {"label": "economy"}}
RETRAIN = {"task": "news-topics", "reason": "by hand"}
KINDS = [("article", ARTICLE), ("label", LABEL), ("retrain", RETRAIN)]
AT = NOW - timedelta(hours=2)


def cloud_event(kind: str, data: Any, **attributes: Any) -> CloudEvent:
    named = {"id": "x-1", "source": "/cms", "type": f"org.example.{kind}", "specversion": "1.0", "time": AT} | attributes
    return CloudEvent({name: value for name, value in named.items() if value is not None}, data)


def read(value: bytes, headers: Any = (), arrived: datetime | None = NOW) -> events.AnyEvent:
    return parsing.parse(value, tasks=TASKS, now=NOW, headers=tuple(headers), arrived=arrived)


def on_kafka(event: CloudEvent, mode: str) -> events.AnyEvent:
    message = kafka.to_binary_event(event) if mode == "binary" else kafka.to_structured_event(event)
    return read(message.value, message.headers.items())


def over_http(event: CloudEvent, mode: str) -> events.AnyEvent:
    message = http.to_binary_event(event) if mode == "binary" else http.to_structured_event(event)
    return read(message.body, from_http(message.headers.items()))


@pytest.mark.parametrize(("kind", "data"), KINDS)
@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("way", [on_kafka, over_http])
def test_every_mode_gives_the_same_event(way: Any, mode: str, kind: str, data: Any) -> None:
    event = way(cloud_event(kind, data, datacontenttype="application/json"), mode)
    plain = {"type": kind, "event_id": "/cms|x-1", "source": "/cms", "occurred_at": AT.isoformat(), **data}
    assert event == read(json.dumps(plain).encode())


@pytest.mark.parametrize("way", [on_kafka, over_http])
def test_source_and_id_together_tell_a_redelivery(way: Any) -> None:
    def event_id(mode: str, **attributes: Any) -> str:
        return str(way(cloud_event("article", ARTICLE, **attributes), mode).event_id)

    ids = {event_id(mode) for mode in ("binary", "structured")}
    assert len(ids) == 1
    assert event_id("binary", source="/other") not in ids
    assert event_id("binary", id="é 2") == event_id("structured", id="é 2") == "/cms|é 2"
    assert event_id("binary", source="/" + "s" * 150, id="i" * 500).startswith("ce-")
    assert way(cloud_event("article", ARTICLE | {"event_id": "own"}), "binary").event_id == "own"


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_without_a_time_it_happened_when_it_arrived(mode: str) -> None:
    envelope = {"specversion": "1.0", "id": "x-1", "source": "/cms", "type": "article"}
    headers = [(f"ce_{name}", value.encode()) for name, value in envelope.items()]
    value = json.dumps(ARTICLE if mode == "binary" else envelope | {"data": ARTICLE}).encode()
    sent = headers if mode == "binary" else ()
    assert read(value, sent, arrived=AT).occurred_at == AT
    assert read(value, sent, arrived=NOW + timedelta(days=9)).occurred_at == NOW, "the log's clock may go wrong too"
    assert read(value, sent, arrived=datetime.fromtimestamp(-1, NOW.tzinfo)).occurred_at == NOW, "a producer set no time"


@pytest.mark.parametrize(
    "named", ["article", "org.example.article", "com.example.news.article.v2", "urn:news:article", "a/b/article"]
)
def test_the_type_may_stand_behind_a_domain_and_before_a_version(named: str) -> None:
    assert on_kafka(cloud_event("", ARTICLE, type=named), "binary").type == "article"


def test_what_the_data_call_type_may_mean_something_else() -> None:
    event = on_kafka(cloud_event("article", ARTICLE | {"type": "NewsArticle"}), "structured")
    assert event.type == "article"


def test_data_in_base64_are_read_as_json() -> None:
    envelope = {"specversion": "1.0", "id": "1", "source": "s", "type": "article"}
    packed = envelope | {"data_base64": base64.b64encode(json.dumps(ARTICLE).encode()).decode()}
    assert isinstance(read(json.dumps(packed).encode()), events.Article)
    for broken in ("no base64!", base64.b64encode(b"{").decode(), base64.b64encode(b'{"title": "\\ud800"}').decode(), 7):
        with pytest.raises(DeadLetterError):
            read(json.dumps(envelope | {"data_base64": broken}).encode())


NAMED = {"ce_specversion": b"1.0", "ce_id": b"1", "ce_source": b"s", "ce_type": b"article"}
BAD_HEADERS = [
    ({"ce_specversion": b"0.3", "ce_id": b"1", "ce_source": b"s", "ce_type": b"article"}, "specversion"),
    ({"ce_specversion": b"1.0", "ce_source": b"s", "ce_type": b"article"}, "id"),
    ({"ce_specversion": b"1.0", "ce_id": b"1", "ce_type": b"article"}, "source"),
    ({"ce_specversion": b"1.0", "ce_id": b"1", "ce_source": b"s", "ce_type": b""}, "type"),
    ({"ce_specversion": b"1.0", "ce_id": b"\xff", "ce_source": b"s", "ce_type": b"article"}, "ce_id"),
    (NAMED | {"content-type": b"text/xml"}, "content-type"),
    (NAMED | {"ce_time": b"soon"}, "occurred_at"),
    ({"ce_specversion": b"1.0", "ce_id": b"a\x00b", "ce_source": b"s", "ce_type": b"article"}, "event_id"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "field"), BAD_HEADERS, ids=[field for _, field in BAD_HEADERS])
def test_headers_that_make_no_cloud_event_are_refused_by_field(headers: dict[str, bytes], field: str) -> None:
    with pytest.raises(DeadLetterError) as caught:
        read(json.dumps(ARTICLE).encode(), headers.items())
    assert caught.value.field == field


def test_other_headers_make_no_cloud_event_of_a_plain_event() -> None:
    plain = {"type": "article", "event_id": "e", "occurred_at": AT.isoformat(), **ARTICLE}
    assert read(json.dumps(plain).encode(), [("traceparent", b"00"), ("content-type", b"application/json")]).event_id == "e"


def test_a_batch_is_its_events_and_nothing_else_is_a_batch() -> None:
    envelopes = [
        json.loads(kafka.to_structured_event(cloud_event("article", ARTICLE, id=str(number))).value) for number in range(3)
    ]
    declared = [("content-type", b"application/cloudevents-batch+json; charset=utf-8")]
    value = json.dumps(envelopes).encode()
    for headers in (declared, ()):
        batch = batch_in(value, headers)
        assert batch is not None
        assert [read(one).event_id for one in batch] == ["/cms|0", "/cms|1", "/cms|2"]
    assert batch_in(b" []", declared) == []
    for other in (b"[]", b"{}", b"", b"[1]", b"[", b"[" * 100_000, json.dumps([ARTICLE]).encode(), b"\xff["):
        assert batch_in(other) is None
    assert batch_in(json.dumps([ARTICLE, 7]).encode(), declared) is not None, "each is refused by itself"
    with pytest.raises(DeadLetterError, match="in one"):
        batch_in(b"[" + b"1," * MOST_EVENTS + b"1]", declared)
    long = json.dumps([{**ARTICLE, "data": {"body": "Ж漢" * 1_000}}], ensure_ascii=False, separators=(",", ":")).encode()
    assert batch_in(long, declared) == [long[1:-1]], "no longer than in its batch"
    assert batch_in(b'[{"data": "\\ud800"}]', declared) == [b'{"data": "\\ud800"}'], "a lone surrogate stays as it was"


def test_null_in_the_data_leaves_it_to_the_envelope() -> None:
    nulls = dict.fromkeys(("occurred_at", "event_id", "source", "type"))
    for mode in ("binary", "structured"):
        event = on_kafka(cloud_event("article", ARTICLE | nulls), mode)
        assert (event.event_id, event.source, event.occurred_at, event.type) == ("/cms|x-1", "/cms", AT, "article")


def test_a_list_with_a_cloud_event_is_split_and_the_others_are_refused_by_themselves() -> None:
    envelope = json.loads(kafka.to_structured_event(cloud_event("article", ARTICLE)).value)
    batch = batch_in(json.dumps([{"type": "article"}, envelope, 7]).encode())
    assert batch is not None
    assert [json.loads(one) for one in batch] == [{"type": "article"}, envelope, 7]
    assert read(batch[1]).event_id == "/cms|x-1"
    for refused in (batch[0], batch[2]):
        with pytest.raises(DeadLetterError):
            read(refused)


@pytest.mark.parametrize("end", ["", ",]", "] x", "}", ",", "]]"])
def test_a_list_that_is_no_json_is_no_batch(end: str) -> None:
    assert batch_in(b'[{"specversion": "1.0"} ' + end.encode()) is None


@given(st.lists(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner))))
def test_a_batch_holds_what_was_sent(entries: list[Any]) -> None:
    for ascii_only in (True, False):
        value = f" {json.dumps(entries, ensure_ascii=ascii_only, indent=1)} ".encode()
        batch = batch_in(value, [("content-type", b"application/cloudevents-batch+json")])
        assert batch is not None
        assert [json.loads(one) for one in batch] == entries


DOUBLED = [
    ('{"type": "article", "event_id": "e", "title": "one", "title": "two"}', "title"),
    ('{"type": "label", "target": {"label": "a", "label": "a"}}', "label"),
    ('{"type": "article", "colour": [{"red": 1, "r\\u0065d": 2}]}', "red"),
    ('{"specversion": "1.0", "id": "1", "source": "s", "type": "article", "data": {"body": "a", "body": "b"}}', "body"),
    (
        json.dumps({
            "specversion": "1.0", "id": "1", "source": "s", "type": "article",
            "data_base64": base64.b64encode(b'{"body": 1, "body": 2}').decode(),
        }),
        "body",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("value", "field"), DOUBLED, ids=[value[:60] for value, _ in DOUBLED])
def test_a_name_that_stands_twice_is_refused_alone_and_in_a_batch(value: str, field: str) -> None:
    batch = batch_in(f"[{value}]".encode(), [("content-type", b"application/cloudevents-batch+json")])
    for one in (value.encode(), *(batch or ())):
        with pytest.raises(DeadLetterError) as caught:
            read(one)
        assert caught.value.field == field
    assert batch == [value.encode()]


def test_the_sdk_reads_our_own_events() -> None:
    event = {"event_id": "e-1", "occurred_at": AT.isoformat(), "type": "model.promoted", "task": "desk", "version": "desk/v2"}
    headers = headers_of(event, source="/perennial/desk", subject="desk/v2")
    read_back = kafka.from_binary_event(kafka.KafkaMessage(dict(headers), b"desk", json.dumps(event).encode()))
    assert read_back.get_id() == "e-1"
    assert read_back.get_type() == "model.promoted"
    assert read_back.get_source() == "/perennial/desk"
    assert read_back.get_subject() == "desk/v2"
    assert read_back.get_time() == AT
    assert read_back.get_data() == event


@pytest.mark.parametrize("named", ["org.example.article.v1.2", "article/1.0", "org.example:article:3"])
def test_versions_in_a_type_may_be_numbers(named: str) -> None:
    assert read(json.dumps(ARTICLE).encode(), (NAMED | {"ce_type": named.encode()}).items()).type == "article"


@pytest.mark.parametrize(
    "content_type",
    [b"application/cloudevents+json", b"application/cloudevents+json; charset=utf-8", b"Application/CloudEvents+JSON"],
)
def test_of_an_envelope_that_came_with_attributes_in_headers_the_envelope_counts(content_type: bytes) -> None:
    envelope = {"specversion": "1.0", "id": "inside", "source": "/cms", "type": "article", "data": ARTICLE}
    found = read(json.dumps(envelope).encode(), (NAMED | {"content-type": content_type}).items())
    assert found.event_id == "/cms|inside"

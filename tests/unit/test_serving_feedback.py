"""Feedback over HTTP: acknowledged only when durable, once per key, refused with a reason, and its fate before ingest."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent

from config.errors import DeadLetterError, RetryError
from consumers.dead_letters.store import DeadLetters
from consumers.events.cloud_events import MOST_EVENTS
from consumers.events.parsing import parse
from consumers.events.schemas import FEEDBACK_TOPIC, Feedback
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import Position, RawEvent
from daemon.flow.accepted import Accepted, AcceptedFeedback
from daemon.serving.service import Service
from tests.support.served import TASK, TEXT, TOPICS, ServedData, eventually, listening, load_on_cpu

GOOD = {
    "task": TASK,
    "user_id": "editor-1",
    "verdict": "correction",
    "text": TEXT,
    "target": {"spans": [{"start": 4, "end": 11, "label": "ORG"}]},
}


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    return ServedData(tmp_path)


@pytest.fixture
def service(data: ServedData) -> Iterator[Service]:
    with Service.open(data.settings, load=load_on_cpu) as opened:
        yield opened


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with listening(service) as address, httpx.Client(base_url=address, timeout=30) as opened:
        yield opened


def logged(data: ServedData) -> list[RawEvent]:
    log = EmbeddedLog(data.settings.event_log_file, retention=timedelta(days=1))
    source = log.source(f"reader-{datetime.now(UTC).timestamp()}", [FEEDBACK_TOPIC])
    try:
        return list(source.poll(timeout_s=0.05, max_events=1000))
    finally:
        source.close()
        log.close()


def test_an_acknowledged_feedback_stands_in_the_log_as_a_valid_event(
    client: httpx.Client, service: Service, data: ServedData
) -> None:
    response = client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"})
    assert response.status_code == 202
    assert response.json()["event_id"] == "key-1"
    assert response.json()["fate"] == "/v1/feedback/key-1"
    [raw] = logged(data)
    event = parse(raw.value, tasks=service.tasks, now=datetime.now(UTC))
    assert isinstance(event, Feedback)
    assert (event.event_id, event.task, event.text, event.user_id) == ("key-1", TASK, TEXT, "editor-1")


def test_without_a_key_each_post_is_its_own_event(client: httpx.Client, data: ServedData) -> None:
    ids = {client.post("/v1/feedback", json=GOOD).json()["event_id"] for _ in range(2)}
    assert len(ids) == 2
    assert len(logged(data)) == 2


def test_the_same_key_with_the_same_content_gets_the_same_answer_and_no_second_event(
    client: httpx.Client, data: ServedData
) -> None:
    first = client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"})
    again = client.post("/v1/feedback", json=dict(reversed(GOOD.items())), headers={"Idempotency-Key": "key-1"})
    in_body = client.post("/v1/feedback", json={**GOOD, "event_id": "key-1"})
    assert first.json() == again.json() == in_body.json()
    assert again.status_code == 202
    assert len(logged(data)) == 1


def test_the_same_key_with_other_content_is_refused(client: httpx.Client, data: ServedData) -> None:
    client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"})
    response = client.post("/v1/feedback", json={**GOOD, "user_id": "editor-2"}, headers={"Idempotency-Key": "key-1"})
    assert response.status_code == 409
    assert response.json()["error"]["field"] == "event_id"
    assert "new key" in response.json()["error"]["remedy"]
    assert len(logged(data)) == 1


def test_the_key_holds_after_a_restart(client: httpx.Client, data: ServedData) -> None:
    first = client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"}).json()
    with Service.open(data.settings, load=load_on_cpu) as second, listening(second) as address:
        again = httpx.post(f"{address}/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"})
        other = httpx.post(f"{address}/v1/feedback", json={**GOOD, "user_id": "x"}, headers={"Idempotency-Key": "key-1"})
    assert again.json() == first
    assert other.status_code == 409
    assert len(logged(data)) == 1


def test_one_key_posted_at_once_by_many_becomes_one_event(client: httpx.Client, data: ServedData) -> None:
    answers: list[httpx.Response] = []

    def post() -> None:
        answers.append(client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"}))

    posters = [threading.Thread(target=post) for _ in range(8)]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join()
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.text for answer in answers}) == 1
    assert len(logged(data)) == 1


def test_a_cloud_event_is_taken_too(client: httpx.Client, data: ServedData) -> None:
    envelope = {"specversion": "1.0", "id": "ce-1", "source": "app", "type": "com.example.feedback", "data": GOOD}
    assert client.post("/v1/feedback", json=envelope).json()["event_id"] == "app|ce-1"
    assert client.post("/v1/feedback", json={**envelope, "type": "com.example.article"}).json()["error"]["field"] == "type"
    assert len(logged(data)) == 1


AT = datetime(2026, 5, 1, 8, tzinfo=UTC)


def binary(body: Any, **attributes: Any) -> dict[str, Any]:
    """What the SDK makes of a CloudEvent in binary mode, as arguments of `post`."""
    named = {"id": "ce 1é", "source": "/cms", "type": "com.example.feedback", "specversion": "1.0", "time": AT} | attributes
    message = http.to_binary_event(CloudEvent(named, body))
    return {"content": message.body, "headers": {"content-type": "application/json"} | message.headers}


def test_a_cloud_event_in_binary_mode_is_one_event_however_often_it_comes(client: httpx.Client, data: ServedData) -> None:
    first, again = (client.post("/v1/feedback", **binary(GOOD)) for _ in range(2))
    assert first.status_code == 202
    assert first.json() == again.json()
    assert first.json()["event_id"] == "/cms|ce 1é"
    assert client.get(first.json()["fate"]).json()["status"] == "queued"
    structured = {"specversion": "1.0", "id": "ce 1é", "source": "/cms", "type": "feedback", "time": "2026-05-01T08:00:00Z"}
    assert client.post("/v1/feedback", json=structured | {"data": GOOD}).json() == first.json()
    assert client.post("/v1/feedback", **binary(GOOD, source="/other")).json()["event_id"] == "/other|ce 1é"
    assert client.post("/v1/feedback", **binary(GOOD, type="com.example.label")).json()["error"]["field"] == "type"
    old = binary(GOOD)
    old["headers"]["ce-specversion"] = "0.3"
    assert client.post("/v1/feedback", **old).json()["error"]["field"] == "specversion"
    assert len(logged(data)) == 2


def test_a_batch_is_taken_whole_or_not_at_all(client: httpx.Client, data: ServedData) -> None:
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    envelopes = [{"specversion": "1.0", "id": str(n), "source": "app", "type": "feedback", "data": GOOD} for n in range(3)]
    bad = [*envelopes, envelopes[0] | {"id": "4", "data": GOOD | {"verdict": "meh"}}]
    refused = client.post("/v1/feedback", json=bad, headers=kind)
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "3.verdict")
    assert logged(data) == []
    for _ in range(2):
        taken = client.post("/v1/feedback", json=envelopes, headers=kind)
        assert taken.status_code == 202
        assert [one["event_id"] for one in taken.json()["events"]] == ["app|0", "app|1", "app|2"]
    assert len(logged(data)) == 3
    too_many = client.post("/v1/feedback", json=envelopes * 100, headers=kind)
    assert (too_many.status_code, too_many.json()["error"]["field"]) == (422, "body")
    assert client.post("/v1/feedback", json=[], headers=kind).json() == {"events": []}


def test_a_batch_of_which_one_id_has_other_content_is_not_taken(client: httpx.Client, data: ServedData) -> None:
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    envelope = {"specversion": "1.0", "id": "a", "source": "app", "type": "feedback", "data": GOOD}
    new, other = envelope | {"id": "b"}, envelope | {"data": GOOD | {"user_id": "editor-2"}}
    assert client.post("/v1/feedback", json=[envelope, envelope], headers=kind).status_code == 202
    for batch, field in (
        ([new, other], "1.event_id"), ([new, envelope, new | {"data": GOOD | {"user_id": "editor-2"}}], "2.event_id"),
    ):  # fmt: skip
        refused = client.post("/v1/feedback", json=batch, headers=kind)
        assert (refused.status_code, refused.json()["error"]["field"]) == (409, field)
    assert len(logged(data)) == 1


def test_a_batch_of_which_one_event_grows_too_large_is_not_taken(tmp_path: Path) -> None:
    data = ServedData(tmp_path)
    settings = data.settings.model_copy(update={"ingest": data.settings.ingest.model_copy(update={"max_event_bytes": 5_000})})
    envelopes = [
        {"specversion": "1.0", "id": str(n), "source": "app", "type": "feedback", "data": GOOD | {"text": TEXT + "x" * n}}
        for n in (0, 5_000)
    ]
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    with Service.open(settings, load=load_on_cpu) as service, listening(service) as address:
        refused = httpx.post(f"{address}/v1/feedback", json=envelopes, headers=kind)
    assert (refused.status_code, refused.json()["error"]["field"]) == (413, "1.text")
    assert logged(data) == []


def test_a_batch_of_more_events_than_are_read_at_all_is_refused(client: httpx.Client) -> None:
    body = b"[" + b"{}," * MOST_EVENTS + b"{}]"
    refused = client.post("/v1/feedback", content=body, headers={"Content-Type": "application/cloudevents-batch+json"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "body")


ODD_IDS = [
    "https://site.example/?p=1234#0",
    "tag:site.example,2024:/posts/1",
    "auth0|5f7",
    "a+b@c.example",
    "åsa",
    "a%2Fb",
    "[red]x[/]",
]


@pytest.mark.parametrize("event_id", ODD_IDS)
def test_an_id_of_any_form_has_a_fate(client: httpx.Client, event_id: str) -> None:
    for accepted in (
        client.post("/v1/feedback", json=GOOD | {"event_id": event_id, "user_id": event_id}),
        client.post("/v1/feedback", json=GOOD | {"user_id": event_id}, headers={"Idempotency-Key": event_id.encode()}),
    ):
        assert accepted.status_code == 202, accepted.text
        assert accepted.json()["event_id"] == event_id
        fate = client.get(accepted.json()["fate"])
        assert (fate.status_code, fate.json()["event_id"]) == (200, event_id)


def test_an_id_is_compared_in_composed_form(client: httpx.Client, data: ServedData) -> None:
    first = client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "a\u030asa".encode()})
    assert client.post("/v1/feedback", json=GOOD | {"event_id": "åsa"}).json() == first.json()
    assert client.get("/v1/feedback/a%CC%8Asa").status_code == 200
    assert len(logged(data)) == 1


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not None}


def spans(*found: tuple[int, int, str]) -> dict[str, Any]:
    return {"spans": [{"start": start, "end": end, "label": label} for start, end, label in found]}


LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()

BAD = [
    (changed(task=None), 422, "task"),
    (changed(task="weather"), 404, "task"),
    (changed(user_id=None), 422, "user_id"),
    (changed(verdict="maybe"), 422, "verdict"),
    (changed(target=None), 422, "body"),
    (changed(target=None, verdict="confirmation"), 422, "body"),
    (changed(occurred_at=2024), 422, "occurred_at"),
    (changed(user_id="zero\u200bwidth"), 422, "user_id"),
    (changed(colour="red"), 422, "colour"),
    (changed(text=""), 422, "text"),
    (changed(text=None), 422, "body"),
    (changed(target={"label": "x"}), 422, "target.spans"),
    (changed(target=spans((4, 99, "ORG"))), 422, "target.spans"),
    (changed(target=spans((4, 11, "ORG"), (8, 14, "GPE"))), 422, "target"),
    (changed(target=spans((11, 4, "ORG"))), 422, "target.spans.0"),
    (changed(task=TOPICS, target={"label": "weather"}), 422, "target"),
    (changed(occurred_at="2024-05-01T12:00:00"), 422, "occurred_at"),
    (changed(occurred_at=LATER), 422, "occurred_at"),
    (changed(event_id="two\nlines"), 422, "event_id"),
    (changed(event_id=7), 422, "event_id"),
    (changed(event_id=""), 422, "event_id"),
    (changed(task=[]), 422, "task"),
    (changed(type="label"), 422, "type"),
    ([GOOD], 400, "body"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD)
def test_bad_feedback_is_refused_before_the_log_with_field_and_remedy(
    client: httpx.Client, data: ServedData, body: Any, status: Any, field: str | None
) -> None:
    response = client.post("/v1/feedback", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (status, field), error
    assert error["message"]
    assert error["remedy"]
    assert client.post("/v1/feedback", json=GOOD).status_code == 202, "its neighbour is taken"
    assert len(logged(data)) == 1


@pytest.mark.parametrize(("body", "said"), [(b"{", "JSON"), (b"\xff", "UTF-8"), (b"", "JSON")])
def test_feedback_that_is_no_json_is_refused(client: httpx.Client, body: Any, said: str) -> None:
    response = client.post("/v1/feedback", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_a_bad_key_or_two_keys_are_refused(client: httpx.Client) -> None:
    bad = client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "soft\u00adhyphen".encode()})
    assert (bad.status_code, bad.json()["error"]["field"]) == (422, "Idempotency-Key")
    two = client.post("/v1/feedback", json={**GOOD, "event_id": "a"}, headers={"Idempotency-Key": "b"})
    assert (two.status_code, two.json()["error"]["field"]) == (422, "event_id")


def test_spans_are_checked_against_the_text_of_a_recent_prediction(
    client: httpx.Client, service: Service, data: ServedData
) -> None:
    data.champion()
    eventually(lambda: service.slots[TASK].status().serving)
    prediction = client.post(f"/v1/tasks/{TASK}/predict", json={"text": TEXT}).json()["predictions"][0]["prediction_id"]
    cited = changed(text=None, prediction_id=prediction)
    assert client.post("/v1/feedback", json=cited).status_code == 202
    [raw] = logged(data)
    event = parse(raw.value, tasks=service.tasks, now=datetime.now(UTC))
    assert isinstance(event, Feedback)
    assert (event.prediction_id, event.text) == (prediction, TEXT), "it does not wait for a prediction that may never be logged"
    outside = client.post("/v1/feedback", json={**cited, "target": spans((0, len(TEXT) + 1, "ORG"))})
    assert (outside.status_code, outside.json()["error"]["field"]) == (422, "target.spans")
    confirmed = client.post(
        "/v1/feedback", json=changed(text=None, target=None, verdict="confirmation", prediction_id=prediction)
    )
    assert confirmed.status_code == 202
    said = parse(logged(data)[-1].value, tasks=service.tasks, now=datetime.now(UTC))
    assert isinstance(said, Feedback)
    assert said.text == TEXT
    assert said.target == {"spans": [{"start": 4, "end": 11, "label": "V1"}]}, "what it confirms stands in the event"
    elsewhere = client.post("/v1/feedback", json={**cited, "task": TOPICS, "target": {"label": "sports"}})
    assert (elsewhere.status_code, elsewhere.json()["error"]["field"]) == (422, "task")


def test_nothing_is_acknowledged_that_is_not_durable(
    client: httpx.Client, service: Service, data: ServedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_timeout_s: float = 30.0) -> None:
        message = "the disk is full"
        raise RetryError(message)

    with monkeypatch.context() as patch:
        patch.setattr(service.desk._sink, "flush", full)
        response = client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"})
    assert response.status_code == 503
    assert "not acknowledged" in response.json()["error"]["message"]
    assert "key-1" in response.json()["error"]["remedy"]
    assert client.get("/v1/feedback/key-1").status_code == 404
    again = client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"})
    assert again.status_code == 202
    assert {raw.key for raw in logged(data)} == {b"key-1"}, "at least once, under one id"


def test_what_the_log_refuses_for_good_is_too_large(
    client: httpx.Client, service: Service, data: ServedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_given: Any, **_named: Any) -> None:
        message = "an event for topic 'perennial.feedback' is too large for Kafka"
        raise DeadLetterError(message)

    monkeypatch.setattr(service.desk._sink, "publish", refused)
    response = client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    assert client.get("/v1/feedback/key-1").status_code == 404
    assert logged(data) == []


def test_an_event_too_large_for_ingest_is_refused(data: ServedData) -> None:
    settings = data.settings.model_copy(update={"ingest": data.settings.ingest.model_copy(update={"max_event_bytes": 300})})
    with Service.open(settings, load=load_on_cpu) as service, listening(service) as address:
        response = httpx.post(f"{address}/v1/feedback", json={**GOOD, "text": TEXT * 20})
    assert response.status_code == 413
    assert logged(data) == []


def accept(client: httpx.Client) -> None:
    assert client.post("/v1/feedback", json=GOOD, headers={"Idempotency-Key": "key-1"}).status_code == 202


def test_fate_unknown(client: httpx.Client) -> None:
    response = client.get("/v1/feedback/nobody")
    assert response.status_code == 404
    assert response.json()["error"]["field"] == "event_id"


def test_fate_queued(client: httpx.Client, service: Service) -> None:
    accept(client)
    fate = client.get("/v1/feedback/key-1").json()
    assert (fate["status"], fate["task"]) == ("queued", TASK)
    assert "event log" in fate["reason"]
    assert fate["accepted_at"]


def test_fate_dead_letter(client: httpx.Client, service: Service, data: ServedData) -> None:
    accept(client)
    [raw] = logged(data)
    letters = DeadLetters(data.settings.dead_letter_file)
    letters.add(raw, "label: gone; add it again", "target")
    letters.close()
    fate = client.get("/v1/feedback/key-1").json()
    assert fate["status"] == "dead_letter"
    assert "label: gone" in fate["reason"]
    assert "perennial dlq replay 1" in fate["reason"]


def test_the_acknowledgements_are_forgotten_after_the_retention(tmp_path: Path) -> None:
    file = AcceptedFeedback(tmp_path / "accepted.db", keep=timedelta(days=14))
    now = datetime(2026, 5, 1, tzinfo=UTC)
    digest = hashlib.sha256(json.dumps(GOOD).encode()).hexdigest()
    for number, age in enumerate((20, 1)):
        file.add(Accepted(f"key-{number}", TASK, digest, digest, now - timedelta(days=age)))
    assert file.get("key-0") is None
    assert file.get("key-1") == Accepted("key-1", TASK, digest, digest, now - timedelta(days=1))
    file.close()


def test_positions_of_dead_letters_do_not_confuse_fates(client: httpx.Client, service: Service, data: ServedData) -> None:
    accept(client)
    letters = DeadLetters(data.settings.dead_letter_file)
    other = RawEvent(Position(FEEDBACK_TOPIC, 0, 0), b"other bytes", None, (), datetime.now(UTC))
    letters.add(other, "broken", None)
    letters.close()
    assert client.get("/v1/feedback/key-1").json()["status"] == "queued"

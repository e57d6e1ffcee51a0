"""Whatever is posted, the answer is never a 5xx, and a refusal always has its shape."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.serving.service import Service
from tests.support.served import TASK, ServedData, eventually, listening, load_on_cpu

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
# Mostly the right keys, so that the values get past the first check.
predict_bodies = st.dictionaries(
    st.sampled_from(["text", "texts", "title", "body", "article_id", "other"]), values | st.lists(st.text(max_size=9)), max_size=4
)
spans = st.fixed_dictionaries({"start": st.integers(-2, 9), "end": st.integers(-2, 9), "label": st.text(max_size=3)})
targets = (
    values | st.fixed_dictionaries({"spans": st.lists(spans, max_size=3)}) | st.fixed_dictionaries({"label": st.text(max_size=9)})
)
feedback_bodies = st.fixed_dictionaries(
    {},
    optional={
        "task": st.sampled_from([TASK, "topics", "unknown"]) | values,
        "user_id": st.just("u") | values,
        "verdict": st.sampled_from(["correction", "confirmation"]) | values,
        "text": st.text(max_size=9) | values,
        "article_id": st.just("a") | values,
        "prediction_id": st.just("p") | values,
        "target": targets,
        "event_id": st.text("abc", min_size=1, max_size=2) | values,
        "occurred_at": st.just("2024-05-01T12:00:00Z") | st.text(max_size=25) | values,
        "type": values,
        "specversion": st.just("1.0") | values,
        "data": values,
    },
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data = ServedData(tmp_path_factory.mktemp("served"))
    data.champion()
    with (
        Service.open(data.settings, load=load_on_cpu) as service,
        listening(service) as address,
        httpx.Client(base_url=address, timeout=30, headers={"Content-Type": "application/json"}) as opened,
    ):
        eventually(lambda: service.slots[TASK].status().serving)
        yield opened


def check(response: httpx.Response) -> None:
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        error = response.json()["error"]
        assert set(error) == {"code", "field", "message", "remedy"}
        assert all(error.values()), error


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=predict_bodies | values)
def test_any_json_posted_to_predict(client: httpx.Client, body: object) -> None:
    check(client.post(f"/v1/tasks/{TASK}/predict", content=json.dumps(body)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=feedback_bodies | values)
def test_any_json_posted_as_feedback(client: httpx.Client, body: object) -> None:
    check(client.post("/v1/feedback", content=json.dumps(body)))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60), path=st.sampled_from([f"/v1/tasks/{TASK}/predict", "/v1/feedback"]))
def test_any_bytes(client: httpx.Client, body: bytes, path: str) -> None:
    check(client.post(path, content=body))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=20))
def test_any_idempotency_key(client: httpx.Client, key: str) -> None:
    body = {"task": TASK, "user_id": "u", "verdict": "correction", "text": "Riksdag", "target": {"spans": []}}
    try:
        response = client.post("/v1/feedback", json=body, headers={"Idempotency-Key": key.encode("latin-1")})
    except httpx.LocalProtocolError:
        return  # no HTTP header; the client refuses to send it
    check(response)

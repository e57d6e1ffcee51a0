"""Floods of valid requests: questions that nobody can answer, and texts of every shape."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.serving.service import Service
from tests.support.served import TASK, TEXT, ServedData, eventually, listening, load_on_cpu

PREDICT = f"/v1/tasks/{TASK}/predict"
LIMIT_S = 60


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data = ServedData(tmp_path_factory.mktemp("flooded"))
    data.champion()
    with Service.open(data.settings_with(requests_per_s=0, texts_per_s=0), load=load_on_cpu) as opened:
        eventually(lambda: opened.slots[TASK].status().serving)
        yield opened


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with listening(service) as address, httpx.Client(base_url=address, timeout=LIMIT_S) as opened:
        yield opened


def feedback(key: str) -> dict[str, Any]:
    return {"event_id": key, "task": TASK, "user_id": "u", "verdict": "correction", "text": TEXT, "target": {"spans": []}}


def test_readers_of_unknown_fates_delay_neither_feedback_nor_known_fates(
    service: Service, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, told = threading.Event(), service.fates.of

    def slow_for_strangers(event_id: str) -> Any:
        assert not event_id.startswith("nobody") or go.wait(LIMIT_S)
        return told(event_id)

    assert client.post("/v1/feedback", json=feedback("known")).status_code == 202
    monkeypatch.setattr(service.fates, "of", slow_for_strangers)
    with ThreadPoolExecutor(100) as pool:
        try:
            asked = [
                pool.submit(httpx.get, f"{client.base_url}/v1/feedback/nobody-{number}", timeout=LIMIT_S) for number in range(60)
            ]
            eventually(lambda: any(one.done() for one in asked), within_s=LIMIT_S)
            # All the others wait for `go`, and nothing else does.
            for number in range(20):
                assert client.post("/v1/feedback", json=feedback(f"posted-{number}")).status_code == 202
                assert client.get("/v1/feedback/known").json()["status"] == "queued"
            assert sum(not one.done() for one in asked) == 21, "one is asked, twenty wait, the others are refused"
        finally:
            go.set()
    statuses = [one.result().status_code for one in asked]
    assert (statuses.count(404), statuses.count(503)) == (21, 39)


signs = st.sampled_from([*"$('\"-😀 \n\x00\u200d\ud800", "e\u0301", "http://a.b/", "a:", "日本。", "1,", "'s"])
runs = st.tuples(signs, st.integers(1, 3_000)).map(lambda each: each[0] * each[1])
shaped = st.lists(runs | st.text(max_size=50), min_size=1, max_size=4).map("".join)
texts = (shaped | st.text(min_size=1, max_size=300)).map(lambda text: f"{text}x")
bodies = st.one_of(
    st.fixed_dictionaries({"text": texts}),
    st.fixed_dictionaries({"texts": st.lists(texts, min_size=1, max_size=5)}),
    st.fixed_dictionaries({"title": texts}, optional={"body": texts, "article_id": st.just("a")}),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=bodies)
def test_no_request_that_follows_the_schema_breaks_it(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post(PREDICT, content=json.dumps(body), headers={"Content-Type": "application/json"})
    # A lone surrogate is not a text in UTF-8; everything else is answered.
    assert answer.status_code == 200 or (answer.status_code in (400, 422) and r"\ud800" in repr(body)), answer.text
    if answer.status_code == 200:
        sent = body.get("texts") or ["\n\n".join(part for part in (body.get("title"), body.get("body")) if part)]
        given_back = answer.json()["predictions"]
        assert len(given_back) == len(sent)
        for one in given_back:
            assert all(0 <= span["start"] < span["end"] for span in one["spans"])

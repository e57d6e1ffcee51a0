"""The HTTP interface over a real service: answers, refusals that name field and remedy, health, token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from config.clock import utc_now
from consumers.events.parsing import parse
from consumers.events.schemas import PREDICTIONS_TOPIC, PredictionMade
from consumers.log.embedded.log import EmbeddedLog
from daemon.serving.models.batching import OverloadedError
from daemon.serving.service import Service
from tests.support.registries import add_version
from tests.support.served import TASK, TEXT, TOPICS, ServedData, eventually, listening, load_on_cpu

PREDICT = f"/v1/tasks/{TASK}/predict"
TOKEN = "s3cret"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ServedData:
    made = ServedData(tmp_path_factory.mktemp("served"))
    made.champion()
    return made


@pytest.fixture(scope="module")
def service(data: ServedData) -> Iterator[Service]:
    with Service.open(data.settings_with(max_texts=4, max_body_bytes=100_000), load=load_on_cpu) as opened:
        eventually(lambda: opened.slots[TASK].status().serving)
        yield opened


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with listening(service) as address, httpx.Client(base_url=address, timeout=30) as opened:
        yield opened


def test_an_answer_carries_task_version_prediction_id_and_spans(client: httpx.Client) -> None:
    response = client.post(PREDICT, json={"text": TEXT})
    assert response.status_code == 200
    body = response.json()
    assert body["task"] == TASK
    assert body["version"] == f"{TASK}/v1"
    [prediction] = body["predictions"]
    assert prediction["spans"] == [{"start": 4, "end": 11, "label": "V1"}]
    assert prediction["prediction_id"].startswith("p-")


@pytest.mark.parametrize(
    ("body", "spans"),
    [
        ({"texts": ["nothing here", TEXT]}, [[], [[4, 11]]]),
        ({"title": "Vote", "body": "Riksdag votes"}, [[[6, 13]]]),
        ({"title": "Riksdag", "article_id": "a1"}, [[[0, 7]]]),
        ({"body": "The Riksdag"}, [[[4, 11]]]),
        ({"text": "\N{PARTY POPPER} Riksdag"}, [[[2, 9]]]),
    ],
)
def test_every_form_of_request_is_answered_in_code_points_of_its_text(client: httpx.Client, body: Any, spans: Any) -> None:
    predictions = client.post(PREDICT, json=body).json()["predictions"]
    assert [[[span["start"], span["end"]] for span in one["spans"]] for one in predictions] == spans


def test_prediction_ids_are_unique(client: httpx.Client) -> None:
    predictions = client.post(PREDICT, json={"texts": [TEXT] * 4}).json()["predictions"]
    assert len({one["prediction_id"] for one in predictions}) == 4


def test_every_answer_reaches_the_event_log_as_a_valid_event(client: httpx.Client, service: Service, data: ServedData) -> None:
    body = client.post(PREDICT, json={"text": TEXT, "article_id": "a-7"}).json()
    eventually(lambda: service.predictions.waiting() == 0)
    log = EmbeddedLog(data.settings.event_log_file, retention=timedelta(days=1))
    source = log.source("test", [PREDICTIONS_TOPIC])
    found: list[PredictionMade] = []

    def arrived() -> bool:
        for raw in source.poll(timeout_s=0.1, max_events=1000):
            event = parse(raw.value, tasks=service.tasks, now=utc_now())
            assert isinstance(event, PredictionMade)
            found.append(event)
        return any(one.prediction_id == body["predictions"][0]["prediction_id"] for one in found)

    eventually(arrived)
    source.close()
    log.close()
    event = next(one for one in found if one.prediction_id == body["predictions"][0]["prediction_id"])
    assert (event.task, event.model_version, event.article_id, event.text) == (TASK, f"{TASK}/v1", "a-7", TEXT)
    assert event.answer == {"spans": [{"start": 4, "end": 11, "label": "V1"}]}


# What is sent, the status, the field named, and a word of the remedy.
BAD_PREDICT = [
    (b"{", 400, "body", "send one JSON object"),
    (b"\xff\xfe", 400, "body", "UTF-8"),
    (b"[]", 400, "body", "send one JSON object"),
    (b'"text"', 400, "body", "send one JSON object"),
    (b"", 400, "body", "send one JSON object"),
    (b'{"text": NaN}', 400, "body", "send one JSON object"),
    (b"{}", 422, "body", "send exactly one"),
    (b'{"text": "a", "texts": ["b"]}', 422, "body", "send exactly one"),
    (b'{"texts": ["a"], "article_id": "x"}', 422, "body", "send text, or title and body"),
    (b'{"text": ""}', 422, "text", ""),
    (b'{"text": " \\n "}', 422, "text", ""),
    (b'{"text": null}', 422, "body", "send exactly one"),
    (b'{"text": 3}', 422, "text", "send a string"),
    (b'{"texts": []}', 422, "texts", "at least 1"),
    (b'{"texts": ["a", ""]}', 422, "texts.1", ""),
    (b'{"texts": ["a", 3]}', 422, "texts.1", "send a string"),
    (b'{"texts": "a"}', 422, "texts", "list"),
    (b'{"texts": ["a","a","a","a","a"]}', 422, "texts", "several requests"),
    (b'{"text": "a", "model": "v3"}', 422, "model", "remove it"),
    (b'{"text": "\\ud800"}', 422, "text", "U+FFFD"),
    (b'{"\\ud800": 1}', 422, "\\ud800", "U+FFFD"),
    (b'{"text": "a", "article_id": "no\\ttabs"}', 422, "article_id", "remove it"),
    (b'{"text": ' + b"[" * 5000 + b"]" * 5000 + b"}", None, None, ""),
    (b'{"text": "' + b"a" * 200_000 + b'"}', 413, "body", "max_body_bytes"),
]


@pytest.mark.parametrize(("body", "status", "field", "remedy"), BAD_PREDICT, ids=lambda value: repr(value)[:40])
def test_a_bad_predict_request_is_told_field_and_remedy(
    client: httpx.Client, body: Any, status: Any, field: str | None, remedy: str
) -> None:
    response = client.post(PREDICT, content=body, headers=JSON)
    error = response.json()["error"]
    assert 400 <= response.status_code < 500
    assert error["message"]
    assert error["remedy"]
    if status is not None:
        assert (response.status_code, error["field"]) == (status, field)
        assert remedy in error["remedy"]


def test_a_50_mb_article_is_refused_with_an_answer_and_the_server_goes_on(client: httpx.Client) -> None:
    response = client.post(PREDICT, content=b'{"text": "' + b"x" * 50_000_000 + b'"}', headers=JSON)
    assert response.status_code == 413
    assert response.json()["error"]["field"] == "body"
    assert client.post(PREDICT, json={"text": TEXT}).status_code == 200


def test_an_unknown_task_is_told_the_tasks(client: httpx.Client) -> None:
    response = client.post("/v1/tasks/weather/predict", json={"text": TEXT})
    assert response.status_code == 404
    assert response.json()["error"] == {
        "code": "not_found",
        "field": "task",
        "message": "task: 'weather' is not defined here",
        "remedy": f"the tasks are {TASK}, {TOPICS}",
    }


def test_a_task_without_champion_says_what_is_missing(client: httpx.Client) -> None:
    response = client.post(f"/v1/tasks/{TOPICS}/predict", json={"text": TEXT})
    assert (response.status_code, response.json()["error"]["code"]) == (409, "no_champion")
    assert "Retry-After" not in response.headers, "nothing comes of asking again in a moment"
    assert "no champion yet" in response.json()["error"]["message"]
    assert "perennial import" in response.json()["error"]["remedy"]


def test_a_body_that_is_not_declared_as_json_is_refused(client: httpx.Client) -> None:
    response = client.post(PREDICT, content=json.dumps({"text": TEXT}), headers={"Content-Type": "text/plain"})
    assert response.status_code == 415
    assert "application/json" in response.json()["error"]["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v2", 404), ("GET", "/v1/feedback", 405), ("POST", "/healthz", 405)]
)
def test_a_wrong_address_is_answered_in_the_same_shape(client: httpx.Client, method: str, path: str, status: Any) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["field"] == "path"
    assert response.json()["error"]["remedy"]


def test_an_overloaded_model_says_when_to_come_again(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_texts: object) -> NoReturn:
        raise OverloadedError

    monkeypatch.setattr(service.slots[TASK], "predict", full)
    response = client.post(PREDICT, json={"text": TEXT})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


def test_a_failing_model_gives_a_500_in_the_same_shape(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_texts: object) -> NoReturn:
        message = "secret detail"
        raise RuntimeError(message)

    monkeypatch.setattr(service.slots[TASK]._live.batcher._predictor, "predict", broken)
    response = client.post(PREDICT, json={"text": TEXT})
    assert response.status_code == 500
    assert response.json()["error"]["remedy"]
    assert "secret" not in response.text
    monkeypatch.undo()
    assert client.post(PREDICT, json={"text": TEXT}).status_code == 200


def test_tasks_and_models_say_what_answers(client: httpx.Client) -> None:
    tasks = {one["name"]: one for one in client.get("/v1/tasks").json()["tasks"]}
    assert (tasks[TASK]["champion"], tasks[TASK]["serving"], tasks[TASK]["ready"]) == (f"{TASK}/v1", f"{TASK}/v1", True)
    assert tasks[TOPICS]["problem"] == "no champion yet"
    [model] = client.get("/v1/models").json()["models"]
    assert (model["name"], model["champion"], model["serving"]) == (f"{TASK}/v1", True, True)
    assert client.get("/v1/models", params={"task": TOPICS}).json() == {"models": []}
    assert client.get("/v1/models", params={"task": "weather"}).status_code == 404


def test_nothing_can_be_explained_of_an_unknown_task_or_before_a_daemon_has_run(client: httpx.Client) -> None:
    for task in ("weather", TASK):
        refused = client.get(f"/v1/tasks/{task}/explain")
        assert (refused.status_code, refused.json()["error"]["field"]) == (404, "task")


def test_models_are_limited_to_the_newest(client: httpx.Client, service: Service) -> None:
    newest = add_version(service.registry, TASK)
    assert len(client.get("/v1/models").json()["models"]) == 2
    [model] = client.get("/v1/models", params={"limit": 1}).json()["models"]
    assert model["name"] == newest.name
    refused = client.get("/v1/models", params={"limit": 0})
    assert refused.status_code == 422
    assert refused.json()["error"]["field"] == "limit"


def test_health_and_readiness(client: httpx.Client) -> None:
    assert client.get("/healthz").json()["status"] == "alive"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["notes"] == {TOPICS: "no champion yet"}


def test_metrics_show_requests_predictions_and_alarms(client: httpx.Client) -> None:
    client.post(PREDICT, json={"text": TEXT})
    text = client.get("/metrics").text
    assert f'perennial_http_requests_total{{path="{PREDICT.replace(TASK, "{task}")}",status="200"}}' in text
    assert f'perennial_predictions_total{{task="{TASK}",version="{TASK}/v1"}}' in text
    assert f'perennial_model_load_failing{{task="{TASK}"}} 0.0' in text
    assert f'perennial_model_load_failures_total{{task="{TOPICS}"}} 0.0' in text
    assert f'perennial_model_serving{{task="{TASK}",version="{TASK}/v1"}} 1.0' in text
    assert "_created" not in text


def test_the_interface_is_described(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    bodies = {
        path: described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for path in ("/v1/tasks/{task}/predict", "/v1/feedback")
    }
    predict, feedback = (described["components"]["schemas"][name] for name in bodies.values())
    assert set(predict["properties"]) == {"texts", "text", "title", "body", "article_id"}
    assert not {"event_id", "occurred_at", "type"} & set(feedback["required"]), "serving fills them in"
    assert {"event_id", "occurred_at", "type", "user_id"} <= set(feedback["properties"])


def test_a_champion_that_cannot_be_loaded_is_not_ready_and_raises_the_alarm(tmp_path: Path) -> None:
    data = ServedData(tmp_path)
    version = data.champion()
    data.artifact_file(version).write_text("{}")
    with Service.open(data.settings, load=load_on_cpu) as service, listening(service) as address:
        eventually(lambda: service.slots[TASK].status().failure)
        response = httpx.get(f"{address}/readyz")
        assert response.status_code == 503
        assert "patterns.jsonl" in response.json()["reasons"][TASK]
        refusal = httpx.post(f"{address}{PREDICT}", json={"text": TEXT})
        assert refusal.status_code == 503
        assert "patterns.jsonl" in refusal.json()["error"]["message"]
        metrics = httpx.get(f"{address}/metrics").text
        assert f'perennial_model_load_failing{{task="{TASK}"}} 1.0' in metrics
        data.champion()
        eventually(lambda: httpx.get(f"{address}/readyz").status_code == 200)
        assert f'perennial_model_load_failing{{task="{TASK}"}} 0.0' in httpx.get(f"{address}/metrics").text


def test_with_a_token_only_health_is_open(tmp_path: Path) -> None:
    data = ServedData(tmp_path)
    with Service.open(data.settings_with(token=TOKEN), load=load_on_cpu) as service, listening(service) as address:
        assert httpx.get(f"{address}/healthz").status_code == 200
        assert httpx.get(f"{address}/readyz").status_code in (200, 503)
        for path in ("/v1/tasks", "/v1/models", "/metrics", "/openapi.json", "/v1/feedback/x"):
            refused = httpx.get(f"{address}{path}")
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"] == "Bearer"
            assert "Bearer TOKEN" in refused.json()["error"]["remedy"]
        assert httpx.get(f"{address}/v1/tasks", headers={"Authorization": "Bearer s3cre"}).status_code == 401
        assert httpx.get(f"{address}/v1/tasks", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert httpx.post(f"{address}{PREDICT}", json={"text": TEXT}).status_code == 401

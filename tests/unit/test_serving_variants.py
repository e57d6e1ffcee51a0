"""Serving by a variant: told where people and machines look; one that computes nothing for a text fails that request alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from structlog.testing import capture_logs

from daemon.process import probe
from daemon.process.presence import Presence
from daemon.process.probe import Computing
from daemon.serving.service import Service
from perennial_artifact.compute import Used
from perennial_artifact.formats import Opened
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.head import Features
from perennial_artifact.sentence.model import SentenceModel
from tests.support.served import TASK, TEXT, TOPICS, ServedData, as_opened, eventually, listening, publish_ruler

PREDICT = f"/v1/tasks/{TOPICS}/predict"
BREAKS = "overflow"
MAX_BYTES = 100_000
READS_CHARS = 1_000
WHY = "openvino-int8 is not used: it was made for another processor"


class Encoder:
    """A variant that computes nothing for texts with one word."""

    max_tokens = 16

    def __init__(self, used: Used) -> None:
        self.used = used
        self.asked = threading.Event()

    def features(self, texts: Sequence[str]) -> tuple[Features, list[bool]]:
        self.asked.set()
        rows = [[np.nan if BREAKS in text else 1.0, 0.0] for text in texts]
        return np.array(rows, dtype=np.float32), [len(text) > READS_CHARS for text in texts]


class Head:
    """Answers by the first feature."""

    weight = np.zeros((1, 2), dtype=np.float32)

    def answers(self, features: Features, cut: Sequence[bool]) -> list[Answer]:
        return [
            {"label": "sports", "scores": {"sports": float(row[0]), "politics": 0.0}, "truncated": long}
            for row, long in zip(features, cut, strict=True)
        ]


class Models:
    """What serving loads: the newest of these for each version."""

    def __init__(self) -> None:
        self.used = Used("openvino-int8")

    def load(self, _folder: Path, _before: Opened | None) -> Opened:
        return as_opened(SentenceModel(Encoder(self.used), Head()))  # type: ignore[type-var]  # as much of a head as is asked


def publish(data: ServedData) -> str:
    return publish_ruler(data.registry, data.artifacts, TOPICS, data.folder)


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path)
    made.promote(publish(made))
    return made


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def service(data: ServedData, models: Models) -> Iterator[Service]:
    with Service.open(data.settings_with(max_body_bytes=MAX_BYTES), load=models.load) as opened:
        eventually(lambda: opened.slots[TOPICS].status().serving)
        yield opened


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with listening(service) as address, httpx.Client(base_url=address, timeout=30) as opened:
        yield opened


def computing_metrics(client: httpx.Client) -> list[str]:
    return [line for line in client.get("/metrics").text.splitlines() if line.startswith("perennial_model_computes_by{")]


def test_what_computes_is_told_by_readiness_tasks_metrics_and_whoever_asks_the_process(
    client: httpx.Client, service: Service, data: ServedData, models: Models
) -> None:
    here = Presence(0, 0.0, "", str(client.base_url).rstrip("/"))
    assert client.get("/readyz").json()["computes_by"] == {TOPICS: "openvino-int8"}
    assert computing_metrics(client) == [f'perennial_model_computes_by{{task="{TOPICS}",variant="openvino-int8"}} 1.0']
    assert probe.computing(here) == Computing({TOPICS: "openvino-int8"}, {})
    models.used = Used("fp32", WHY)
    second = publish(data)
    data.promote(second)
    eventually(lambda: service.slots[TOPICS].status().serving == second)
    eventually(lambda: computing_metrics(client) == [f'perennial_model_computes_by{{task="{TOPICS}",variant="fp32"}} 1.0'])
    assert probe.computing(here) == Computing({TOPICS: "fp32"}, {TOPICS: WHY})
    told = {task["name"]: (task["computes_by"], task["passed_over"]) for task in client.get("/v1/tasks").json()["tasks"]}
    assert told == {TOPICS: ("fp32", WHY), TASK: (None, None)}
    (data.folder / "tasks" / "topics.yaml").unlink()
    service.reload()
    assert computing_metrics(client) == []


def test_one_that_does_not_say_what_computes_says_nothing() -> None:
    assert probe.computing(Presence(0, 0.0, "", "http://127.0.0.1:9"), patience_s=1.0) == Computing()


def test_a_text_that_a_variant_computes_nothing_for_fails_its_request_alone(
    client: httpx.Client, service: Service, data: ServedData
) -> None:
    # What is logged is not shown: that takes a second for each failure.
    with capture_logs() as logs, ThreadPoolExecutor(4) as pool:
        bodies = [{"text": f"{BREAKS} in text {n}" if n % 4 == 0 else f"{TEXT} {n}"} for n in range(8)]
        answers = list(pool.map(lambda body: client.post(PREDICT, json=body), bodies))
        together = client.post(PREDICT, json={"texts": [TEXT, BREAKS]})
    assert [answer.status_code for answer in (*answers, together)] == [500, 200, 200, 200, 500, 200, 200, 200, 500]
    assert answers[0].json()["error"]["code"] == "internal"
    assert [line["event"] for line in logs] == ["serving.request_failed"] * 3
    after = client.post(PREDICT, json={"text": TEXT})
    assert (after.status_code, after.json()["version"]) == (200, f"{TOPICS}/v1")
    assert client.get("/readyz").status_code == 200
    counted = f'perennial_predictions_total{{task="{TOPICS}",version="{TOPICS}/v1"}} 7.0'
    assert counted in client.get("/metrics").text, "what failed is no prediction"


def test_empty_and_huge_texts_are_refused_and_long_ones_answered_from_their_beginning(client: httpx.Client) -> None:
    for body in ({"text": ""}, {"text": " \n\t"}, {"texts": [TEXT, ""]}, {"title": "", "body": ""}):
        refused = client.post(PREDICT, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid")
    huge = client.post(PREDICT, json={"text": "a" * MAX_BYTES})
    assert (huge.status_code, huge.json()["error"]["code"]) == (413, "too_large")
    [long] = client.post(PREDICT, json={"text": "a" * (MAX_BYTES // 2)}).json()["predictions"]
    [short] = client.post(PREDICT, json={"text": "a"}).json()["predictions"]
    assert (long["truncated"], short["truncated"], short["label"]) == (True, False, "sports")

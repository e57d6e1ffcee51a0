"""The client against a real service over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.events.schemas import FEEDBACK_TOPIC, content_sha256
from consumers.log.embedded.log import EmbeddedLog
from daemon.serving.service import Service
from perennial_client import AsyncClient, Client, NoChampionError, RefusedError, Retries, UnavailableError
from registry.people.corrections import Correction
from tests.support.event_logs import read
from tests.support.proxies import Proxy, proxied
from tests.support.served import TASK, TEXT, TOPICS, ServedData, eventually, listening, load_on_cpu

TARGET = {"spans": [{"start": 4, "end": 11, "label": "ORG"}]}
KEY = "s3cret"


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path)
    made.champion()
    return made


@pytest.fixture
def proxy(data: ServedData) -> Iterator[Proxy]:
    with (
        Service.open(data.settings_with(token=KEY), load=load_on_cpu) as service,
        listening(service) as address,
        proxied(address) as proxy,
    ):
        eventually(lambda: service.slots[TASK].status().serving)
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    with Client(proxy.address, api_key=KEY) as opened:
        yield opened


def feedback_events(data: ServedData) -> list[dict[str, Any]]:
    with closing(EmbeddedLog(data.settings.event_log_file, retention=timedelta(days=1))) as log, closing(log.sink()) as sink:
        sink.publish(FEEDBACK_TOPIC, b'{"event_id": "the last one"}')
        sink.flush()
        with closing(log.source("test", [FEEDBACK_TOPIC])) as source:
            found: list[dict[str, Any]] = []
            while not found or found[-1]["event_id"] != "the last one":
                found += [json.loads(event.value or b"") for event in read(source, 1)]
    return found[:-1]


def test_predict_correct_and_ask_for_the_fate(client: Client, data: ServedData) -> None:
    first, second = client.predict(TASK, [TEXT, "nothing here"])
    assert [span.label for span in first.spans] == ["V1"]
    assert second.spans == ()
    receipt = client.feedback(TASK, user_id="u", verdict="correction", target=TARGET, prediction_id=first.prediction_id)
    assert client.fate(receipt.event_id).status == "queued"
    [event] = feedback_events(data)
    assert (event["event_id"], event["prediction_id"], event["target"]) == (receipt.event_id, first.prediction_id, TARGET)
    assert client.champion(TASK).version == first.version == f"{TASK}/v1"


def test_an_answer_of_a_correction_says_so_and_so_does_its_receipt(client: Client, data: ServedData) -> None:
    body = {"user_id": "u", "verdict": "correction", "target": TARGET, "text": TEXT, "event_id": "f-1"}
    receipt = client.feedback(TASK, **body)
    assert (receipt.answers_since, receipt.learnt_in, receipt.in_champion) == (None, None, False)
    said = Correction(content_sha256(TEXT), "f-1", TARGET, accepted=True, examples=("f-1",))
    data.registry.corrections.put(TASK, [said])
    eventually(lambda: client.predict(TASK, [TEXT])[0].answered_by == "correction")
    own, other = client.predict(TASK, [TEXT, "nothing here"])
    assert (own.correction_id, [span.label for span in own.spans]) == ("f-1", ["ORG"])
    assert (other.answered_by, other.correction_id) == ("model", None)
    assert dict(own.answer) == TARGET
    assert client.feedback(TASK, **body).answers_since is not None


def test_an_answer_that_was_lost_on_its_way_makes_no_second_event(client: Client, proxy: Proxy, data: ServedData) -> None:
    lost: list[bytes] = []

    def lose_two(answer: bytes) -> bytes | None:
        if len(lost) == 2 or b"202 Accepted" not in answer:
            return answer
        lost.append(answer)
        return None

    proxy.change = lose_two
    receipt = client.feedback(TASK, user_id="u", verdict="correction", target=TARGET, text=TEXT)
    assert len(lost) == 2
    assert proxy.requests.count(b"POST /v1/feedback") == 3
    assert [event["event_id"] for event in feedback_events(data)] == [receipt.event_id]
    assert (
        client.feedback(TASK, user_id="u", verdict="correction", target=TARGET, text=TEXT, event_id=receipt.event_id) == receipt
    )
    with pytest.raises(RefusedError, match="with other content") as conflict:
        client.feedback(TASK, user_id="v", verdict="correction", target=TARGET, text=TEXT, event_id=receipt.event_id)
    assert (conflict.value.status, conflict.value.field) == (409, "event_id")


def test_what_serving_says_reaches_the_app(client: Client, proxy: Proxy) -> None:
    with pytest.raises(RefusedError) as refused:
        client.predict("weather", [TEXT])
    assert (refused.value.status, refused.value.field, refused.value.remedy) == (404, "task", f"the tasks are {TASK}, {TOPICS}")
    with pytest.raises(RefusedError, match=r"target.spans.*ends outside the text"):
        client.feedback(
            TASK, user_id="u", verdict="correction", target={"spans": [{"start": 0, "end": 999, "label": "X"}]}, text=TEXT
        )
    with pytest.raises(RefusedError) as many:
        client.predict(TASK, [TEXT] * 257)
    assert many.value.remedy == "send them in several requests"
    began = time.monotonic()
    with pytest.raises(NoChampionError, match="no champion yet") as none_yet:
        client.predict(TOPICS, [TEXT])
    assert none_yet.value.status == 409
    assert time.monotonic() - began < client.retries.deadline_s / 2, "it is not waited for"
    with Client(proxy.address, api_key="wrong") as stranger, pytest.raises(RefusedError) as unknown:
        stranger.predict(TASK, [TEXT])
    assert (unknown.value.status, unknown.value.field) == (401, "Authorization")


def test_a_server_that_comes_back_is_found(client: Client, proxy: Proxy) -> None:
    client.predict(TASK, [TEXT])
    proxy.break_after = 0
    threading.Timer(0.4, lambda: setattr(proxy, "break_after", None)).start()
    assert client.predict(TASK, [TEXT])[0].version == f"{TASK}/v1"
    proxy.break_after = 0
    with Client(proxy.address, api_key=KEY, retries=Retries(deadline_s=0.3)) as hasty, pytest.raises(UnavailableError):
        hasty.predict(TASK, [TEXT])


def test_many_threads_share_one_client_and_its_connections(client: Client, proxy: Proxy) -> None:
    answers: list[str] = []

    def ask(number: int) -> None:
        for _ in range(20):
            texts = ["nothing"] * (number % 3) + [TEXT]
            answers.append(client.predict(TASK, texts)[-1].spans[0].label)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["V1"] * 160
    assert proxy.connections <= 8


def test_the_async_client_does_the_same(proxy: Proxy, data: ServedData) -> None:
    async def use() -> str:
        async with AsyncClient(proxy.address, api_key=KEY) as client:
            answers = await asyncio.gather(*(client.predict(TASK, [TEXT]) for _ in range(20)))
            assert {one.spans[0].label for [one] in answers} == {"V1"}
            receipt = await client.feedback(TASK, user_id="u", verdict="confirmation", target=TARGET, text=TEXT)
            assert (await client.fate(receipt.event_id)).status == "queued"
            assert (await client.champion(TASK)).generation == 1
            return receipt.event_id

    assert [asyncio.run(use())] == [event["event_id"] for event in feedback_events(data)]

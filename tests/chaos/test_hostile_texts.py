"""Texts made to stop entity recognition: the real serving process answers them, and everybody else meanwhile."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
import spacy

from perennial_artifact.spacy.tokens import make_linear
from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving
from trainers.learners.protocols import Example
from trainers.learners.spacy.rows import lay_on_tokens

PREDICT = f"/v1/tasks/{TASK}/predict"
GIANTS = {"parentheses": "(" * 60_000, "prose": f"{TEXT} " * 8_000, "emoji": "😀" * 160_000}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = ServedData(tmp_path_factory.mktemp("hostile"))
    data.champion()
    with serving(data.settings_with(texts_per_s=0, requests_per_s=0)) as (_process, found):
        with httpx.Client(base_url=found) as client:
            eventually(lambda: client.get("/readyz").json()["serving"][TASK])
        yield found


@pytest.mark.parametrize("text", GIANTS.values(), ids=GIANTS)
def test_a_giant_text_is_answered_and_holds_nobody_up(address: str, text: str) -> None:
    with httpx.Client(base_url=address, timeout=240) as client, ThreadPoolExecutor(2) as pool:
        giants = [pool.submit(client.post, PREDICT, json={"text": text}) for _ in range(2)]
        passed = 0
        while not all(giant.done() for giant in giants):
            found = client.post(PREDICT, json={"text": TEXT})
            assert [span["label"] for span in found.json()["predictions"][0]["spans"]] == ["V1"]
            passed += not any(giant.done() for giant in giants)
    assert passed >= 2, "they waited for the giant texts"
    assert [giant.result().status_code for giant in giants] == [200, 200]
    if TEXT in text:
        assert len(giants[0].result().json()["predictions"][0]["spans"]) == 8_000


def test_the_texts_of_a_client_that_has_gone_are_dropped(address: str) -> None:
    where = urlsplit(address)
    body = json.dumps({"text": f"{TEXT} " * 30_000}).encode()
    headers = f"Host: {where.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    head = f"POST {PREDICT} HTTP/1.1\r\n{headers}\r\n\r\n"
    for _ in range(3):
        with socket.create_connection((where.hostname, where.port)) as connection:
            connection.sendall(head.encode() + body)

    def dropped() -> bool:
        shown = httpx.get(f"{address}/metrics", timeout=60).text
        return 'perennial_http_requests_total{path="/v1/tasks/{task}/predict",status="499"} 3.0' in shown

    eventually(dropped, within_s=120)
    assert httpx.post(f"{address}{PREDICT}", json={"text": TEXT}, timeout=60).status_code == 200


def test_such_a_text_among_the_rows_of_a_run_does_not_stop_it() -> None:
    prose = Example("prose", TEXT, {"spans": []})
    hostile = [Example(f"h{number}", f"{TEXT} {run * 20_000}", {"spans": []}) for number, run in enumerate("$(-😀")]
    laid, report = lay_on_tokens(make_linear(spacy.blank("en")), [*hostile, prose], (), text_time_s=10.0)
    assert report.over_time == []
    assert laid[-1].text == TEXT
    assert "".join(part.text for part in laid) == "".join(row.text for row in [*hostile, prose])

"""Requests and connections made to stop serving, over real sockets: it refuses them, keeps its memory, and answers the others."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from daemon.serving.service import Service
from tests.support.served import TASK, TEXT, ServedData, eventually, listening, load_on_cpu
from tests.support.serving_process import serving

PREDICT = f"/v1/tasks/{TASK}/predict"
BODY = json.dumps({"text": TEXT}).encode()
JSON = {"Content-Type": "application/json"}
LIMIT_S = 60


class Served:
    """A service that listens, and raw requests to it."""

    def __init__(self, service: Service, address: str) -> None:
        self.service = service
        self.address = address
        self.where = (str(urlsplit(address).hostname), urlsplit(address).port)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.where, LIMIT_S)

    def raw(self, request: bytes) -> bytes:
        """Send bytes and return what comes back until the server closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)

    def ended(self, reason: str) -> float:
        return self.service.metrics.registry.get_sample_value("perennial_http_connections_ended_total", {"reason": reason}) or 0.0

    def answers(self) -> bool:
        return httpx.post(f"{self.address}{PREDICT}", json={"text": TEXT}, timeout=LIMIT_S).status_code == 200


def read_all(connection: socket.socket) -> bytes:
    found = b""
    while chunk := connection.recv(65536):
        found += chunk
    return found


def error_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    found: dict[str, Any] = json.loads(body)["error"]
    assert found["message"]
    assert found["remedy"]
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ServedData:
    made = ServedData(tmp_path_factory.mktemp("served"))
    made.champion()
    return made


@contextmanager
def served(data: ServedData, **changes: Any) -> Iterator[Served]:
    with Service.open(data.settings_with(**changes), load=load_on_cpu) as service, listening(service) as address:
        eventually(lambda: service.slots[TASK].status().serving)
        yield Served(service, address)


@pytest.fixture(scope="module")
def server(data: ServedData) -> Iterator[Served]:
    with served(data) as opened:
        yield opened


def head(*lines: str, method: str = "POST", version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join(
        [f"{method} {PREDICT} {version}", "Host: localhost", "Content-Type: application/json", *lines, "", ""]
    ).encode()


LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = {
    "a length and chunks": head(LENGTH, "Transfer-Encoding: chunked") + CHUNKED,
    "chunks and a length": head("Transfer-Encoding: chunked", "Content-Length: 3") + CHUNKED,
    "two lengths": head(LENGTH, "Content-Length: 3") + BODY,
    "one length twice": head(LENGTH, LENGTH) + BODY,
    "a list of lengths": head(f"{LENGTH}, {len(BODY)}") + BODY,
    "a length with a sign": head(f"Content-Length: +{len(BODY)}") + BODY,
    "a folded header": head("X: a", " b", LENGTH) + BODY,
    "a folded length": head("Content-Length:", f" {len(BODY)}") + BODY,
    "bare LF": head(LENGTH).replace(b"\r\n", b"\n") + BODY,
    "bare LF once": head("X: a\nContent-Length: 3", LENGTH) + BODY,
    "bare LF at the end": head(LENGTH)[:-4] + b"\n\r\n" + BODY,
    "bare CR": head("X: a\rContent-Length: 3", LENGTH) + BODY,
    "space before the colon": head("Content-Length : 3", LENGTH) + BODY,
    "chunks twice": head("Transfer-Encoding: chunked, chunked") + CHUNKED,
    "another coding": head("Transfer-Encoding: gzip, chunked") + CHUNKED,
    "a hidden coding": head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + CHUNKED,
    "chunks of HTTP/1.0": head("Transfer-Encoding: chunked", version="HTTP/1.0") + CHUNKED,
    "two hosts": head("Host: 127.0.0.1", LENGTH) + BODY,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", SMUGGLED.values(), ids=SMUGGLED)
def test_what_two_parsers_may_read_differently_is_refused_and_the_connection_closed(server: Served, request_bytes: bytes) -> None:
    before = server.ended("malformed")
    # What follows on the connection would be the hidden request.
    answer = server.raw(request_bytes + head(LENGTH) + BODY)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1 200" not in answer
    assert "not valid HTTP" in error_of(answer)["message"]
    assert server.ended("malformed") == before + 1
    assert server.answers()


def test_plain_and_chunked_requests_are_answered_one_after_the_other(server: Served) -> None:
    several = head(LENGTH) + BODY + head("Transfer-Encoding: chunked") + CHUNKED + head(LENGTH, "Connection: close") + BODY
    with server.connect() as connection:
        for at in range(0, len(several), 7):
            connection.sendall(several[at : at + 7])
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/v1/tasks", "/v1/models", "/openapi.json", "/nowhere", PREDICT]
)
def test_head_is_get_without_the_body(server: Served, path: str) -> None:
    get, head_only = (httpx.request(method, f"{server.address}{path}", timeout=LIMIT_S) for method in ("GET", "HEAD"))
    assert head_only.status_code == get.status_code
    assert head_only.content == b""
    assert head_only.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8310", "localhost.evil.example", "192.0.2.1", "[2001:db8::1]:80", "0"]
)
@pytest.mark.parametrize("path", ["/v1/feedback", "/healthz", "/readyz", "/metrics", PREDICT])
def test_without_keys_a_name_that_is_not_this_machine_is_refused(server: Served, host: str, path: str) -> None:
    answer = httpx.post(f"{server.address}{path}", headers={"Host": host}, json={"task": TASK}, timeout=LIMIT_S)
    assert (answer.status_code, answer.json()["error"]["field"]) == (421, "Host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8310", "localhost.", "127.0.0.1", "127.8.9.1:80", "[::1]:8310"])
def test_without_keys_every_name_of_this_machine_is_answered(server: Served, host: str) -> None:
    assert httpx.get(f"{server.address}/healthz", headers={"Host": host}, timeout=LIMIT_S).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Origin": "file://"}, 403), ({"Origin": "http://127.0.0.1:3000"}, 200),
        ({"Origin": "http://localhost"}, 200), ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)  # fmt: skip
def test_without_keys_another_sites_page_is_refused(server: Served, headers: dict[str, str], status: int) -> None:
    answer = httpx.post(f"{server.address}{PREDICT}", headers=headers, json={"text": TEXT}, timeout=LIMIT_S)
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["field"] == "Origin"


def test_with_a_token_names_and_origins_are_the_callers_business(data: ServedData) -> None:
    with served(data, token="s3cret") as server:
        headers = {"Host": "models.example", "Origin": "https://app.example", "Authorization": "Bearer s3cret"}
        assert httpx.get(f"{server.address}/v1/tasks", headers=headers, timeout=LIMIT_S).status_code == 200


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (b"GET /healthz HT", "the head"),
        (head(LENGTH) + BODY[:5], "the body"),
        (head("Transfer-Encoding: chunked") + b"5\r\nab", "the body"),
    ],
    ids=["head", "body", "chunk"],
)
def test_a_request_that_does_not_arrive_is_given_up(data: ServedData, sent: bytes, what: str) -> None:
    with served(data, read_timeout_s=0.3) as server:
        answer = server.raw(sent)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert error_of(answer)["message"].startswith(what)
        # A connection that was opened in advance and says nothing is closed without a word.
        assert server.raw(b"") == b""
        assert server.ended("slow") == 1


def test_unfinished_bodies_have_one_budget_and_give_it_back(data: ServedData) -> None:
    with served(data, max_bodies_bytes=150_000) as server, ExitStack() as held:
        begun = head("Content-Length: 1000000") + b" " * 60_000
        holders = [held.enter_context(server.connect()) for _ in range(4)]
        for connection in holders:
            connection.sendall(begun)
        large = json.dumps({"text": "word " * 20_000})

        def full() -> bool:
            return httpx.post(f"{server.address}{PREDICT}", content=large, headers=JSON, timeout=LIMIT_S).status_code == 503

        eventually(full, within_s=LIMIT_S)
        assert server.answers(), "a small request finds room"
        for connection in holders:
            connection.close()
        eventually(lambda: not full(), within_s=LIMIT_S)


def test_idle_connections_without_end_leave_room_for_who_asks(data: ServedData, tmp_path: Path) -> None:
    log_file = tmp_path / "log"

    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))

    with (
        log_file.open("w") as stream,
        serving(data.settings_with(texts_per_s=0), stderr=stream, preexec_fn=few_descriptors) as (process, address),
        ExitStack() as held,
    ):
        where = (str(urlsplit(address).hostname), urlsplit(address).port)
        eventually(lambda: httpx.get(f"{address}/readyz", timeout=LIMIT_S).json()["serving"][TASK], within_s=LIMIT_S)
        for _ in range(150):
            held.enter_context(socket.create_connection(where, LIMIT_S))
        for _ in range(20):
            answer = httpx.post(f"{address}{PREDICT}", json={"text": TEXT}, timeout=LIMIT_S)
            assert answer.status_code == 200
        assert process.poll() is None
    assert len(log_file.read_text().splitlines()) < 40
    assert "Traceback" not in log_file.read_text()

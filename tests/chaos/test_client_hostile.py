"""Whatever bytes a server sends, the client raises its own errors, in time and in little memory."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perennial_artifact import manifest
from perennial_artifact.errors import UnusableError
from perennial_client import (
    AsyncClient,
    Champion,
    Client,
    Model,
    ModelError,
    NoChampionError,
    PerennialError,
    RefusedError,
    Retries,
    UnavailableError,
    download,
)  # fmt: skip
from perennial_client.answers import MANIFEST_BYTES, PREDICTIONS_BYTES
from perennial_client.cache import Cache

# `verify=False` below: the authorities of a system take longer to load than most of these answers.
QUICK = Retries(deadline_s=0.6, timeout_s=30, connect_timeout_s=30, first_wait_s=0.01, longest_wait_s=0.05)
PATIENT = Retries(deadline_s=60)
"""For what is refused at once, however busy the machine is."""
IN_TIME_S = 10.0
"""Far above the deadline, for a busy machine; far below what each attack would take."""
KEY = "s3cret-of-the-app"
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("predict", ("t", ["hello"]), {}),
    ("champion", ("t",), {}),
    ("fate", ("e-1",), {}),
    ("feedback", ("t",), {"user_id": "u", "verdict": "correction", "target": {"label": "b"}, "text": "hello"}),
]
Talk = Callable[[socket.socket], None]


class Hostile:
    """Listens on loopback; `talk` is what it does to every connection once a request has begun."""

    def __init__(self) -> None:
        self.talk: Talk = lambda _line: None
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _address = self._listener.accept()
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            self.heard += line.recv(1 << 16)
            self.talk(line)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Hostile]:
    one = Hostile()
    yield one
    one.close()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: Hostile) -> Callable[..., Any]:
    """Return `ask(method, *args, **kwargs)`, one call of either client."""

    def sync(method: str, *args: Any, **kwargs: Any) -> Any:
        with Client(server.address, api_key=KEY, retries=QUICK, verify=False) as client:
            return getattr(client, method)(*args, **kwargs)

    async def call(method: str, *args: Any, **kwargs: Any) -> Any:
        async with AsyncClient(server.address, api_key=KEY, retries=QUICK, verify=False) as client:
            return await getattr(client, method)(*args, **kwargs)

    return sync if request.param == "sync" else lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    told = [f"Content-Length: {len(body) if length is None else length}"] if length != -1 else []
    return "\r\n".join([f"HTTP/1.1 {status}", *told, *headers, "", ""]).encode("latin-1") + body


def says(answer: bytes) -> Talk:
    return lambda line: line.sendall(answer)


def drips(start: bytes, drop: bytes) -> Talk:
    """Send `drop` after `drop`, each sooner than any silence is noticed."""

    def talk(line: socket.socket) -> None:
        line.sendall(start)
        while True:
            line.sendall(drop)
            time.sleep(0.1)

    return talk


def floods(start: bytes) -> Talk:
    def talk(line: socket.socket) -> None:
        line.sendall(start)
        while True:
            line.sendall(b" " * (1 << 20))

    return talk


PREDICTION = b'{"task":"t","version":"t/v1","predictions":[%s]}'
ODD_BODIES: dict[str, bytes] = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep inside": b'{"task":"t","version":"t/v1","predictions":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "huge number": b'{"generation":' + b"9" * 100_000 + b"}",
    "infinite": b'{"task":"t","version":"t/v1","kind":"ner","backend":"spacy","precision":"fp32","manifest_sha256":"0",'
    b'"since":"2026-01-01T00:00:00Z","generation":1e999,"size_bytes":1}',
    "no number": b'{"generation": NaN}',
    "not utf-8": b"\xff\xfe\x00{",
    "empty": b"",
    "a list": b"[]",
    "a text": b'"predictions"',
    "html": b"<html><body>Log in to the hotel's network</body></html>",
    "predictions an object": b'{"task":"t","version":"t/v1","predictions":{"a":1}}',
    "prediction a list": PREDICTION % b"[]",
    "no id": PREDICTION % b'{"label":"a","scores":{"a":1}}',
    "id a list": PREDICTION % b'{"prediction_id":["x"],"label":"a"}',
    "label an object": PREDICTION % b'{"prediction_id":"p","label":{"a":1},"scores":{}}',
    "scores a list": PREDICTION % b'{"prediction_id":"p","label":"a","scores":[1]}',
    "scores of objects": PREDICTION % b'{"prediction_id":"p","label":"a","scores":{"a":{}}}',
    "spans incomplete": PREDICTION % b'{"prediction_id":"p","spans":[{"start":0}]}',
    "spans infinite": PREDICTION % b'{"prediction_id":"p","spans":[{"start":0,"end":1e999,"label":"x"}]}',
    "two for one": PREDICTION % b'{"prediction_id":"p","spans":[]},{"prediction_id":"q","spans":[]}',
    "error of errors": b'{"error":{"message":' + b"[" * 50_000,
    "surrogates": b'{"event_id":"\\ud800","task":"\\udfff"}',
}


@pytest.mark.parametrize("status", ["200 OK", "503 Busy"])
@pytest.mark.parametrize("body", ODD_BODIES)
def test_no_content_breaks_through(ask: Callable[..., Any], server: Hostile, body: str, status: str) -> None:
    server.talk = says(http(ODD_BODIES[body], "Connection: close", status=status))
    for method, args, kwargs in CALLS:
        with pytest.raises(PerennialError):
            ask(method, *args, **kwargs, deadline_s=0.05)


ODD_HEADS: dict[str, bytes] = {
    "nothing": b"",
    "no http": b"SSH-2.0-OpenSSH_9.9\r\n",
    "binary": bytes(range(256)) * 64,
    "endless digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n{}",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "no status": b"HTTP/1.1 XYZ\r\n\r\n",
    "status 999": b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(50_000)),
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n{}\r\n0\r\n\r\n",
    "cut": http(b"{", length=500),
    "a wait of ages": http(b"{}", "Retry-After: " + "9" * 5_000, status="503 Busy"),
    "a wait until never": http(b"{}", "Retry-After: Mon, 99 Foo 99999999 99:99:99 +99999999", status="503 Busy"),
    "a charset": http(b"{}", "Content-Type: application/json; charset=\xff\xfe"),
    "gzip that is none": http(b"{}", "Content-Encoding: gzip"),
    "unknown encoding": http(b"{}", "Content-Encoding: aes128gcm"),
}


@pytest.mark.parametrize("head", ODD_HEADS)
def test_no_head_breaks_through(ask: Callable[..., Any], server: Hostile, head: str) -> None:
    server.talk = says(ODD_HEADS[head])
    for method, args, kwargs in CALLS[:2]:
        with pytest.raises(PerennialError):
            ask(method, *args, **kwargs, deadline_s=0.1)


def test_random_bytes_break_nothing(ask: Callable[..., Any], server: Hostile) -> None:
    chance = random.Random(7)
    good = http(PREDICTION % b'{"prediction_id":"p-1","label":"a","scores":{"a":0.5,"b":0.25}}', "Connection: close")
    for _ in range(30):
        changed = bytearray(good)
        for _change in range(chance.randint(1, 6)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        server.talk = says(bytes(changed))
        with suppress(PerennialError):
            [prediction] = ask("predict", "t", ["hello"], deadline_s=0.05)
            assert isinstance(prediction.prediction_id, str)
            assert all(isinstance(one.label, str) for one in (prediction.spans if "spans" in prediction.answer else ()))


ENDLESS: dict[str, Talk] = {
    "in the status line": drips(b"HTTP/1.1 200 O", b"K"),
    "in the headers": drips(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
    "in the body": drips(http(b"", length=1 << 20), b" "),
    "in chunks": drips(http(b"", "Transfer-Encoding: chunked", length=-1), b"1\r\n \r\n"),
    "in interim answers": drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "by saying nothing": lambda _line: time.sleep(30),
    "in a refusal": drips(http(b"", status="503 Busy", length=1 << 20), b" "),
}


@pytest.mark.parametrize("where", ENDLESS)
def test_a_dripping_answer_does_not_stretch_the_deadline(ask: Callable[..., Any], server: Hostile, where: str) -> None:
    server.talk = ENDLESS[where]
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        ask("predict", "t", ["hello"])
    assert time.monotonic() - began < IN_TIME_S


def test_a_server_that_reads_byte_by_byte_does_not_stretch_the_deadline(ask: Callable[..., Any], server: Hostile) -> None:
    def talk(line: socket.socket) -> None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while line.recv(1):
            time.sleep(0.1)

    server.talk = talk
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        ask("predict", "t", ["x" * 20_000_000])
    assert time.monotonic() - began < IN_TIME_S


@pytest.mark.parametrize("start", [http(b"", length=600 << 20), http(b"", length=-1)], ids=["with a length", "without"])
def test_an_endless_answer_is_not_kept(ask: Callable[..., Any], server: Hostile, start: bytes) -> None:
    server.talk = floods(start)
    tracemalloc.start()
    try:
        with pytest.raises(PerennialError):
            ask("predict", "t", ["hello"], deadline_s=60)
        with pytest.raises(RefusedError, match="larger than"):
            ask("champion", "t", deadline_s=60)
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * PREDICTIONS_BYTES


def test_a_compressed_answer_is_not_unfolded(ask: Callable[..., Any], server: Hostile) -> None:
    server.talk = says(http(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip"))
    for method, args, kwargs in CALLS:
        with pytest.raises(RefusedError, match="compressed"):
            ask(method, *args, **kwargs, deadline_s=60)


def test_the_key_goes_to_no_other_host(ask: Callable[..., Any], server: Hostile) -> None:
    other = Hostile()
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        server.talk = says(http(b"", f"Location: {other.address}/v1", status=status))
        for method, args, kwargs in CALLS:
            with pytest.raises(RefusedError, match="it is a redirect to"):
                ask(method, *args, **kwargs, deadline_s=60)
    other.close()
    assert KEY.encode() in server.heard
    assert other.heard == b""


def test_what_a_server_says_cannot_command_a_terminal(ask: Callable[..., Any], server: Hostile) -> None:
    said = {"error": {"message": "\x1b[2J\x1b]0;owned\x07" + "x" * 500_000, "remedy": "a\r\nb\u202e", "field": "\x00"}}
    server.talk = says(http(json.dumps(said).encode(), status="422 No"))
    with pytest.raises(RefusedError) as refused:
        ask("champion", "t", deadline_s=60)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 10_000


def test_no_champion_is_told_at_once(ask: Callable[..., Any], server: Hostile) -> None:
    error = {"code": "no_champion", "field": "task", "message": "task 't' has no champion yet", "remedy": "import some"}
    for status in ("409 Conflict", "503 Busy"):
        server.heard = b""
        server.talk = says(http(json.dumps({"error": error}).encode(), "Connection: close", status=status))
        with pytest.raises(NoChampionError, match="import some"):
            ask("predict", "t", ["hello"], deadline_s=60)
        assert server.heard.count(b"POST ") == 1, "it is asked once"


# What a manifest may not say, whoever signed for it.
FILE = {"sha256": "0" * 64, "size_bytes": 1}
BAD_MANIFESTS: dict[str, Any] = {
    "too many files": {f"f{n}": FILE for n in range(manifest.MOST_FILES + 1)},
    "out of the folder": {"../x": FILE},
    "from the root": {"/etc/x": FILE},
    "in the middle": {"a/../../x": FILE},
    "backslash": {"a\\..\\x": FILE},
    "long name": {"n" * 300: FILE},
    "long path": {"/".join(["n" * 200] * 6): FILE},
    "line break": {"a\nb": FILE},
    "escape": {"\x1b[2J": FILE},
    "half a pair": {"a\ud800": FILE},
    "itself": {"manifest.json": FILE},
    "a file below a file": {"a": FILE, "a/b": FILE},
    "endless": {"a": {"sha256": "0" * 64, "size_bytes": 1 << 80}},
    "negative": {"a": {"sha256": "0" * 64, "size_bytes": -1}},
    "a fraction": {"a": {"sha256": "0" * 64, "size_bytes": 0.5}},
    "true": {"a": {"sha256": "0" * 64, "size_bytes": True}},
    "a pickle": {"model.pt": FILE},
    "no files": [],
    "a list": [FILE],
    "nothing": None,
}


@pytest.mark.parametrize("files", BAD_MANIFESTS)
def test_a_bad_manifest_is_refused(files: str) -> None:
    content = json.dumps({"format_version": 1, "task": "t", "number": 1, "files": BAD_MANIFESTS[files]}).encode()
    with pytest.raises(UnusableError):
        manifest.parse(content, sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"{}", b"[]", b"\xff", b'{"format_version":"\x1b"}', b'{"format_version":1e999}']
)
def test_a_manifest_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableError) as refused:
        manifest.parse(content, sha256=hashlib.sha256(content).hexdigest())
    assert str(refused.value).isprintable()


def champion(content: bytes, size_bytes: int) -> Champion:
    digest = hashlib.sha256(content).hexdigest()
    return Champion("t", "t/v1", 1, datetime(2026, 1, 1, tzinfo=UTC), "ner", "spacy", "fp32", digest, size_bytes)


def fetched(server: Hostile, folder: Path, one: Champion, retries: Retries = PATIENT) -> None:
    with Client(server.address, retries=retries, verify=False) as client:
        download.fetch(client, one, Cache(folder / "t", keep=2), threading.Event())


def test_a_manifest_without_end_is_not_read(server: Hostile, tmp_path: Path) -> None:
    server.talk = says(http(b" " * (MANIFEST_BYTES + 1)))
    with pytest.raises(RefusedError, match="larger than"):
        fetched(server, tmp_path, champion(b"", 1))


def test_files_of_another_size_than_was_said_are_not_fetched(server: Hostile, tmp_path: Path) -> None:
    content = json.dumps(
        {"format_version": 1, "task": "t", "number": 1, "files": {"a": {"sha256": "0" * 64, "size_bytes": 1 << 30}}}
    ).encode()
    server.talk = says(http(content))
    with pytest.raises(ModelError, match="in total"):
        fetched(server, tmp_path, champion(content, 1))


@pytest.mark.parametrize("stage", ["head", "body"])
def test_a_dripping_download_is_given_up(server: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setattr(download, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(download, "_BREAKS", 1)
    content = json.dumps(
        {"format_version": 1, "task": "t", "number": 1, "files": {"a": {"sha256": "0" * 64, "size_bytes": 1 << 20}}}
    ).encode()
    asked = iter([says(http(content, "Connection: close"))])
    drip = drips(http(b"", length=1 << 20), b" ") if stage == "body" else drips(b"HTTP/1.1 200 OK\r\nX: ", b"x")
    server.talk = lambda line: next(asked, drip)(line)  # noqa: PLW0108 - chosen for each connection
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        fetched(server, tmp_path, champion(content, 1 << 20), Retries(deadline_s=3.0))
    assert time.monotonic() - began < 3 * IN_TIME_S


def test_following_a_hostile_server_ends(server: Hostile, tmp_path: Path) -> None:
    server.talk = says(http(b"[" * 100_000, "Connection: close"))
    with Client(server.address, retries=QUICK, verify=False) as client, pytest.raises(UnavailableError, match="no model of task"):
        Model.follow("t", client=client, cache_dir=tmp_path, wait_s=0.2)

"""Asking the serving process: whatever the task is called and however the server fails, a message and no traceback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.errors import RetryError, UserError
from config.settings import Settings, load_settings
from daemon.process import presence
from daemon.serving import client


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return load_settings(data_dir=tmp_path / "data")


@contextmanager
def serving(settings: Settings, answer: bytes | None) -> Iterator[list[bytes]]:
    """Take one request and send `answer` (nothing: hang up; None: never answer); yield the requests seen."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        presence.write(settings.data_dir, f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            connection, _peer = listener.accept()
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(answer or b"")

        if answer is not None:
            thread = threading.Thread(target=serve)
            thread.start()
        yield seen
        if answer is not None:
            thread.join(10)


def response(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


ERROR = b'{"error": {"field": null, "message": "it went wrong", "remedy": "fix it"}}'


@pytest.mark.parametrize(("task", "quoted"), [("news topics", b"news%20topics"), ("wörld", b"w%C3%B6rld"), ("a/b", b"a%2Fb")])
def test_any_name_of_a_task_reaches_the_server(settings: Settings, task: str, quoted: bytes) -> None:
    with serving(settings, response("404 Not Found", ERROR)) as seen, pytest.raises(UserError, match="it went wrong; fix it"):
        client.ask(settings, task, ["x"])
    assert seen[0].startswith(b"POST /v1/tasks/" + quoted + b"/predict ")


@pytest.mark.parametrize(
    ("answer", "says"),
    [(b"", "did not answer"), (b"nonsense\r\n\r\n", "did not answer"), (response("500 Oh", ERROR), "wrong")],
    ids=["dies", "no HTTP", "fails"],
)
def test_a_server_that_fails_is_no_mistake_of_the_user(settings: Settings, answer: bytes, says: str) -> None:
    with serving(settings, answer), pytest.raises(RetryError, match=says):
        client.ask(settings, "news-topics", ["x"])


def test_a_server_that_hangs_is_no_mistake_of_the_user(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TIMEOUT_S", 0.05)
    with serving(settings, None), pytest.raises(RetryError, match="timed out"):
        client.ask(settings, "news-topics", ["x"])


def test_a_server_that_is_not_there_is_no_mistake_of_the_user(settings: Settings) -> None:
    presence.write(settings.data_dir, "http://127.0.0.1:1")
    with pytest.raises(RetryError, match=r"did not answer .*perennial status"):
        client.ask(settings, "news-topics", ["x"])


def test_a_task_without_a_champion_is_told_as_such(settings: Settings) -> None:
    with serving(settings, response("503 Unavailable", ERROR)), pytest.raises(UserError, match="it went wrong; fix it"):
        client.ask(settings, "news-topics", ["x"])


@pytest.mark.parametrize("strange", ["\x1b[2J", "a\u202eb", "\x9b31m"], ids=ascii)
def test_what_strangers_wrote_moves_no_terminal(strange: str) -> None:
    asked = f"In {strange} Oslo"
    start = len(f"In {strange} ")
    entities = client.in_words(asked, {"spans": [{"start": start, "end": start + 4, "label": strange}]})
    label = client.in_words(asked, {"label": strange, "scores": {strange: 0.5}})
    assert "Oslo[" in entities.plain
    assert entities.plain.isprintable()
    assert label.plain.isprintable()


def test_the_answer_of_a_correction_is_told_as_one_and_without_a_score() -> None:
    answer = {"label": "sport", "scores": {"sport": 1.0}, "answered_by": "correction", "correction_id": "f-1"}
    assert client.in_words("A text", answer).plain == "correction: sport  A text"
    assert client.in_words("A text", answer | {"answered_by": "model"}).plain == "sport 100%  A text"

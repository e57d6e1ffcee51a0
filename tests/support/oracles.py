"""A language model on this machine: an HTTP server that speaks the chat completions API and answers as told."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from config.sections import OracleSettings
from config.settings import load_settings
from config.tasks import TaskSpec

KEY = "sk-the-key-of-the-oracle"
_ARTICLE = re.compile(r"<<<article [0-9a-f]+>>>\n(.*)\n<<<end [0-9a-f]+>>>", re.DOTALL)


@dataclass
class Said:
    """One answer of the server."""

    content: str | None = '{"label": "sport", "confidence": 0.9}'
    status: int = 200
    finish: str = "stop"
    usage: Any = field(default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 10})
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """What is sent in the place of a completion."""
    cut: bool = False
    """The connection ends in the middle."""

    @property
    def completion(self) -> Any:
        """The chat completion, as JSON holds it."""
        message = {"role": "assistant", "content": self.content}
        return {"choices": [{"message": message, "finish_reason": self.finish}], "usage": self.usage}


@dataclass
class Batches:
    """The batch API of the server: what it does, and what it was sent."""

    polls: int = 0
    """A batch is under way for so many looks."""
    status: str = "completed"
    """How it ends."""
    worked_on: int | None = None
    """So many of its questions are answered; None: all."""
    line: Callable[[dict[str, Any]], Any] = lambda row: row
    """From a line of the output to what is sent: a row, bytes, or None for nothing."""
    more: bytes = b""
    """Stands behind the output."""
    cut: int = 0
    """So many downloads end in the middle."""
    away: int = 0
    """So many looks at a batch are answered by 503."""
    lost: int = 0
    """So many answers to the making of a batch never arrive."""
    refuse: int = 0
    """Status of whatever batches are asked for; 0: none is refused."""
    lists: bool = True
    """Whether it can list batches."""
    page: dict[str, Any] | None = None
    """What it lists in their place."""
    files: dict[str, bytes] = field(default_factory=dict)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    looks: int = 0

    def answered(  # noqa: C901, PLR0911 - one for each request of the API
        self, method: str, path: str, body: bytes, ask: Callable[[dict[str, Any]], Said]
    ) -> tuple[int, bytes]:  # fmt: skip
        """Answer one request; 0: the connection ends without an answer, 1: in the middle of it."""
        if self.refuse:
            return self.refuse, b"{}"
        kind, _, rest = path.removeprefix("/v1/").partition("/")
        if method == "DELETE":
            return (200, b"{}") if self.files.pop(rest, None) is not None else (404, b"{}")
        if kind == "files" and method == "POST":
            content = body.split(b"application/jsonl\r\n\r\n", 1)[1].rpartition(b"\r\n--")[0]
            return 200, json.dumps({"id": self._file(content)}).encode()
        if kind == "files":
            content = self.files.get(rest.removesuffix("/content"))
            if content is None:
                return 404, b"{}"
            self.cut -= 1
            return (1 if self.cut >= 0 else 200), content
        if method == "POST" and rest.endswith("/cancel"):
            self.cancelled.append(rest.removesuffix("/cancel"))
            return 200, b"{}"
        if method == "POST":
            made = self._make(json.loads(body), ask)
            self.lost -= 1
            return (0, b"") if self.lost >= 0 else (200, json.dumps(made).encode())
        if not rest:
            whole = {"data": [self.made[name] for name in reversed(self.made)], "has_more": False}
            return (200, json.dumps(whole if self.page is None else self.page).encode()) if self.lists else (405, b"{}")
        found = self.made.get(rest)
        if found is None:
            return 404, b"{}"
        self.away -= 1
        if self.away >= 0:
            return 503, b"{}"
        self.looks += 1
        status = "in_progress" if self.looks <= self.polls else self.status
        return 200, json.dumps(found | {"status": status}).encode()

    def _make(self, asked: dict[str, Any], ask: Callable[[dict[str, Any]], Said]) -> dict[str, Any]:
        rows = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        output, errors = b"", b""
        for row in rows[: self.worked_on]:
            said = ask(row["body"])
            answer = {"custom_id": row["custom_id"], "response": {"status_code": said.status, "body": said.completion}}
            line = self.line(answer)
            content = b"" if line is None else line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            output, errors = (output + content, errors) if said.status == 200 else (output, errors + content)
        made = {
            "id": f"batch_{len(self.made)}", "status": "validating", "metadata": asked["metadata"], "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"], "output_file_id": self._file(output + self.more),
            "error_file_id": self._file(errors) if errors else None, "errors": None,
        }  # fmt: skip
        self.made[made["id"]] = made
        return made

    def _file(self, content: bytes) -> str:
        self.files[name := f"file-{len(self.files)}-{len(self.made)}"] = content
        return name


@dataclass
class Model:
    """The server, and what it was asked."""

    url: str
    answer: Callable[[str], Said] = lambda _text: Said()
    """From the article to the answer."""
    batches: Batches = field(default_factory=Batches)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """The articles that it was asked about, one for each request."""
        return [article_of(body) for body in self.bodies]


def article_of(body: dict[str, Any]) -> str:
    """Return the article in a request."""
    found = _ARTICLE.search(body["messages"][1]["content"])
    assert found is not None
    return found[1]


@contextmanager
def model() -> Iterator[Model]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if not self.path.endswith("/chat/completions"):
                self.batch(content)
                return
            served.keys.append(self.headers["authorization"])
            said = ask(json.loads(content))
            content = json.dumps(said.completion).encode() if said.body is None else said.body
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if said.cut else content)
            self.close_connection = said.cut

        def do_GET(self) -> None:
            self.batch(b"")

        def do_DELETE(self) -> None:
            self.batch(b"")

        def batch(self, body: bytes) -> None:
            served.keys.append(self.headers["authorization"])
            with batches:
                status, content = served.batches.answered(self.command, self.path.partition("?")[0], body, ask)
            if status == 0:
                self.connection.close()
                return
            self.send_response(200 if status == 1 else status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if status == 1 else content)
            self.close_connection = status == 1

        def log_message(self, *_: Any) -> None:
            pass

    def ask(body: dict[str, Any]) -> Said:
        with lock:
            served.bodies.append(body)
        return served.answer(article_of(body))

    batches = threading.Lock()
    lock = threading.Lock()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Model(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settings(**changes: Any) -> OracleSettings:
    """Settings of an endpoint that costs 1 a million tokens, and may cost much."""
    given = {
        "base_url": "http://127.0.0.1:9/v1", "model": "judge", "price_per_million_in": 1.0, "price_per_million_out": 1.0,
        "max_cost": 1_000.0, "timeout_s": 10.0, "retries": 2, "api_key": KEY, "max_answer_tokens": 100,
    }  # fmt: skip
    return load_settings(oracle=given | changes).oracle


def task(kind: str = "classification", **changes: Any) -> TaskSpec:
    """A task of a kind with a rubric."""
    oracle = {"rubric": "What is the article about?"} | changes.pop("oracle", {})
    of_kind: dict[str, dict[str, Any]] = {
        "classification": {"label_names": ["sport", "economy"], "promotion": {"metric": "macro_f1"}},
        "multilabel": {"label_names": ["sport", "economy"], "promotion": {"metric": "macro_f1"}},
        "ner": {
            "label_names": ["PERSON", "ORG"], "promotion": {"metric": "entity_f1"}, "base_model": "blank:en", "backend": "spacy",
        },
        "regression": {"dimensions": [{"name": "hope", "low": 0, "high": 10}], "promotion": {"metric": "mae"}},
        "signals": {
            "signals": [{"name": "housing", "tags": [{"name": "rents", "score": -0.5}]}],
            "promotion": {"metric": "signal_score"},
        },
    }  # fmt: skip
    content: dict[str, Any] = {
        "name": "mine", "kind": kind, "labels": "open", "base_model": "minilm", "backend": "transformer", "oracle": oracle,
    }  # fmt: skip
    return TaskSpec.model_validate(content | of_kind[kind] | changes)

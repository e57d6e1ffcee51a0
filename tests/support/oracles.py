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


@dataclass
class Model:
    """The server, and what it was asked."""

    url: str
    answer: Callable[[str], Said] = lambda _text: Said()
    """From the article to the answer."""
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
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                served.bodies.append(body)
                served.keys.append(self.headers["authorization"])
            said = served.answer(article_of(body))
            message = {"role": "assistant", "content": said.content}
            whole = {"choices": [{"message": message, "finish_reason": said.finish}], "usage": said.usage}
            content = json.dumps(whole).encode() if said.body is None else said.body
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if said.cut else content)
            self.close_connection = said.cut

        def log_message(self, *_: Any) -> None:
            pass

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

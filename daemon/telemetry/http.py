"""The daemon's own small HTTP server: `/metrics` for Prometheus, `/readyz` and `/healthz` for whoever supervises it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

_READ_S = 30.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = _READ_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the library's signature
        """Say nothing of each request."""


def serve(
    host: str, port: int, registry: CollectorRegistry, ready: Callable[[], tuple[bool, dict[str, object]]]
) -> tuple[WSGIServer, str]:
    """Answer on its own thread (port 0: a free one); return the server and its address. Raises OSError."""
    metrics = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in ("/readyz", "/healthz"):
            well, body = ready() if path == "/readyz" else (True, {"status": "alive"})
            start_response("200 OK" if well else "503 Service Unavailable", [("Content-Type", "application/json")])
            return [json.dumps(body).encode()]
        answer: Iterable[bytes] = metrics(environ, start_response)
        return answer

    kind = _ServerV6 if ":" in host else _Server
    server = make_server(host, port, app, server_class=kind, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server, f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"

"""`python -m daemon.serving.alone [HOST PORT]`: the page by itself, read-only, beside a daemon or without one.

It prints `{"event": "dashboard", "address": ...}` on standard output. Exit codes as of `daemon.serving`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI

from config.addresses import is_loopback
from config.clock import utc_now
from config.errors import PerennialError, UserError
from config.files.private import keep_private
from config.logging import configure_logging, mask_crashes
from config.secrets import masked_message, secrets_of
from config.settings import Settings, load_settings
from config.tasks import load_tasks
from daemon.dashboard.app import Dashboard
from daemon.dashboard.sources import Sources
from daemon.serving import page
from daemon.serving.access.callers import Access
from daemon.serving.access.key_ring import KeyRing
from daemon.serving.access.visitors import Visitors
from daemon.serving.http import connections, tls
from daemon.serving.http.listening import address_of, listen
from daemon.serving.http.security import BodyLimit, HeadAsGet, refuse_open_bind
from daemon.views import opening
from daemon.views.installation import keys

_BODY_BYTES = 65_536
_STOP_LIMIT_S = 5


def create_app(settings: Settings, ring: KeyRing) -> tuple[FastAPI, Dashboard]:
    """Return the app and the page that it carries; the page has no address that changes anything."""
    tasks = load_tasks(settings.tasks_folder)
    dashboard = Dashboard(Sources(settings, tasks=lambda: tasks), read_only=True)
    access = Access(settings.serving, ring, loopback=is_loopback(settings.serving.host), clock=utc_now)
    visitors = Visitors(access)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, max_bytes=_BODY_BYTES, all_bytes=64 * _BODY_BYTES)
    app.add_middleware(page.PageGuard, dashboard=dashboard, visitors=visitors, max_body_bytes=_BODY_BYTES)
    app.add_middleware(HeadAsGet)
    page.add(app, dashboard, visitors)
    return app, dashboard


def main() -> int:
    """Run the process until SIGTERM or SIGINT; return its exit code."""
    keep_private()
    try:
        settings = load_settings()
        secrets = secrets_of(settings)
        configure_logging(settings.log.model_copy(update={"level": "warning"}), secrets=secrets)
        mask_crashes(secrets)
        refuse_open_bind(settings.serving, lambda: keys.any_made(settings, read_only=True))
        with opening.registry(settings) as registry:
            return _serve(settings, KeyRing(registry.api_keys, clock=utc_now))
    except UserError as error:
        print(masked_message(error), file=sys.stderr)  # noqa: T201 - the process's edge: the message is for whoever started it
        return 2
    except PerennialError as error:
        print(masked_message(error), file=sys.stderr)  # noqa: T201 - as above
        return 1


def _serve(settings: Settings, ring: KeyRing) -> int:
    certificate = tls.Certificate(settings.serving) if tls.wanted(settings.serving) else None
    app, dashboard = create_app(settings, ring)
    listener = listen(settings.serving)
    stop = threading.Event()
    threading.Thread(target=ring.watch, args=(stop,), name="api-keys", daemon=True).start()
    limits = connections.Limits(connections.room_for_connections(), settings.serving.read_timeout_s)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", proxy_headers=False, http=connections.limited(limits),
        log_level="error", timeout_graceful_shutdown=_STOP_LIMIT_S,
        ssl_context_factory=(lambda _config, _default: certificate.context) if certificate else None,
        callback_notify=certificate.renew if certificate else None,
    )  # fmt: skip
    address = address_of(listener, "https" if certificate else "http")
    print(json.dumps({"event": "dashboard", "address": f"{address}/ui"}), flush=True)  # noqa: T201 - for whoever started it
    # uvicorn raises the signal again when it is done; with these handlers that ends nothing half-way.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    try:
        _Server(config, dashboard).run(sockets=[listener])
    finally:
        stop.set()
        dashboard.close()
        listener.close()
    return 0


class _Server(uvicorn.Server):
    """Ends the open pages' streams first, or it would wait for them."""

    def __init__(self, config: uvicorn.Config, dashboard: Dashboard) -> None:
        super().__init__(config)
        self._dashboard = dashboard

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._dashboard.live.stop()
        super().handle_exit(sig, frame)


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    # Tearing the interpreter down under LanceDB's threads takes seconds; all is closed.
    os._exit(exit_code)

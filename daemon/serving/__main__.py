"""`python -m daemon.serving`: listens, prints `{"event": "serving", "address": ...}` on standard output, answers until SIGTERM.

SIGHUP reloads the task files.

A daemon gives a digest of its settings as the one argument, by which it knows its own child again.

Exit codes: 0 after SIGTERM or SIGINT, 2 when a setting is wrong, 1 otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TextIO, cast

import structlog
import uvicorn

from config.addresses import is_loopback
from config.errors import PerennialError, UserError
from config.files.private import keep_private, prepare
from config.logging import configure_logging, mask_crashes
from config.secrets import masked_message, secrets_of
from config.sections import ServingSettings
from config.settings import Settings, load_settings
from daemon.process import presence, signals
from daemon.process.systemd import Systemd
from daemon.serving.http import connections, tls
from daemon.serving.http.api import create_app
from daemon.serving.http.listening import BACKLOG, address_of, listen
from daemon.serving.http.security import refuse_open_bind
from daemon.serving.models.trouble import Trouble
from daemon.serving.service import Service
from daemon.views.installation import keys

IN_FLIGHT_LIMIT_S = 8
"""After SIGTERM nothing new is taken and requests in flight have this long to be answered."""
STOP_LIMIT_S = 18.0
"""After SIGTERM the process is gone within this time, whatever hangs; the daemon kills it after 20 s."""
_SWITCH_INTERVAL_S = 0.0005
_KEEP_ALIVE_S = 75
"""Longer than the pools of common clients keep a connection: a request must not meet one that is just being closed."""
_TICKS_PER_LOOK = 10
"""uvicorn ticks ten times a second."""

log = structlog.get_logger("daemon.serving")


def main() -> int:
    """Run the process; return its exit code."""
    # A hang-up ends a process by default; until the task files can be reloaded it changes nothing.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    keep_private()
    try:
        settings = load_settings()
        prepare(settings.data_dir)
        secrets = secrets_of(settings)
        configure_logging(settings.log, secrets=secrets, stream=cast("TextIO", _LastingStream(sys.stderr)))
        mask_crashes(secrets)
        refuse_open_bind(settings.serving, lambda: keys.any_made(settings))
        certificate = tls.Certificate(settings.serving) if tls.wanted(settings.serving) else None
        _warn(settings.serving, certificate)
        listener = listen(settings.serving)
    except UserError as error:
        print(masked_message(error), file=sys.stderr)  # noqa: T201 - the process's edge: the message is for whoever started it
        return 2
    except PerennialError as error:
        log.error("serving.stopped", reason=str(error))  # noqa: TRY400 - the message says it all
        return 1
    # A model that is being loaded computes in Python; the thread that answers gets its turn ten times sooner than by default.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        with contextlib.closing(listener), Service.open(settings) as service:
            signals.obey(reload=service.reload)
            lost = _serve(settings, service, listener, certificate)
    except UserError as error:
        print(masked_message(error), file=sys.stderr)  # noqa: T201 - as above
        return 2
    except PerennialError as error:
        log.error("serving.stopped", reason=str(error))  # noqa: TRY400 - the message says it all
        return 1
    log.info("serving.stopped", reason=lost or "asked to")
    return 1 if lost else 0


def _warn(settings: ServingSettings, certificate: tls.Certificate | None) -> None:
    if certificate is not None:
        tls.warn(tls.examine(settings))
    elif not is_loopback(settings.host):
        log.warning(
            "serving.no_tls", host=settings.host, reason="keys, texts and answers cross the network readable",
            next="set serving.tls_certificate and serving.tls_key, or let only a proxy that speaks TLS reach this port",
        )  # fmt: skip


def _serve(settings: Settings, service: Service, listener: socket.socket, certificate: tls.Certificate | None) -> str:
    """Answer until told to stop; return what was lost that only a new process has, empty when nothing was."""
    limits = connections.Limits(
        connections.room_for_connections(), settings.serving.read_timeout_s, service.metrics.turned_away_connection
    )
    app = create_app(service)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        # Addresses are the connection's own: a header that says otherwise would let a client choose its rate limit.
        proxy_headers=False,
        http=connections.limited(limits),
        # As many are accepted at once; how many the kernel lets wait is set in `startup`.
        backlog=connections.ACCEPTED_AT_ONCE,
        # What strangers send is counted in the metrics; a line for each would let them fill the disk.
        log_level="error",
        ssl_context_factory=(lambda _config, _default: certificate.context) if certificate else None,
        callback_notify=certificate.renew if certificate else None,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=IN_FLIGHT_LIMIT_S,
    )
    address = address_of(listener, "https" if certificate else "http")
    server = _Server(config, settings, address, service.troubles, end_streams=app.state.dashboard.live.stop)
    # uvicorn raises the signal again when it is done; with these handlers that ends nothing half-way.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    try:
        server.run(sockets=[listener])
    finally:
        presence.remove(settings.data_dir)
    return server.lost


class _Server(uvicorn.Server):
    """Announces its address once it listens, supervises the process's threads, and limits the time of its own stop."""

    def __init__(
        self, config: uvicorn.Config, settings: Settings, address: str, troubles: Callable[[], Mapping[str, Trouble]], *,
        end_streams: Callable[[], None],
    ) -> None:  # fmt: skip
        """`end_streams` ends what would otherwise be answered for as long as a page is open."""
        super().__init__(config)
        self._end_streams = end_streams
        self.lost = ""
        """Why the process must end, once it must."""
        self._troubles = troubles
        self._settings = settings
        self._address = address
        self._systemd = Systemd()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen; write the presence file, then print the address."""
        asyncio.get_running_loop().set_exception_handler(connections.LoopErrors())
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)
        other = presence.read(self._settings.data_dir)
        if other is not None and other.pid != os.getpid() and presence.is_alive(other):
            log.warning("serving.second", other=other.address, next="both answer; the daemon supervises the first one only")
        else:
            presence.write(self._settings.data_dir, self._address, started_under="".join(sys.argv[1:2]))
        log.info("serving.started", address=self._address, pid=os.getpid())
        self._systemd.ready(f"answering at {self._address}")
        with contextlib.suppress(OSError):  # nobody needs to read it
            print(json.dumps({"event": "serving", "address": self._address}), flush=True)  # noqa: T201 - the contract with the daemon

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop: also when a thread is lost, which whoever started the process fixes by restarting it."""
        if counter % _TICKS_PER_LOOK == 0 and not self.should_exit:
            self.lost = next((found.reason for found in self._troubles().values() if found.lost), "")
            if self.lost:
                log.critical("serving.thread_lost", reason=self.lost, next="this process ends; the daemon or systemd restarts it")
                self.handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's own hook
        """Begin to stop, and make sure that it ends."""
        if not self.should_exit:
            self._systemd.stopping()
            self._end_streams()
            watchdog = threading.Timer(STOP_LIMIT_S, _give_up)
            watchdog.daemon = True
            watchdog.start()
        self.should_exit = True


def _give_up() -> None:
    log.error("serving.killed_itself", reason=f"the stop took longer than {STOP_LIMIT_S:.0f} s")
    os._exit(1)


class _LastingStream(io.TextIOBase):
    """A log stream that outlives its reader: this process answers on after the daemon, which may hold the other end, has died."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Return whether people read along."""
        return self._stream.isatty()


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    # A model may still be loading on its thread; tearing the interpreter down under native code can crash. All is closed.
    os._exit(exit_code)

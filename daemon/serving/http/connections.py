"""Connections from strangers: how many there are, how long a request may take to arrive, and what is not an HTTP request at all.

uvicorn's own protocol waits for ever for the rest of a request, and its parser reads some requests otherwise than a proxy in
front of it may (two lengths, lines that end in a bare LF), which lets one request be hidden inside another.
"""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Literal

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.serving.http.errors import ApiError

ACCEPTED_AT_ONCE = 16
"""Connections that are accepted before their number is checked again."""
_MOST_DESCRIPTORS = 65_536
_LEAST_CONNECTIONS = 4
_RESERVED_DESCRIPTORS = 256
"""Kept for what the process itself opens: models, registry, log, buffer; at most half of what is free."""
_LOG_EVERY_S = 30.0
_HEAD_END = re.compile(rb"\n\r?\n")
_CAN_ANSWER = (h11.IDLE, h11.SEND_RESPONSE)

log = structlog.get_logger(__name__)

Fault = Literal["too_many", "slow", "malformed"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What all connections of a process keep to."""

    connections: int
    read_timeout_s: float
    """For a request's head, for its body, and for each pause of one who does not read the answer."""
    report: Callable[[Fault], None] = lambda _fault: None
    """Told of every connection that was refused or ended."""


def room_for_connections() -> int:
    """Allow this process as many descriptors as it may have, and return how many connections leave enough for its own files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    free = (_MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft) - len(list(Path("/dev/fd").iterdir()))
    return max(_LEAST_CONNECTIONS, free - ACCEPTED_AT_ONCE - min(_RESERVED_DESCRIPTORS, free // 2))


def limited(limits: Limits) -> type[asyncio.Protocol]:
    """Return the protocol for uvicorn whose connections keep to `limits`."""
    return type("LimitedConnection", (_Connection,), {"limits": limits})


class _Connection(H11Protocol):
    """One connection. Everything here happens on the event loop's one thread."""

    limits: ClassVar[Limits]

    def __init__(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - as uvicorn makes it
        super().__init__(*args, **named)
        self.quiet_since = time.monotonic()
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self._problem = ""
        self._next = self.conn.next_event
        # uvicorn takes its events from here one by one.
        self.conn.next_event = self._next_event  # type: ignore[method-assign]  # see above

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take the connection, in the place of one that idles where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections and not self._take_place_of_an_idle_one():
            self.limits.report("too_many")
            self._refuse(ApiError(
                503, f"{self.limits.connections} connections are open already and each waits for an answer",
                "send it again in a moment", headers={"Retry-After": "1"},
            ))  # fmt: skip
            return
        self._expect("the head of a request")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        self._arrived()
        self.resume_writing()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Note since when nothing is asked."""
        self.quiet_since = time.monotonic()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for a client that does not read its answer, for a while."""
        super().pause_writing()
        self._write_deadline = self.loop.call_later(self.limits.read_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with the answer."""
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not a valid request in the shape that every refusal has, and close."""
        self.limits.report("malformed")
        remedy = "send a valid HTTP/1.1 request (RFC 9112); the connection is closed"
        self._refuse(ApiError(400, f"the request is not valid HTTP: {self._problem or msg}", remedy))

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _has_begun_a_head(self) -> bool:
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    def _take_place_of_an_idle_one(self) -> bool:
        idle = [each for each in self.connections if isinstance(each, _Connection) and each is not self and each.idle]
        if not idle:
            return False
        min(idle, key=lambda each: each.quiet_since).transport.close()
        return True

    def _next_event(self) -> Any:  # noqa: ANN401 - h11's events have no common type
        try:
            if self.conn.their_state is h11.IDLE and (problem := _smuggling(self.conn.trailing_data[0])):
                raise h11.RemoteProtocolError(problem)  # noqa: TRY301 - as the parser's own errors
            event = self._next()
        except h11.RemoteProtocolError as error:
            self._problem = str(error)
            raise
        if isinstance(event, h11.Request):
            self._arrived()
            self._expect("the body of the request")
        elif isinstance(event, h11.EndOfMessage):
            self._arrived()
        elif event is h11.NEED_DATA and self._deadline is None and self._has_begun_a_head:
            self._expect("the head of a request")
        return event

    def _expect(self, what: str) -> None:
        self._deadline = self.loop.call_later(self.limits.read_timeout_s, self._too_slow, what)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self, what: str) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and not self._has_begun_a_head:
            # Opened in advance and not used: no request, no refusal.
            self.transport.close()
            return
        self.limits.report("slow")
        message = f"{what} did not arrive within {self.limits.read_timeout_s:g} s"
        self._refuse(ApiError(408, message, "send it again, faster; serving.read_timeout_s is the limit"))

    def _refuse(self, refusal: ApiError) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in _CAN_ANSWER and not self.transport.is_closing():
            answer = refusal.response()
            headers = [*answer.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=refusal.status, headers=headers, reason=HTTPStatus(refusal.status).phrase.encode()),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _smuggling(received: bytes) -> str:
    """Return what is ambiguous in a request's head, once it is there whole; empty when nothing is."""
    received = received.lstrip(b"\r\n")
    end = _HEAD_END.search(received)
    if end is None:
        return ""
    head = received[: end.start()]
    request, *lines = head.removesuffix(b"\r").split(b"\r\n")
    if end.group() == b"\n\n" or not head.endswith(b"\r") or any(b"\r" in line or b"\n" in line for line in (request, *lines)):
        return "a line ends in a bare CR or LF"
    headers = [(name.strip().lower(), value.strip().lower()) for name, _, value in (line.partition(b":") for line in lines)]
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    problems = {
        "a header is folded over two lines": any(line[:1] in (b" ", b"\t") for line in lines),
        "it has both Content-Length and Transfer-Encoding": bool(lengths and codings),
        "its Content-Length is not one number": len(lengths) > 1 or any(not length.isdigit() for length in lengths),
        "its Transfer-Encoding is not chunked, of HTTP/1.1": bool(codings)
        and (codings != [b"chunked"] or not request.endswith(b"HTTP/1.1")),
    }
    return next((problem for problem, found in problems.items() if found), "")


class LoopErrors:
    """The event loop's handler of what went wrong outside any request: a line per kind and half a minute, never one per event."""

    def __init__(self, *, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._kinds: dict[str, tuple[float, int]] = {}

    def __call__(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log it, or count it for the next line."""
        kind, error = str(context.get("message", "")), context.get("exception")
        logged_at, unsaid = self._kinds.get(kind, (-_LOG_EVERY_S, 0))
        if self._elapsed() - logged_at < _LOG_EVERY_S:
            self._kinds[kind] = (logged_at, unsaid + 1)
            return
        self._kinds[kind] = (self._elapsed(), 0)
        accepting = "accept" in kind
        log.error(
            "serving.accept_failed" if accepting else "serving.loop_error", kind=kind, reason=str(error), more_before=unsaid,
            next="connections wait and are accepted when others close" if accepting else "the connection was given up",
            exc_info=None if accepting or isinstance(error, OSError) else error,
        )  # fmt: skip

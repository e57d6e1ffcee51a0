"""Live parts of a page by server-sent events: each part is sent when it has changed, and all of them to who connects anew."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import structlog
from starlette.responses import Response, StreamingResponse

from config.errors import PerennialError
from daemon.dashboard.rendering import HEADERS

EVERY_S = 2.0
_STILL_THERE_S = 15.0
"""A comment this often shows both ends that the connection holds."""
_RETRY_MS = 2_000
_MOST = 64
_BYE = "bye"
"""The last event of a stream that ends after its time."""
_LIFE_S = 60.0
"""A stream ends after this, and its page connects anew: who has signed out, or whose key was revoked, sees no more by then."""

log = structlog.get_logger(__name__)

Parts = Callable[[], Mapping[str, str]]
Run = Callable[[Parts], Awaitable[Mapping[str, str]]]


class Live:
    """The open streams of one process. `stop` may be called from any thread; all else happens on the event loop."""

    def __init__(self, *, every_s: float = EVERY_S, most: int = _MOST, life_s: float = _LIFE_S) -> None:
        self._every_s = every_s
        self._life_s = life_s
        self._most = most
        self._open = 0
        self._stopped = threading.Event()

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open

    def stop(self) -> None:
        """End every stream, so that the process can end."""
        self._stopped.set()

    def stream(self, parts: Parts, run: Run, *, once: bool = False) -> Response:
        """Return the response that sends `parts`, by name, as they change; `run` works off the event loop. `once`: one look."""
        if self._open >= self._most or self._stopped.is_set():
            return Response("too many pages are open", status_code=503, headers={**HEADERS, "Retry-After": "5"})
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(parts, run, once=once), media_type="text/event-stream", headers=headers)

    async def _events(self, parts: Parts, run: Run, *, once: bool) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            sent: dict[str, str] = {}
            yield f"retry: {_RETRY_MS}\n\n".encode()
            quiet_s, until = 0.0, time.monotonic() + self._life_s
            while not self._stopped.is_set() and time.monotonic() < until:
                for name, content in (await self._looked(parts, run)).items():
                    if sent.get(name) != content:
                        sent[name] = content
                        quiet_s = 0.0
                        yield event(name, content)
                if once:
                    return
                if quiet_s >= _STILL_THERE_S:
                    quiet_s = 0.0
                    yield b": still there\n\n"
                quiet_s += self._every_s
                await self._rest()
            if not self._stopped.is_set():
                # Its page need not tell anybody of an end that is by intent.
                yield event(_BYE, "connect anew")
        finally:
            self._open -= 1

    async def _looked(self, parts: Parts, run: Run) -> Mapping[str, str]:
        try:
            return await run(parts)
        except PerennialError as error:
            # The page keeps what it shows; what is away now is looked for again.
            log.debug("dashboard.look_failed", reason=str(error))
            return {}

    async def _rest(self) -> None:
        for _tick in range(max(1, round(self._every_s / 0.25))):
            if self._stopped.is_set():
                return
            await asyncio.sleep(min(0.25, self._every_s))


def event(name: str, content: str) -> bytes:
    """Return one server-sent event. A line feed in `content` begins a line of its own, as the format asks."""
    lines = "".join(f"data: {line}\n" for line in content.split("\n"))
    return f"event: {name}\n{lines}\n".encode()

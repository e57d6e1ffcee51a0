"""When a request is sent again: the decisions, without clock-watching threads or sockets, for the sync and the async client."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar

import httpx

from perennial_artifact.foreign import WRONG, decode, inert
from perennial_client.answers import SMALL_BYTES
from perennial_client.errors import NoChampionError, RefusedError, UnavailableError

T = TypeVar("T")

_AGAIN = frozenset({408, 425, 429, 502, 503, 504})
_NEVER_AGAIN = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_MOST_DOUBLINGS = 30
_NO_CHAMPION = "no_champion"


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a call is; all values are seconds and above 0.

    What is tried again: connections that fail or time out, and the answers 408, 425, 429, 502, 503 and 504. The wait after
    attempt n is drawn evenly from 0 to `first_wait_s` times 2 to the n-1 ("full jitter"), at most `longest_wait_s`, plus what
    a Retry-After header asks for.
    """

    deadline_s: float = 60.0
    """The call ends by then, however slowly an answer comes; no wait begins that would end later."""
    timeout_s: float = 30.0
    """Longest silence of the server within one attempt."""
    connect_timeout_s: float = 5.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                message = f"{name} is {getattr(self, name)}; give seconds above 0"
                raise ValueError(message)

    def wait_s(self, attempt: int) -> float:
        """Return a random wait after the attempt of this number, counted from 0."""
        longest = min(self.longest_wait_s, self.first_wait_s * 2 ** min(attempt, _MOST_DOUBLINGS))
        return random.uniform(0, longest)  # noqa: S311 - spreads clients, keeps no secret


@dataclass(frozen=True, slots=True)
class Send:
    """Send this now; the answer, or the error that came instead, is what the generator gets back."""

    method: str
    path: str
    content: bytes | None
    timeout: httpx.Timeout
    left_s: float
    """The whole answer must arrive within this many seconds."""
    largest_bytes: int
    """And hold no more than this."""
    where: str
    """What errors call it."""

    @property
    def headers(self) -> dict[str, str]:
        """What to send besides the headers that every request has."""
        return {} if self.content is None else {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait this many seconds."""

    seconds: float


Outcome = httpx.Response | httpx.RequestError | None
Steps = Generator[Send | Wait, Outcome, T]
"""One call: it yields what is to be done next and returns its result. Whoever drives it has the socket and the clock."""


def exchange(
    method: str,
    url: str,
    path: str,
    retries: Retries,
    *,
    content: bytes | None = None,
    later: str = "try again later",
    largest_bytes: int = SMALL_BYTES,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[httpx.Response]:
    """Return the answer with status 200 to 299. Raises `RefusedError`, or `UnavailableError` with the remedy `later`."""
    where = f"{method} {url}{path}"
    ends = clock() + retries.deadline_s
    for attempt in itertools.count():
        left_s = max(0.001, ends - clock())
        timeout = httpx.Timeout(min(retries.timeout_s, left_s), connect=min(retries.connect_timeout_s, left_s))
        outcome = yield Send(method, path, content, timeout, left_s, largest_bytes, where)
        wait_s = retries.wait_s(attempt)
        if isinstance(outcome, httpx.Response):
            if outcome.is_success:
                return outcome
            error = refusal(outcome, where, later)
            if outcome.status_code not in _AGAIN or isinstance(error, NoChampionError):
                raise error
            wait_s += asked_wait_s(outcome)
        else:
            reason = inert(f"{type(outcome).__name__}: {outcome}").rstrip(": ")
            if isinstance(outcome, _NEVER_AGAIN) or _UNTRUSTED in reason:
                what = f"the request cannot be sent ({reason})"
                raise RefusedError(what, where, "fix url, api_key or the options (verify: what is trusted)")
            error = UnavailableError(f"no answer ({reason})", where, later)
        if clock() + wait_s >= ends:
            what = f"{error.what}; gave up after {retries.deadline_s:g} s"
            raise UnavailableError(what, where, error.remedy, _status(outcome))
        yield Wait(wait_s)
    raise AssertionError  # counting has no end


def asked_wait_s(response: httpx.Response) -> float:
    """Return the seconds that a Retry-After header asks for (seconds or a date), 0 without a readable one."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        moment = parsedate_to_datetime(asked)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except WRONG:
        return 0.0


def refusal(response: httpx.Response, where: str, later: str) -> RefusedError | UnavailableError:
    """Return what the server says of itself, or what the status says when something between answered. Its body has been read."""
    status = response.status_code
    try:
        said = decode(response.content)["error"]
        what, remedy, code = inert(said["message"]), inert(said["remedy"]), said.get("code")
        field = None if said.get("field") is None else inert(said["field"])
    except WRONG:
        what, remedy, field, code = f"{status} {_phrase(status)}, and not from Perennial's serving", "", None, None
    if code == _NO_CHAMPION:
        return NoChampionError(what, where, remedy or later, status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN:
        return UnavailableError(what, where, remedy or later, status)
    if response.has_redirect_location:
        # Never followed: the key, and what is sent, are for the address that the app was given.
        remedy = f"it is a redirect to {inert(response.headers['Location'])}; give the address that answers as url"
    remedy = remedy or "check url: use the address that `perennial status` shows, or that of the proxy in front of it"
    return RefusedError(what, f"{where}, field {field}" if field else where, remedy, status, field)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no known status)"


def _status(outcome: Outcome) -> int | None:
    return outcome.status_code if isinstance(outcome, httpx.Response) else None

"""Reads addresses of others politely: as robots.txt allows, not again what has not changed, slowly, and never without end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from config.clock import Clock, utc_now
from config.errors import RetryError, UserError
from consumers.collecting import unpacking
from consumers.collecting.cutting_off import Trace, cut_off
from consumers.collecting.manners import Manners
from consumers.collecting.robots import Robots

_TIMEOUT_S = 20.0
_LIMIT_S = 120.0
"""A server that answers byte by byte is given up after this."""
_ROBOTS_BYTES = 500_000
_MOST_REDIRECTS = 5
_NOT_MODIFIED, _TIMEOUT, _TOO_MANY, _SERVER_ERROR = 304, 408, 429, 500
_LONGEST_REST = timedelta(days=1)
_LONGEST_PAUSE_S = 60.0
"""A host that asks for more between two requests is read again at a later reading: nobody else waits for it."""
_PAUSES_S = (2.0, 8.0)
"""Waits before further attempts at a server that is in trouble and does not say for how long."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server gave to ask by whether something has changed."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers that ask so."""
        said = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave."""

    url: str
    """After redirects."""
    body: bytes
    cut: bool
    """Whether there was more than the limit: the rest was not read."""
    validators: Validators
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(UserError):
    """A server, or its robots.txt, does not let us read an address; asking again changes nothing."""


class Fetcher:
    """Reads addresses. One thread at a time."""

    def __init__(
        self,
        client: httpx.Client,
        *,
        agent: str,
        most_bytes: int,
        pause_s: float = 1.0,
        manners: Manners | None = None,
        clock: Clock = utc_now,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`agent` is who we are; `most_bytes` are read of an answer, `pause_s` pass between two requests to a host.

        `manners` is what earlier readings have learnt of hosts; None: nothing.
        """
        self._client = client
        self._agent = agent
        self._most_bytes = most_bytes
        self._pause_s = pause_s
        self._clock = clock
        self._sleep = sleep
        self._manners = manners or Manners()
        self._robots = Robots(agent.split("/", 1)[0], self._read_robots, clock, self._manners.rules)

    def get(self, url: str, known: Validators = Validators()) -> Fetched | None:
        """Return what an address gives; None where it has not changed since `known`.

        Raises `RefusedError` where it must not or cannot be read, `RetryError` where it cannot be read now.
        """
        host = _host(url)
        if not self._robots.allow(url):
            message = f"robots.txt of {host} does not allow {url}; it was not read. Ask the publisher, or name another address"
            raise RefusedError(message)
        for pause_s in (*_PAUSES_S, None):
            try:
                return self._once(url, host, known, self._most_bytes)
            except RetryError:
                if pause_s is None or host in self._manners.not_before:
                    raise
                self._sleep(pause_s)
        raise AssertionError  # the last attempt returns or raises

    def _once(self, url: str, host: str, known: Validators, most_bytes: int, *, is_robots: bool = False) -> Fetched | None:
        self._wait(url, host, is_robots=is_robots)
        headers = {"User-Agent": self._agent, "Accept-Encoding": "gzip", **known.headers}
        began = time.monotonic()
        try:
            with cut_off(_LIMIT_S + _TIMEOUT_S) as trace, self._opened(url, headers, trace) as answer:
                if answer.status_code == _NOT_MODIFIED:
                    return None
                self._refuse(url, host, answer)
                body, unpacked = bytearray(), unpacking.of(answer.headers.get("content-encoding", ""))
                for part in answer.iter_raw():
                    # Never more than was asked for: a few bytes may stand for gigabytes.
                    body += unpacked(part, most_bytes + 1 - len(body))
                    if len(body) > most_bytes or time.monotonic() - began > _LIMIT_S:
                        break
                else:
                    return _fetched(answer, bytes(body), cut=False)
                return _fetched(answer, bytes(body[:most_bytes]), cut=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects, ValueError) as error:
            message = f"{url} cannot be read: {error or type(error).__name__}"
            raise RefusedError(message) from error
        except httpx.HTTPError as error:
            message = f"{host} did not give {url}: {error or type(error).__name__}. It is asked again later"
            raise RetryError(message) from error

    @contextmanager
    def _opened(self, url: str, headers: Mapping[str, str], trace: Trace) -> Iterator[httpx.Response]:
        """Yield the answer behind a few redirects, of which nothing is read: the client would unpack all of theirs."""
        request = self._client.build_request("GET", url, headers=headers, extensions={"trace": trace})
        for _redirect in range(_MOST_REDIRECTS + 1):
            answer = self._client.send(request, stream=True)
            try:
                if answer.next_request is None:
                    yield answer
                    return
                request = answer.next_request
            finally:
                answer.close()
        message = f"more than {_MOST_REDIRECTS} redirects"
        raise httpx.TooManyRedirects(message, request=request)

    def _wait(self, url: str, host: str, *, is_robots: bool) -> None:
        """Wait as long as the host asks for between two requests. Raises `RetryError` where that is longer than a moment."""
        manners = self._manners
        now = self._clock()
        if (until := manners.not_before.get(host)) is not None:
            if now < until:
                message = f"{host} asked not to be asked before {until:%Y-%m-%d %H:%M} UTC; {url} was not read"
                raise RetryError(message)
            del manners.not_before[host]
        self._pause(manners.asked_at.get(host), self._pause_s)
        if not is_robots:
            delay_s = self._robots.delay_s(url)
            last = manners.read_at.get(host)
            if last is not None and delay_s - (now - last).total_seconds() > _LONGEST_PAUSE_S:
                until = manners.not_before[host] = last + min(timedelta(seconds=delay_s), _LONGEST_REST)
                message = (
                    f"{host} asks for {delay_s:.0f} s between two requests; {url} is read from {until:%Y-%m-%d %H:%M} UTC on"
                )
                raise RetryError(message)
            self._pause(last, delay_s)
            manners.read_at[host] = self._clock()
        manners.asked_at[host] = self._clock()

    def _pause(self, last: datetime | None, pause_s: float) -> None:
        if last is not None and (left_s := pause_s - (self._clock() - last).total_seconds()) > 0:
            # A clock that was set back is no reason to wait longer.
            self._sleep(min(left_s, pause_s))

    def _refuse(self, url: str, host: str, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in (_TIMEOUT, _TOO_MANY) or status >= _SERVER_ERROR:
            rest = _retry_after(answer.headers.get("retry-after"), self._clock())
            if rest is not None:
                self._manners.not_before[host] = self._clock() + min(rest, _LONGEST_REST)
            message = f"{host} answered {status} for {url}; it is asked again later"
            raise RetryError(message)
        if not answer.is_success:
            message = f"{host} does not give {url} ({status}); check the address"
            raise RefusedError(message)

    def _read_robots(self, url: str) -> bytes | None:
        """Return a host's robots.txt; None where it has none, so that all is allowed (RFC 9309)."""
        try:
            found = self._once(url, _host(url), Validators(), _ROBOTS_BYTES, is_robots=True)
        except RefusedError:
            return None
        return found.body if found else None


def client() -> httpx.Client:
    """Return a client that waits for nobody without end."""
    # Each request on a connection of its own, so that it can be cut off.
    alone = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(timeout=_TIMEOUT_S, limits=alone)


def _host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = f"{url!r} is no address; it begins with http:// or https://"
        raise RefusedError(message)
    return parts.netloc


def _fetched(answer: httpx.Response, body: bytes, *, cut: bool) -> Fetched:
    validators = Validators(answer.headers.get("etag"), answer.headers.get("last-modified"))
    # Of what was cut nothing is remembered: it is read again.
    return Fetched(str(answer.url), body, cut, Validators() if cut else validators, dict(answer.headers))


def _retry_after(said: str | None, now: datetime) -> timedelta | None:
    """Return how long a server asks to be left alone; None where it does not say."""
    if said is None:
        return None
    if said.strip().isdecimal():
        return timedelta(seconds=min(int(said), int(_LONGEST_REST.total_seconds())))
    try:
        until = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return None
    return max(timedelta(0), until - now) if until.tzinfo is not None else None

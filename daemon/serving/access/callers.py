"""Who may ask for what, and how much: API keys with scopes, the one token, rate limits."""

from __future__ import annotations

import hmac
import ipaddress
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from config.clock import Clock
from config.sections import ServingSettings
from daemon.serving.access.key_ring import KeyRing
from daemon.serving.access.rate_limit import RateLimit
from daemon.serving.http.errors import ApiError
from daemon.serving.http.security import discard, foreign
from registry.people.api_keys import PREFIX, SCOPES, ApiKey, Scope

OPEN_PATHS = frozenset({"/healthz", "/readyz"})

Refusal = Literal["no_key", "wrong_key", "expired", "revoked", "scope", "rate", "guessing", "keys_unread", "foreign"]

_IPV6_SITE_BITS = 64
_ABOUT_THE_KEY = (401, 403)
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_HOW = "send the header `Authorization: Bearer TOKEN` with an API key (`perennial keys create`) or the token of serving.token"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the holder of a key, or whoever comes from an address (with the token, or where none is needed)."""

    key: str | None
    """Name of the key, None without one."""
    scopes: frozenset[Scope]
    counted_as: str
    """Whose rate limits count."""
    key_id: str | None = None
    """The public id of the key, None without one."""


class Access:
    """Admits requests. Everything here happens on the event loop's one thread, in memory."""

    def __init__(
        self, settings: ServingSettings, keys: KeyRing, *, loopback: bool, clock: Clock,
        report: Callable[[Refusal], None] = lambda _reason: None, elapsed: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`loopback` tells whether only this machine can reach the port; `report` is told of every refusal."""
        self._settings = settings
        self._keys = keys
        self._loopback = loopback
        self._clock = clock
        self._report = report
        self._token = settings.token.get_secret_value().encode()
        # A whole request must fit into the bucket, or it could never pass.
        texts, requests, guesses = settings.texts_per_s, settings.requests_per_s, settings.wrong_keys_per_min
        self._texts = RateLimit(texts, max(settings.max_texts, texts * settings.burst_s), elapsed=elapsed)
        self._requests = RateLimit(requests, max(1.0, requests * settings.burst_s), elapsed=elapsed)
        self._guesses = RateLimit(guesses / 60, guesses, elapsed=elapsed)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the port."""
        return self._loopback

    @property
    def host(self) -> str:
        """The address that serving was told to listen on."""
        return self._settings.host

    @property
    def open_to_all(self) -> bool:
        """Whether requests need no key: only this machine reaches the port, and there is neither a token nor a key."""
        return self._loopback and not self._token and not self._keys.exists

    def refuse_foreign(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise `ApiError` (403, 421) where nobody needs a key and a web page of another site asks."""
        if self.open_to_all and (refusal := foreign(headers, self._settings.host)) is not None:
            self._report("foreign")
            raise refusal

    def admit(self, method: str, path: str, address: str, authorization: bytes) -> Caller:
        """Return who asks. Raises `ApiError` (401, 403, 429, 503) for one who may not, or not now."""
        caller = self.identify(address, authorization)
        needed = scope_of(method, path)
        if needed not in caller.scopes:
            message = f"the key {caller.key!r} has the scope {', '.join(sorted(caller.scopes))}; this needs {needed}"
            remedy = f"use a key that has it: `perennial keys create NAME --scope {needed}`"
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
            self._refuse("scope", 403, message, remedy, challenge)
        if _is_predict(method, path):
            # One text now, so that requests that turn out to hold none cost too; the others when they are counted.
            self._hold_to("texts_per_s", self._texts.rate_per_s, caller, self._texts.take(caller.counted_as))
        else:
            self.hold_to_requests(caller)
        return caller

    def identify(self, address: str, authorization: bytes) -> Caller:
        """Return who asks, whatever it asks for. Raises `ApiError` (401, 429, 503)."""
        return self._identify(self.counted_as(address), authorization)

    def of_session(self, address: str, key_id: str | None) -> Caller:
        """Return who began a session with a key, by its id, or with the token (None). Raises as `identify` does."""
        if key_id is None:
            return Caller(None, frozenset(SCOPES), self.counted_as(address))
        self._refuse_unread_keys()
        key = self._keys.of_id(key_id)
        if key is None:
            self._refuse("revoked", 401, "the key is gone", _HOW, _CHALLENGE)
        return self._holder(key)

    def hold_to_requests(self, caller: Caller) -> None:
        """Count one request of any kind but predict. Raises `ApiError` (429)."""
        self._hold_to("requests_per_s", self._requests.rate_per_s, caller, self._requests.take(caller.counted_as))

    def counted_as(self, address: str) -> str:
        """Return whose rate limits count for one without a key who asks from an address."""
        return f"address:{_site(address)}"

    def charge(self, caller: Caller, texts: int) -> None:
        """Count the texts of an admitted predict request, before they are answered. Raises `ApiError` (429)."""
        if self._texts.take(caller.counted_as, texts - 1):
            # Or refused requests would eat what a large one waits for.
            self._texts.give_back(caller.counted_as, 1)
            wait_s = self._texts.wait_s(caller.counted_as, texts)
            self._hold_to("texts_per_s", self._texts.rate_per_s, caller, wait_s)

    def _identify(self, counted_as: str, authorization: bytes) -> Caller:
        if self.open_to_all:
            return Caller(None, frozenset(SCOPES), counted_as)
        presented = _bearer(authorization)
        if not presented:
            self._refuse("no_key", 401, "the bearer token is missing", _HOW, _CHALLENGE)
        if presented.startswith(PREFIX.encode()):
            self._refuse_unread_keys()
        key = self._keys.identify(presented)
        if key is not None:
            return self._holder(key)
        # Only the token could be guessed. Who guesses too often does not learn whether the next one was right; keys still work.
        if wait_s := self._guesses.wait_s(counted_as):
            message = "too many wrong bearer tokens came from this address (serving.wrong_keys_per_min)"
            self._refuse("guessing", 429, message, f"wait {math.ceil(wait_s)} s, then {_HOW}", _after(wait_s))
        if not self._token or not hmac.compare_digest(presented, self._token):
            self._guesses.take(counted_as)
            self._refuse("wrong_key", 401, "the bearer token is wrong", _HOW, _CHALLENGE)
        return Caller(None, frozenset(SCOPES), counted_as)

    def _refuse_unread_keys(self) -> None:
        if self._keys.age_s > self._settings.keys_grace_s:
            message = f"keys cannot be checked: the registry has not answered for {self._keys.age_s:.0f} s"
            self._refuse("keys_unread", 503, message, "send it again in a moment; tell the operator if it stays", _after(5))

    def _holder(self, key: ApiKey) -> Caller:
        state = key.state(self._clock())
        if state == "revoked":
            self._refuse("revoked", 401, f"the key {key.name!r} was revoked", _HOW, _CHALLENGE)
        if state == "expired":
            when = key.expires_at.isoformat(timespec="seconds") if key.expires_at else ""
            self._refuse("expired", 401, f"the key {key.name!r} expired at {when}", _HOW, _CHALLENGE)
        return Caller(key.name, frozenset(key.scopes), f"key:{key.name}", key.key_id)

    def _hold_to(self, setting: str, rate_per_s: float, caller: Caller, wait_s: float) -> None:
        if wait_s:
            who = f"the key {caller.key!r}" if caller.key else "this address"
            message = f"{who} asks for more than serving.{setting} allows ({rate_per_s:g} a second)"
            self._refuse("rate", 429, message, f"send it again in {math.ceil(wait_s)} s", _after(wait_s))

    def _refuse(self, reason: Refusal, status: int, message: str, remedy: str, headers: Mapping[str, str]) -> NoReturn:
        self._report(reason)
        raise ApiError(status, message, remedy, field="Authorization" if status in _ABOUT_THE_KEY else None, headers=headers)


class Guard:
    """Lets only admitted requests through and notes who asks in `request.state.caller`; `/healthz` and `/readyz` stay open."""

    def __init__(
        self, app: ASGIApp, *, access: Access, max_body_bytes: int, elsewhere: Callable[[str], bool] = lambda _path: False
    ) -> None:
        """`elsewhere` tells of a path whether another guard admits to it."""
        self._app = app
        self._elsewhere = elsewhere
        self._access = access
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with the refusal."""
        if scope["type"] == "http" and not self._elsewhere(scope["path"]):
            try:
                self._access.refuse_foreign(scope["headers"])
                if scope["path"] not in OPEN_PATHS:
                    address = scope["client"][0] if scope.get("client") else ""
                    authorization = dict(scope["headers"]).get(b"authorization", b"")
                    caller = self._access.admit(scope["method"], scope["path"], address, authorization)
                    scope.setdefault("state", {})["caller"] = caller
            except ApiError as refusal:
                # Read to its end, or the sender meets a broken connection instead of the answer.
                await discard(receive, self._max_body_bytes)
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def scope_of(method: str, path: str) -> Scope:
    """Return the scope that a request needs; what is not named here needs `admin`."""
    if _is_predict(method, path):
        return "predict"
    if _below(path, "/v1/feedback") and method in ("GET", "POST"):
        return "feedback"
    if (_below(path, "/v1/tasks") or _below(path, "/v1/models")) and method == "GET":
        return "predict"
    if path == "/v1/review" and method in ("GET", "POST"):
        return "correct"
    if path == "/v1/labels/correct" and method == "POST":
        return "correct"
    return "admin"


def _is_predict(method: str, path: str) -> bool:
    return method == "POST" and _below(path, "/v1/tasks") and path.endswith(("/predict", "/classify"))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _bearer(authorization: bytes) -> bytes:
    scheme, _, credential = authorization.partition(b" ")
    return credential.strip() if scheme.lower() == b"bearer" else b""


def _site(address: str) -> str:
    """Return what counts as one address: the site's /64 of IPv6, and all of loopback; anybody may choose addresses in them."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return "loopback"
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _IPV6_SITE_BITS), strict=False))
    return str(found)


def _after(wait_s: float) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(wait_s))}

"""Who may see which page: the present keys, token and scopes, by a cookie; and that a write comes from our own page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope as AsgiScope

from daemon.dashboard.visitor import RIGHTS, Right, Visitor
from daemon.serving.access.callers import Access, Caller
from daemon.serving.access.sessions import LIFE_S, Session, Sessions
from daemon.serving.http.errors import ApiError
from daemon.serving.http.security import misdirected
from registry.people.api_keys import Scope

PAGES = "/ui"
SIGN_IN, SIGN_OUT, STATIC = "/ui/sign-in", "/ui/sign-out", "/ui/static/"
RIGHTS_OF: Mapping[Scope, tuple[Right, ...]] = {
    "predict": ("view",),
    "feedback": (),
    "correct": ("view", "review"),
    "admin": RIGHTS,
}
"""What each scope of a key opens on the page (decision 0047)."""
_NOBODY = "not signed in"
_HERE = "this machine"
_AT_HOME = ("same-origin", "none")


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request tells who asks."""

    method: str
    path: str
    address: str
    """Of the connection."""
    scheme: str
    port: int
    headers: Mapping[str, str]

    @property
    def cookie_name(self) -> str:
        """One for each port: cookies do not tell ports apart."""
        return f"perennial_session_{self.port}"

    @property
    def cookie(self) -> str:
        """The session's cookie; empty where there is none."""
        # Not by http.cookies, whose time for backslashes grows with their square (CVE-2024-7592). Ours have no quotes.
        for pair in self.headers.get("cookie", "").split(";"):
            name, _, value = pair.partition("=")
            if name.strip() == self.cookie_name:
                return value.strip()
        return ""


class Visitors:
    """Admits visitors of pages. Everything here happens on the event loop's one thread, in memory."""

    def __init__(self, access: Access, *, sessions: Sessions | None = None) -> None:
        self._access = access
        self._sessions = sessions or Sessions()

    @property
    def open_to_all(self) -> bool:
        """Whether nobody needs to sign in."""
        return self._access.open_to_all

    def admit(self, asked: Asked) -> Visitor:
        """Return who looks. Raises `ApiError`: 401 for one who must sign in, 403, 421, 429 and 503 as for the API."""
        self._refuse_elsewhere(asked)
        if asked.path == SIGN_IN or asked.path.startswith(STATIC):
            self._access.hold_to_requests(Caller(None, frozenset(), self._access.counted_as(asked.address)))
            return Visitor(_NOBODY, frozenset(), self._sessions.csrf(SIGN_IN), signed_in=False)
        session = self._sessions.find(asked.cookie)
        caller = self._caller(asked, session)
        self._access.hold_to_requests(caller)
        name = f"key:{caller.key}" if caller.key else _HERE if self._access.open_to_all else "token"
        rights = frozenset(right for scope in caller.scopes for right in RIGHTS_OF[scope])
        return Visitor(name, rights, self._sessions.csrf(_whose(session)), signed_in=session is not None)

    def sign_in(self, asked: Asked, credential: str) -> str:
        """Begin a session with an API key or the token and return the header that sets its cookie. Raises `ApiError`."""
        caller = self._access.identify(asked.address, b"Bearer " + credential.strip().encode("utf-8", "surrogateescape"))
        if not any(RIGHTS_OF[scope] for scope in caller.scopes):
            told = f"the key {caller.key!r} opens no page: it has the scope {', '.join(sorted(caller.scopes))}"
            raise ApiError(403, told, "use a key with the scope predict, correct or admin", field="credential")
        self._sessions.close(asked.cookie)
        return _set_cookie(asked, self._sessions.open(caller.key_id).cookie, LIFE_S)

    def sign_out(self, asked: Asked) -> str:
        """End the session and return the header that removes its cookie."""
        self._sessions.close(asked.cookie)
        return _set_cookie(asked, "", 0)

    def _caller(self, asked: Asked, session: Session | None) -> Caller:
        if session is None or self._access.open_to_all:
            return self._access.identify(asked.address, asked.headers.get("authorization", "").encode("latin-1", "replace"))
        return self._access.of_session(asked.address, session.key_id)

    def _refuse_elsewhere(self, asked: Asked) -> None:
        """Raise `ApiError`: 421 for a name that is not this machine's where only it can ask, 403 for a write of another site."""
        host = asked.headers.get("host", "")
        if self._access.loopback and (refusal := misdirected(host, self._access.host)) is not None:
            raise refusal
        if asked.method in ("GET", "HEAD"):
            return
        origin = asked.headers.get("origin", "")
        ours = _host_in(origin) == host.lower() if origin else asked.headers.get("sec-fetch-site") in _AT_HOME
        if not ours or not host:
            told = f"the write comes from {origin[:80] or 'no page'!r}, not from a page of {host[:80]!r}"
            raise ApiError(403, told, "use the buttons of the page itself; a proxy must pass the Host header on", field="Origin")


def is_page(path: str) -> bool:
    """Return whether an address is one of the page's, not of the API's."""
    return path in ("/", PAGES) or path.startswith(f"{PAGES}/")


def asked_of(scope: AsgiScope) -> Asked:
    """Return what a request tells of who asks; of a header that comes twice the last one."""
    named = {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, value in scope["headers"]}
    client, server = scope.get("client"), scope.get("server")
    return Asked(
        scope["method"], scope["path"], client[0] if client else "", scope.get("scheme", "http"),
        (server[1] if server else None) or 0, named,
    )  # fmt: skip


def _host_in(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _whose(session: Session | None) -> str:
    return session.cookie if session is not None else _HERE


def _set_cookie(asked: Asked, value: str, life_s: float) -> str:
    secure = "; Secure" if asked.scheme == "https" else ""
    return f"{asked.cookie_name}={value}; Path=/; Max-Age={life_s:.0f}; HttpOnly; SameSite=Lax{secure}"

"""Every refusal there is: its code, its one status, its meaning. Handlers answer by this table and `/openapi.json` declares it.

A new kind of refusal is added here: one line in `REFUSALS`, and its code in `EVERYWHERE` when any request may meet it, or in
`declared(...)` of the addresses that may give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.serving.http.schemas import ErrorBody

_AGAIN_HEADER = {"Retry-After": {"description": "Seconds to wait before the next attempt.", "schema": {"type": "string"}}}
_KEY_HEADER = {"WWW-Authenticate": {"description": "How to identify oneself.", "schema": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The HTTP status of a code and what it means."""

    status: int
    meaning: str


REFUSALS: Mapping[str, Refusal] = {
    "malformed": Refusal(400, "The request cannot be read: it is not HTTP, or its body is not a JSON object in UTF-8."),
    "unauthorized": Refusal(401, "The bearer token is missing, wrong, revoked or expired."),
    "forbidden": Refusal(403, "The key lacks the scope that this needs, or the request comes from another web site."),
    "not_found": Refusal(404, "There is no such task, version, file, event or address."),
    "method_not_allowed": Refusal(405, "The address does not allow this method."),
    "timeout": Refusal(408, "The request did not arrive in time."),
    "conflict": Refusal(409, "The event id was acknowledged before with other content."),
    "no_champion": Refusal(409, "The task has no champion yet. Asking again helps only once a first model was promoted."),
    "gone": Refusal(410, "The files of this version were removed."),
    "too_large": Refusal(413, "The body, or the event in it, is larger than the server accepts."),
    "unsupported_type": Refusal(415, "The body is not declared as JSON."),
    "bad_range": Refusal(416, "The range names no bytes of the file."),
    "misdirected": Refusal(421, "The Host header names another server."),
    "invalid": Refusal(422, "A value is wrong; `field` names it."),
    "rate_limited": Refusal(429, "The caller asks for more than the server's limits allow."),
    "internal": Refusal(500, "The request failed inside the server."),
    "unavailable": Refusal(503, "The server cannot answer now: a model is loading, too much waits, or a file cannot be read."),
}

EVERYWHERE = ("malformed", "forbidden", "timeout", "too_large", "misdirected", "internal", "unavailable")
"""What stands before every address may answer."""
GUARDED = ("unauthorized", "rate_limited")
"""What every address but `/healthz` and `/readyz` may answer besides."""

_HEADERS: Mapping[int, Mapping[str, Any]] = {401: _KEY_HEADER, 403: _KEY_HEADER, 429: _AGAIN_HEADER, 503: _AGAIN_HEADER}


def code_of(status: int) -> str:
    """Return the code that a refusal of this status carries unless it names another one of the same status."""
    return next((code for code, refusal in REFUSALS.items() if refusal.status == status), f"http_{status}")


def declared(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's `responses` for refusals of these codes."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        refusal = REFUSALS[code]
        told = f"`{code}`: {refusal.meaning}"
        before = responses.get(refusal.status)
        description = f"{before['description']} {told}" if before else told
        headers = _HEADERS.get(refusal.status, {})
        responses[refusal.status] = {"model": ErrorBody, "description": description, **({"headers": headers} if headers else {})}
    return responses

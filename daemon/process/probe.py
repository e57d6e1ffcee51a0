"""Asks a serving process over HTTP whether it answers: one that hangs or was stopped by a signal is alive and serves nobody."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from daemon.process.presence import Presence

PATIENCE_S = 10.0
"""Far longer than its event loop is ever busy, also on a machine that is."""
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Computing:
    """What the models of a serving process compute by, of tasks whose model tells."""

    by: dict[str, str] = field(default_factory=dict)
    """A variant of the encoder, or the precision of the weights."""
    passed_over: dict[str, str] = field(default_factory=dict)
    """Why the variant beside the weights is not used, of tasks where it is not."""


def problem(here: Presence, *, patience_s: float = PATIENCE_S) -> str | None:
    """Return why a serving process that is alive does not answer, in words; None when it does."""
    with contextlib.suppress(psutil.Error):
        if psutil.Process(here.pid).status() == psutil.STATUS_STOPPED:
            return "its process was stopped by a signal (SIGSTOP or SIGTSTP)"
    try:
        status, _body = _get(here, "/healthz", patience_s)
    except TimeoutError:
        return f"GET {here.address}/healthz was not answered within {patience_s:.0f} s"
    except (OSError, http.client.HTTPException) as error:
        return f"GET {here.address}/healthz failed: {error or type(error).__name__}"
    return None if status == http.client.OK else f"GET {here.address}/healthz was answered with {status}"


def computing(here: Presence, *, patience_s: float = PATIENCE_S) -> Computing:
    """Return what the models of a serving process compute by; of one that does not say, or is of an earlier release, nothing."""
    try:
        _status, body = _get(here, "/readyz", patience_s)
        told = json.loads(body)
        return Computing(
            *({str(task): str(said) for task, said in told[part].items()} for part in ("computes_by", "passed_over"))
        )
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError):
        return Computing()


def _get(here: Presence, path: str, patience_s: float) -> tuple[int, bytes]:
    """Return the status and the body of an answer. Raises OSError, of which TimeoutError, and HTTPException."""
    parts = urlsplit(here.address)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # Whether it answers is all that is asked; its certificate names the host that clients use, which this address is not.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=patience_s, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience_s)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(_MOST_BYTES)

"""Asks a serving process over HTTP whether it answers: one that hangs or was stopped by a signal is alive and serves nobody."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from urllib.parse import urlsplit

import psutil

from daemon.process.presence import Presence

PATIENCE_S = 10.0
"""Far longer than its event loop is ever busy, also on a machine that is."""


def problem(here: Presence, *, patience_s: float = PATIENCE_S) -> str | None:
    """Return why a serving process that is alive does not answer, in words; None when it does."""
    with contextlib.suppress(psutil.Error):
        if psutil.Process(here.pid).status() == psutil.STATUS_STOPPED:
            return "its process was stopped by a signal (SIGSTOP or SIGTSTP)"
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
        try:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
        except TimeoutError:
            return f"GET {here.address}/healthz was not answered within {patience_s:.0f} s"
        except (OSError, http.client.HTTPException) as error:
            return f"GET {here.address}/healthz failed: {error or type(error).__name__}"
    return None if status == http.client.OK else f"GET {here.address}/healthz was answered with {status}"

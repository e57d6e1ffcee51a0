"""Checks of serving: its address, its certificate, its port."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from config.addresses import is_loopback
from config.errors import PerennialError, UserError
from config.settings import Settings
from config.tasks import TaskSpec
from daemon.operations.doctor.finding import Finding
from daemon.operations.doctor.reading import has_registry
from daemon.process import presence, probe

if TYPE_CHECKING:
    from daemon.serving.http import tls

_CONNECT_S = 2.0
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to


def address(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Check that serving is not open to everyone."""
    from daemon.serving.http import security  # noqa: PLC0415 - loaded only where it is checked
    from daemon.views.installation import keys  # noqa: PLC0415 - loads the registry

    try:
        security.refuse_open_bind(settings.serving, lambda: has_registry(settings) and keys.any_made(settings, read_only=True))
    except UserError as error:
        remedy = "make a key with `perennial keys create`, set serving.token, or set serving.host to 127.0.0.1"
        return Finding("serving address", "problem", str(error), remedy)
    except PerennialError as error:
        found = f"whether a key protects {settings.serving.host} is not known: {error}"
        return Finding("serving address", "problem", found, "fix the registry; its own check says how")
    return Finding("serving address", "ok", settings.serving.host)


def certificate(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Check the certificate of serving."""
    from daemon.serving.http import tls  # noqa: PLC0415 - loaded only where it is checked

    serving = settings.serving
    try:
        if tls.wanted(serving):
            return _finding_of(tls.examine(serving))
        wide = not is_loopback(serving.host)
    except UserError as error:
        return Finding("TLS", "problem", str(error), "name the PEM files of one certificate and its key")
    if wide:
        found = f"{serving.host} is served without TLS: keys, texts and answers are sent unencrypted"
        remedy = "set serving.tls_certificate and serving.tls_key, or let only a TLS proxy reach the port"
        return Finding("TLS", "warning", found, remedy)
    return Finding("TLS", "ok", "none; only this machine reaches the port")


def _finding_of(examined: tls.Examined) -> Finding:
    if examined.expires_at is None:
        return Finding("TLS", "problem", f"clients will refuse the certificate: {examined.problem}", "renew the certificate")
    until = f"the certificate is good until {examined.expires_at:%Y-%m-%d}"
    if examined.expires_soon:
        return Finding("TLS", "warning", until, "renew it; serving loads the new one automatically")
    return Finding("TLS", "ok", until)


def port(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Check that serving answers, or that its port is free."""
    here = presence.read(settings.data_dir)
    if here is not None and presence.is_alive(here):
        if (why := probe.problem(here)) is not None:
            remedy = "a daemon restarts it within a minute; stop it yourself if you started it with `perennial serve`"
            return Finding("serving", "problem", f"process {here.pid} at {here.address} does not answer: {why}", remedy)
        return Finding("serving", "ok", f"answers at {here.address}")
    port = settings.serving.port
    if port and _port_is_taken(settings.serving.host, port):
        return Finding("serving", "problem", f"another program uses port {port}", "set serving.port to another, or to 0")
    return Finding("serving", "ok", "not running; its port is free")


def _port_is_taken(host: str, port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1" if host in _EVERYWHERE else host, port), timeout=_CONNECT_S):
            return True
    except OSError:
        return False

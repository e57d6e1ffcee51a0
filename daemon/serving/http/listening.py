"""The socket that a server listens on."""

from __future__ import annotations

import socket

from config.errors import UserError
from config.sections import ServingSettings

BACKLOG = 2048


def listen(settings: ServingSettings) -> socket.socket:
    """Return a listening socket. Raises `UserError` when the address cannot be had."""
    listener = None
    try:
        found = socket.getaddrinfo(settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _name, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        message = (
            f"serving cannot listen on {settings.host} port {settings.port}: {error.strerror}. Nothing was started. "
            "Stop what uses the port, or choose another: PERENNIAL_SERVING__PORT, or 0 for a free one."
        )
        raise UserError(message) from None
    return listener


def address_of(listener: socket.socket, scheme: str) -> str:
    """Return where a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

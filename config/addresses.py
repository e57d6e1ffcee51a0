"""Addresses that a server is told to listen on."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from config.errors import UserError

if TYPE_CHECKING:
    # The settings' library is heavy, and a shell that completes a command imports this file.
    from config.sections import ServingSettings


def is_loopback(host: str, *, setting: str = "serving.host") -> bool:
    """Return whether only this machine reaches `host`. Raises `UserError` that names the setting when it is no address."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None)  # noqa: S104 - an empty host means every interface
    except (OSError, UnicodeError):
        message = f"{setting} {host!r} is not an address of this machine; set 127.0.0.1, or an address it has"
        raise UserError(message) from None
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)


def apps_address(serving: ServingSettings) -> str:
    """Return where apps reach serving, without a slash at its end; empty where only they know, as with a free port."""
    if serving.public_url or not serving.port:
        return serving.public_url
    return page_address(serving).removesuffix("/ui")


def page_address(serving: ServingSettings) -> str:
    """Return where a browser on this machine finds the page that serving carries; its port must not be 0."""
    wide = serving.host in ("", "0.0.0.0", "::")  # noqa: S104 - every interface, this machine's own too
    host = "127.0.0.1" if wide else f"[{serving.host}]" if ":" in serving.host else serving.host
    return f"{'https' if serving.tls_certificate else 'http'}://{host}:{serving.port}/ui"

"""Addresses that a server is told to listen on."""

from __future__ import annotations

import ipaddress
import socket

from config.errors import UserError


def is_loopback(host: str, *, setting: str = "serving.host") -> bool:
    """Return whether only this machine reaches `host`. Raises `UserError` that names the setting when it is no address."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None)  # noqa: S104 - an empty host means every interface
    except (OSError, UnicodeError):
        message = f"{setting} {host!r} is not an address of this machine; set 127.0.0.1, or an address it has"
        raise UserError(message) from None
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)

"""Tells systemd how this process is, where it was started as a unit of `Type=notify`; elsewhere nothing happens.

The protocol: one datagram of VARIABLE=value lines to the socket named by NOTIFY_SOCKET (sd_notify(3)).
"""

from __future__ import annotations

import os
import socket


class Systemd:
    """The socket, if there is one. Thread-safe."""

    def __init__(self) -> None:
        # Taken out of the environment: children are not the unit's main process and must not speak for it.
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Say that the start is complete; `status` is shown by `systemctl status`."""
        self._tell(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog (`WatchdogSec`)."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the stop has begun."""
        self._tell("STOPPING=1\nSTATUS=stopping")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.sendto(state.encode(), self._address)
            except OSError:
                # systemd itself is being restarted: nothing here depends on its having heard.
                return

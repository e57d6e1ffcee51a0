"""Who leads, as others see it: a lease outlives its holder by some seconds, a process that is gone does not lead."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
import structlog

from config.errors import RetryError
from registry.store import Registry

_FIELDS = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Leader:
    """The daemon that leads, or since when there is none."""

    holder: str | None
    """Host, process id and a random part; None when no daemon runs."""
    gone_since: datetime | None
    """When the last one ended, or was last heard of; None while one leads, and before the first."""

    def already_runs(self, data_dir: Path) -> str:
        """Return the message for a person who starts another daemon."""
        host, pid = _place(self.holder or "")
        who = f"pid {pid}" if host == socket.gethostname() else f"{self.holder}"
        return f"A daemon ({who}) already runs on {data_dir}; stop it, or choose another data_dir."


def name_of_this_process() -> str:
    """Return this process's name as leader. Partly random: two containers may share a host name and the process id 1."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def of(registry: Registry) -> Leader:
    """Return who leads. Raises `RetryError` when the registry does not answer."""
    last = registry.lease.last()
    if last is None:
        return Leader(None, None)
    holder, expires_at = last
    now = registry.clock()
    if holder is None or expires_at <= now:
        return Leader(None, min(expires_at, now))
    host, pid = _place(holder)
    if host == socket.gethostname() and pid is not None and not psutil.pid_exists(pid):
        return Leader(None, now)
    return Leader(holder, None)


def announce_another(registry: Registry, data_dir: Path) -> str:
    """Say that a daemon runs already, before anything can fail for that reason; return the sentence, empty where none does."""
    try:
        found = of(registry)
    except RetryError:
        return ""  # reported where the lease is requested
    if found.holder is None or _place(found.holder) == (socket.gethostname(), os.getpid()):
        return ""  # nobody, or who had this process id before, as in a container that was restarted
    another = found.already_runs(data_dir)
    log.warning("daemon.another_runs", reason=another, leader=found.holder, next="this daemon stands by until the other one ends")
    return another


def _place(holder: str) -> tuple[str, int | None]:
    parts = holder.rsplit(":", _FIELDS - 1)
    return (parts[0], int(parts[1])) if len(parts) == _FIELDS and parts[1].isdecimal() else (holder, None)

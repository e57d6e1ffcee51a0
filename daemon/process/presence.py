"""Where the serving process of a data folder is: written by it, read by the daemon that adopts it and by `status`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from config.files.durable import write_atomic

FILE_NAME = "serving.json"
# Process start times have a resolution of 10 ms; the kernel's whole-second boot time may be read rounded either way.
_TOLERANCE_S = 1.5


@dataclass(frozen=True, slots=True)
class Presence:
    """A serving process: its id, when it began (in seconds after boot, so that a reset clock does not matter), its address."""

    pid: int
    started_s_after_boot: float
    boot_id: str
    address: str
    started_under: str = ""
    """Digest of the settings under which a daemon started it; empty: it was started on its own (`perennial serve`)."""


def write(data_dir: Path, address: str, *, started_under: str = "") -> Presence:
    """Record this process as the one that serves `data_dir`, atomically."""
    here = Presence(os.getpid(), _started_s_after_boot(os.getpid()), _boot_id(), address, started_under)
    write_atomic(data_dir / FILE_NAME, json.dumps(asdict(here)).encode())
    return here


def read(data_dir: Path) -> Presence | None:
    """Return what was written last; None when there is nothing, or nothing readable."""
    try:
        content = json.loads((data_dir / FILE_NAME).read_text(encoding="utf-8"))
        return Presence(
            int(content["pid"]),
            float(content["started_s_after_boot"]),
            str(content["boot_id"]),
            str(content["address"]),
            str(content.get("started_under", "")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_alive(presence: Presence) -> bool:
    """Return whether that very process still runs; another one that got its process id later does not count."""
    if presence.boot_id != _boot_id():
        return False
    try:
        process = psutil.Process(presence.pid)
        ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return not ended and abs(_started_s_after_boot(presence.pid) - presence.started_s_after_boot) <= _TOLERANCE_S
    except psutil.Error:
        return False


def remove(data_dir: Path) -> None:
    """Forget this process, if the file is about it."""
    here = read(data_dir)
    if here is not None and here.pid == os.getpid():
        (data_dir / FILE_NAME).unlink(missing_ok=True)


def _started_s_after_boot(pid: int) -> float:
    return psutil.Process(pid).create_time() - psutil.boot_time()


def _boot_id() -> str:
    """Return an id of this boot where the system has one (Linux); elsewhere the start times alone must differ."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""

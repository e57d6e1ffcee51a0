"""Builds a variant in a process of its own, within limits of time and disk; whatever goes wrong is said, and nothing is left."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import inert
from perennial_artifact.variants import note as notes
from perennial_artifact.variants.note import Variant
from trainers.hardware import Hardware
from trainers.orphans import PARENT_VARIABLE

_CHILD = (sys.executable, "-P", "-m", "trainers.export")
_POLL_S = 0.1
_TELL_EVERY_S = 10.0
_ROOM = 4
"""A variant, and what is written on the way to it, takes at most so many times the room of the weights."""
_LEAST_ROOM_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Built:
    """What became of an attempt."""

    variant: Variant | None
    reason: str = ""
    """Why there is none, in words."""
    cpu_s: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an attempt may take."""

    time_s: float = 1_800.0
    modules: tuple[str, ...] = ()
    """Python modules that the process imports first: they may bring exporters."""


USUAL = Limits()


def build(  # noqa: PLR0917 - what is built, where, and within what
    name: str, source: Path, target: Path, rows: Sequence[Sequence[int]], hardware: Hardware, limits: Limits,
    *, retreat: int = 0, tell: Callable[[str], None] = lambda _message: None,
) -> Built:  # fmt: skip
    """Write a variant of the model in `source` into the new folder `target`, as `writing.write`, in a process of its own.

    `target` is there only where it succeeded. `tell` is called again and again meanwhile; what it raises stops the process and
    passes through.
    """
    building = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    began = _children_cpu_s()
    try:
        building.mkdir(parents=True)
        reason = _no_room(source, building) or _run(name, source, building, rows, hardware, limits, retreat, tell)
        variant = notes.read(building) if reason is None else None
        if variant is None:
            return Built(None, reason or "it left no note", _children_cpu_s() - began)
        building.rename(target)
    except (OSError, UnusableError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return Built(None, "the disk is full" if full else str(error), _children_cpu_s() - began)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Built(variant, cpu_s=_children_cpu_s() - began, size_bytes=size_of(variant.files(target)))


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _no_room(source: Path, building: Path) -> str | None:
    wanted, free = _ROOM * size_of(source) + _LEAST_ROOM_BYTES, shutil.disk_usage(building).free
    if free >= wanted:
        return None
    return f"the disk has {free >> 20} MiB free, and {wanted >> 20} MiB may be needed"


def _run(  # noqa: PLR0917 - what `build` was given
    name: str, source: Path, building: Path, rows: Sequence[Sequence[int]], hardware: Hardware, limits: Limits, retreat: int,
    tell: Callable[[str], None],
) -> str | None:  # fmt: skip
    """Return why the process failed, in words; None where it did not."""
    order = {
        "name": name, "source": str(source), "target": str(building), "rows": [list(map(int, row)) for row in rows],
        "hardware": asdict(hardware), "retreat": retreat, "modules": limits.modules,
    }  # fmt: skip
    path, log = building / "order.json", building / "build.log"
    path.write_text(json.dumps(order), encoding="utf-8")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_CHILD, str(path)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": str(hardware.threads), "TRANSFORMERS_VERBOSITY": "error",
                 PARENT_VARIABLE: str(os.getpid())},
        )  # fmt: skip
    try:
        code = _wait(process, name, limits.time_s, tell)
    finally:
        process.kill()
        process.wait()
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    path.unlink()
    log.unlink()
    if code is None:
        return f"it was not done after {limits.time_s:g} s and was ended"
    if code == 0:
        return None
    if "No space left on device" in (said[-1] if said else ""):
        return "the disk is full"
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return inert(said[-1] if said else f"it ended with code {code}")[:500]


def _wait(process: subprocess.Popen[bytes], name: str, limit_s: float, tell: Callable[[str], None]) -> int | None:
    began = told = time.monotonic()
    while time.monotonic() - began < limit_s:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_POLL_S)
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            tell(f"building {name} ({told - began:.0f} s)")
    return None


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system

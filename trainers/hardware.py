"""What a training or answering process may use: device, precision and threads, with every `auto` decided."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from config.errors import UserError
from config.sections import TrainingSettings
from perennial_artifact.compute import Compute

Device = Literal["cpu", "cuda"]

_PROCESSOR_ONLY = frozenset({"spacy"})
"""Backends that compute on the processor, in fp32."""
# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_KEPT_BYTES = 1 << 30
_NEVER_TRIM = 0x7FFF_FFFF
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a training or answering process may use, already resolved: no `auto` here."""

    device: Device
    precision: Literal["fp32", "bf16"]
    threads: int

    @property
    def compute(self) -> Compute:
        """What a published model is told of it."""
        return Compute(self.device, self.precision)


def resolve(settings: TrainingSettings, *, backend: str = "") -> Hardware:
    """Decide every `auto`. Raises `UserError` when the settings ask for what this machine does not have.

    `auto` means CUDA, else CPU: never the half-supported rest. bf16 is chosen only where it is computed natively; a
    processor that emulates it trains about three times slower than in fp32. A backend that knows only the processor computes
    there, in fp32, whatever is asked.
    """
    # One core stays free, so that serving answers quickly while a child trains.
    threads = settings.threads or max(1, usable_cores() - 1)
    if backend in _PROCESSOR_ONLY:
        return Hardware("cpu", "fp32", threads)
    device = _device(settings.device)
    native = native_bf16(device)
    if settings.precision == "bf16" and device == "cuda" and not native:
        message = "training.precision is bf16, which this GPU does not support; set it to auto or fp32"
        raise UserError(message)
    bf16 = native if settings.precision == "auto" else settings.precision == "bf16"
    return Hardware(device=device, precision="bf16" if bf16 else "fp32", threads=threads)


def native_bf16(device: Device = "cpu") -> bool:
    """Return whether `device` computes bf16 itself (GPU tensor cores, AMX or AVX512-BF16) instead of emulating it."""
    import torch  # noqa: PLC0415 - seconds to import, and `doctor` asks for little

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_tile") or found.get("avx512_bf16"))


def describe(hardware: Hardware) -> str:
    """Return device, precision and threads in words, for a model card."""
    threads = f"{hardware.threads} thread{'' if hardware.threads == 1 else 's'}"
    if hardware.device == "cpu":
        return f"CPU, {hardware.precision}, {threads}"
    import torch  # noqa: PLC0415 - see above

    return f"{torch.cuda.get_device_name()}, {hardware.precision}, {threads}"


def threads_told(described: str) -> int | None:
    """Return the threads that a description of `describe` names; None where it is none."""
    found = re.search(r", (\d+) threads?$", described)
    return int(found[1]) if found else None


def keep_freed_memory() -> None:
    """Tell glibc to keep what torch frees instead of giving it back to the system (elsewhere: nothing).

    Each step frees and asks for the same large tensors, and the system hands them out page by zeroed page: measured, a tenth
    of a step's time at 128 tokens. For a training child, which ends soon; a service would hold its peak for ever.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)


def most_processes(device: Device) -> int:
    """Return how many processes can tune together here: each has a GPU, or a core, of its own."""
    if device == "cpu":
        return usable_cores()
    import torch  # noqa: PLC0415 - see above

    return torch.cuda.device_count()


def usable_cores() -> int:
    """Return the cores this process may run on, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(device: Device, *, limit_mib: int = 0, among: int = 1) -> int:
    """Return how many bytes this process can still have.

    On a GPU what is free there. Else what the machine has available and its container allows, shared by `among` processes; with
    a limit (0: none) for this one no more than that leaves.
    """
    if device == "cuda":
        import torch  # noqa: PLC0415 - see above

        return int(torch.cuda.mem_get_info()[0])
    free = min(psutil.virtual_memory().available, _left_in_container()) // among
    return min(free, max(0, limit_mib * _MIB - psutil.Process().memory_info().rss)) if limit_mib else free


def _left_in_container(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Return what the control group (Linux, version 2) leaves of its memory; no bound where there is none."""
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # The cache of files, which goes when memory is wanted.
        cache = next(
            int(line.split()[1])
            for line in (folder / "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file ")
        )
        return sys.maxsize if limit == "max" else max(0, int(limit) - int(used) + cache)
    except (OSError, ValueError, StopIteration):
        return sys.maxsize


def _device(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    if wanted == "cpu":
        return "cpu"
    import torch  # noqa: PLC0415 - see above

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        message = "training.device is cuda, but torch finds no CUDA device here; set it to auto or cpu, or fix the driver"
        raise UserError(message)
    return "cpu"

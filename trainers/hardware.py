"""What a training or answering process may use: device, precision and threads, with every `auto` decided."""

from __future__ import annotations

import os
from typing import Literal

from config.errors import UserError
from config.settings import TrainingSettings
from trainers.task import Hardware

Device = Literal["cpu", "cuda"]


def resolve(settings: TrainingSettings) -> Hardware:
    """Decide every `auto`. Raises `UserError` when the settings ask for what this machine does not have.

    `auto` means CUDA, else CPU: never the half-supported rest. bf16 is chosen only where it is computed natively; a
    processor that emulates it trains about three times slower than in fp32.
    """
    device = _device(settings.device)
    native = native_bf16(device)
    if settings.precision == "bf16" and device == "cuda" and not native:
        message = "training.precision is bf16, which this GPU does not compute; set it to auto or fp32"
        raise UserError(message)
    precision: Literal["fp32", "bf16"] = "bf16" if settings.precision == "bf16" or (settings.precision == "auto" and native) else "fp32"
    # One core stays free, so that serving answers quickly while a child trains.
    return Hardware(device=device, precision=precision, threads=settings.threads or max(1, usable_cores() - 1))


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


def usable_cores() -> int:
    """Return the cores this process may run on, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    if wanted == "cpu":
        return "cpu"
    import torch  # noqa: PLC0415 - see above

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        message = "training.device is cuda, but torch finds no CUDA device here; set it to auto or cpu, or mend the driver"
        raise UserError(message)
    return "cpu"

"""What a processor can do that decides how a variant computes on it. Nothing here loads a library."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

TOLD = ("amx_bf16", "amx_int8", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "avx_vnni", "fma")
"""The features that OpenVINO, ONNX Runtime and torch choose their code by, as Linux names them."""


def machine() -> str:
    """Return the architecture, such as `x86_64`."""
    return platform.machine().lower()


@functools.cache
def features(told: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return which of `TOLD` this processor has; none where the system does not say."""
    try:
        lines = told.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(found.split()) & frozenset(TOLD)

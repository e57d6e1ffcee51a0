"""What a result depends on beside its order: the processor and the versions of program and libraries."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

_LIBRARIES = ("perennial", "torch", "transformers", "spacy")
_CPU_INFO = Path("/proc/cpuinfo")


def code() -> str:
    """Return the versions of Python, of this program and of the libraries that matter."""
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in _LIBRARIES)])


def processor() -> str:
    """Return the processor's name: numerical libraries choose their kernels by it, and each adds in an order of its own."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in known.items()}
    # Of virtual machines the name alone says little: `AMD EPYC`.
    numbers = [f"{name} {facts[name]}" for name in ("cpu family", "model", "stepping") if name in facts]
    return ", ".join([facts.get("model name", platform.machine()), *numbers])

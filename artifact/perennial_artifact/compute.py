"""What a model computes on and in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compute:
    """Where and in which numbers a model computes; one that knows only the processor leaves both aside."""

    device: str = "cpu"
    """As torch names it: `cpu`, `cuda`, `mps`."""
    precision: str = "fp32"
    """`fp32` or `bf16`."""

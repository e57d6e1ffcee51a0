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
    variants: bool = True
    """Whether a variant beside the weights answers where it fits this machine; False: always the weights."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a loaded model computes by."""

    name: str
    """A variant, such as `openvino-int8`; else the precision of the weights: `bf16` or `fp32`."""
    passed_over: str | None = None
    """Why the variant beside the weights is not used, in words; None where it is, or there is none."""

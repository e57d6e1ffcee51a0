"""Variants that are the weights themselves, computed otherwise: nothing is written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perennial_artifact.variants.runtimes import COMPILED, WEIGHTS
from trainers.export.exporter import Written
from trainers.hardware import Hardware, native_bf16


@dataclass(frozen=True, slots=True)
class Bf16:
    """The weights in bf16, on processors like the one that it was built on."""

    retreats: int = 0

    def unfit(self, hardware: Hardware) -> str | None:
        """Return why it is of no use here."""
        return None if native_bf16(hardware.device) else "this machine does not compute bf16 itself"

    def write(self, source: Path, target: Path, rows: Sequence[Sequence[int]], *, retreat: int = 0) -> Written:  # noqa: ARG002 - nothing to write
        """Write nothing."""
        return Written(WEIGHTS, "bf16")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The weights in bf16, compiled by torch for a GPU."""

    retreats: int = 0

    def unfit(self, hardware: Hardware) -> str | None:
        """Return why it cannot be used here."""
        if hardware.device != "cuda":
            return "torch.compile is for a GPU here; on a processor choose OpenVINO or ONNX Runtime"
        return None if native_bf16(hardware.device) else "this GPU does not compute bf16 itself"

    def write(self, source: Path, target: Path, rows: Sequence[Sequence[int]], *, retreat: int = 0) -> Written:  # noqa: ARG002 - nothing to write
        """Write nothing: torch compiles when the model is opened."""
        return Written(COMPILED, "bf16", ("torch",), of_processor=False)


def bf16() -> Bf16:
    """Return the variant in bf16."""
    return Bf16()


def compiled() -> Compiled:
    """Return the variant that torch compiles."""
    return Compiled()

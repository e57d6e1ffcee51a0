"""The protocol that whatever writes a variant fulfils: from a model folder into another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainers.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Written:
    """What an exporter has written."""

    runtime: str
    """What opens it (`perennial_artifact.variants.runtimes`)."""
    precision: str
    libraries: tuple[str, ...] = ()
    """The distributions that must be there in the same version to open it."""
    calibration_rows: int = 0
    left_out: int = 0
    """Layers that were not made INT8."""
    of_processor: bool = True
    """Whether it suits the processor that it was made on."""


class Exporter(Protocol):
    """One variant."""

    @property
    def retreats(self) -> int:
        """How many gentler forms there are for where it loses too much; 0: none."""
        ...

    def unfit(self, hardware: Hardware) -> str | None:
        """Return, in words, why it cannot be made or run here; None where nothing is known against it."""
        ...

    def write(self, source: Path, target: Path, rows: Sequence[Sequence[int]], *, retreat: int = 0) -> Written:
        """Write the model in the folder `source` into the new folder `target`.

        `rows` are token ids of training rows, which INT8 is calibrated on; `retreat` counts the steps back to a gentler form.
        Raises whatever the library does.
        """
        ...

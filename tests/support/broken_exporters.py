"""Exporters that fail in the ways that libraries do, and others that write nonsense."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perennial_artifact.compute import Compute
from perennial_artifact.variants import runtimes
from perennial_artifact.variants.graph import Graph, Ids, Numbers
from trainers.export import catalog
from trainers.export.exporter import Written
from trainers.hardware import Hardware

RUNTIME = "constant-numbers"


class _Exporter:
    retreats = 0

    def __init__(self, how: str) -> None:
        self.how = how

    def unfit(self, hardware: Hardware) -> str | None:
        return None

    def write(self, source: Path, target: Path, rows: Sequence[Sequence[int]], *, retreat: int = 0) -> Written:
        target.mkdir(parents=True)
        (target / "half").write_bytes(b"x" * 1_000)
        if self.how == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        return Written(RUNTIME, self.how)


def crashes() -> _Exporter:
    return _Exporter("crash")


def not_a_number() -> _Exporter:
    return _Exporter("nan")


def something_else() -> _Exporter:
    return _Exporter("other")


def open_constant(folder: Path, *, precision: str, compute: Compute, threads: int) -> Graph:
    def graph(input_ids: Ids, attention_mask: Ids) -> Numbers:
        if precision == "nan":
            return np.full((len(input_ids), 32), np.nan, dtype=np.float32)
        return np.resize(np.array([1, -1], dtype=np.float32), (len(input_ids), 32))

    return graph


BROKEN = {
    "broken-crash": "crashes", "broken-nan": "not_a_number", "broken-other": "something_else",
}  # fmt: skip
for _name, _maker in BROKEN.items():
    catalog.register(_name, f"{__name__}:{_maker}")
runtimes.register(RUNTIME, f"{__name__}:open_constant")

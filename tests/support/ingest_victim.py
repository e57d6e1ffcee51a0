"""Processes that ingest a copy of `FOLDER/base` and kill themselves at one step of it: `ingest_victim.py FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.log.embedded.log import _EmbeddedSource as EmbeddedSource
from consumers.tables.lance import Tables
from tests.support.failpoints import Failpoint, killed_at_every_step
from tests.support.ingest_bench import drain

STEPS = (
    (EmbeddedSource, "poll"), (BufferWriter, "insert"), (Tables, "append"), (BufferWriter, "sync"), (DeadLetters, "add_all"),
    (Erasures, "request"), (EmbeddedSource, "commit"),
)  # fmt: skip
"""What a batch goes through, in this order. Each stands for all that was done up to it."""


def ingest(folder: Path, number: int, failpoint: Failpoint) -> None:
    """Take everything in, in one batch a topic."""
    copy = folder / f"killed-{number}"
    shutil.copytree(folder / "base", copy)
    for owner, name in STEPS:
        failpoint.before(owner, name)
    drain(copy)


if __name__ == "__main__":
    killed_at_every_step(ingest, Path(sys.argv[1]))

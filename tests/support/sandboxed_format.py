"""A format whose models misbehave in the way that a file in their folder names: for the sandbox, whose child imports this."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.description import Description
from perennial_artifact.predictor import Answer

FORMAT = "misbehaving"
MODULE = __name__
HEAVY_BYTES = 16 << 20
"""What a heavy one holds while it is loaded."""


def said_of(text: str) -> Answer:
    """What a model that is all right answers."""
    label = "AB"[len(text) % 2]
    return {"label": label, "scores": {label: 0.9, "AB".replace(label, ""): 0.1}}


def _fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_DOES: Mapping[str, Callable[[], object]] = {
    "hangs": lambda: time.sleep(3_600),
    "exits": lambda: os._exit(7),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "eats memory": lambda: [bytearray(1 << 30) for _ in range(64)],
    "finds the disk full": _fill_the_disk,
}
_SAYS: Mapping[str, Answer] = {
    "is not a number": {"label": "A", "scores": {"A": float("nan")}},
    "has no label": {"spans": []},
    "names another label": {"label": "Z", "scores": {"Z": 1.0}},
    "answers otherwise": {"label": "A", "scores": {"A": 1.0}},
}


class Misbehaving:
    """Answers by the length of texts, unless its folder says otherwise."""

    def __init__(self, how: str, folder: Path) -> None:
        self.how = how
        self.folder = folder
        self.held = bytearray(b"x") * HEAVY_BYTES if how == "is heavy" else b""

    @classmethod
    def open(cls, folder: Path, description: Description, compute: Compute) -> Self:
        how = (folder / "how").read_text()
        if how == "lacks a library":
            raise ImportError(how, name="no_such_library")
        return cls(how, folder)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        if self.how in _DOES:
            _DOES[self.how]()
        if self.how == "cannot read odd texts" and not all(text.isascii() for text in texts):
            message = "only plain letters"
            raise ValueError(message)
        return [_SAYS.get(self.how) or said_of(text) for text in texts]


def written(folder: Path, how: str, *, name: str = FORMAT) -> Path:
    """Write a model that misbehaves so into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "how").write_text(how)
    Description(kind="classification", backend="transformer", format=name, base="", labels=("A", "B")).write(folder)
    return folder


formats.register(FORMAT, f"{__name__}:Misbehaving")

"""The weights of a linear head in a model folder: one dense module, as sentence-transformers opens it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, inert
from perennial_artifact.sentence.layout import HEAD_FOLDER, WEIGHTS_FILE, write_dense

Numbers = npt.NDArray[np.float32]


def write_weights(folder: Path, weight: Numbers, bias: Numbers) -> None:
    """Write `weight`, shape (rows, features), and `bias`, shape (rows), of a head into a model folder."""
    place = folder / HEAD_FOLDER
    write_dense(place, inputs=weight.shape[1], outputs=weight.shape[0], activation="Identity")
    tensors = {"linear.weight": np.ascontiguousarray(weight), "linear.bias": np.ascontiguousarray(bias)}
    save_file(tensors, place / WEIGHTS_FILE)


def read_weights(folder: Path) -> tuple[Numbers, Numbers]:
    """Return weight and bias of the head in a model folder; to be called within `readable`."""
    tensors = load_file(folder / HEAD_FOLDER / WEIGHTS_FILE)
    return tensors["linear.weight"].astype(np.float32), tensors["linear.bias"].astype(np.float32)


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Raise `UnusableError` where a file of the head in a model folder is missing or damaged."""
    try:
        yield
    except (OSError, SafetensorError, *WRONG) as error:
        message = f"the head in {folder} cannot be read ({type(error).__name__}: {inert(error)[:200]})"
        raise UnusableError(message) from error


def check_weights(folder: Path, weight: Numbers, bias: Numbers, *, rows: int, what: str) -> None:
    """Raise `UnusableError` unless there are so many rows (`what` they are for), a bias for each, and only finite numbers."""
    if not rows or weight.ndim != 2 or weight.shape[0] != rows or bias.shape != weight.shape[:1]:  # noqa: PLR2004 - a matrix
        message = f"the head in {folder} has weights of shape {weight.shape} for {rows} {what}"
        raise UnusableError(message)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        message = f"the head in {folder} holds numbers that are not finite"
        raise UnusableError(message)

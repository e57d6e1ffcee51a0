"""A network that computes: token ids in, numbers out, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from perennial_artifact.compute import Compute

Ids = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]

ALIKE = 0.98
"""Cosine below which a variant does not compute here what it computed where it was made."""


class Graph(Protocol):
    """A loaded network. For one caller at a time."""

    def __call__(self, input_ids: Ids, attention_mask: Ids) -> Numbers:
        """Return the first output, float32, of token ids and their mask, both of shape (rows, tokens)."""
        ...


class OpensVariant(Protocol):
    """A runtime: loads what was exported for it."""

    def __call__(self, folder: Path, *, precision: str, compute: Compute, threads: int) -> Graph:
        """Return the network in the folder of a variant. Raises `ImportError` without its library, and whatever that raises."""
        ...


def filled(rows: Sequence[Sequence[int]], fill: int) -> tuple[Ids, Ids]:
    """Return token ids, filled up with `fill`, and their mask, both of shape (rows, longest row)."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.full(mask.shape, fill, dtype=np.int64)
    ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return ids, mask.astype(np.int64)


def cosine(first: Numbers, second: Numbers) -> float:
    """Return the smallest cosine between rows of two arrays of one shape; below any where they differ in shape."""
    if first.shape != second.shape or not np.isfinite(first).all():
        return -1.0
    one, other = (array.reshape(-1, array.shape[-1]).astype(np.float64) for array in (first, second))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / np.maximum(lengths, 1e-12)).min(initial=1.0))

"""Features of rows: what one encoder made of their texts, by example id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from config.errors import RunFailedError
from trainers.parquet import write_table

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """A vector for each of some rows, all from one encoder."""

    matrix: Features
    """Shape (rows, features)."""
    places: Mapping[str, int]
    """Which row of `matrix` is an example's."""

    @classmethod
    def of(cls, example_ids: Sequence[str], matrix: Features) -> FeatureSet:
        """Return the set of `matrix`, whose rows are those of `example_ids`."""
        return cls(matrix, {example_id: place for place, example_id in enumerate(example_ids)})

    def __contains__(self, example_id: object) -> bool:
        return example_id in self.places

    def __len__(self) -> int:
        return len(self.places)

    def rows(self, example_ids: Sequence[str]) -> Features:
        """Return the vectors of these examples, shape (examples, features). Raises `KeyError` for one that is not there."""
        return self.matrix[[self.places[example_id] for example_id in example_ids]]


def from_column(rows: pa.Table, column: str) -> FeatureSet:
    """Return the vectors in a list column of a table with `example_id`.

    Rows without a vector are left out, and those with another width than most, or with numbers that are not finite.
    """
    vectors = rows[column].combine_chunks()
    lengths = np.asarray(vectors.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
    widths, counts = np.unique(lengths[lengths > 0], return_counts=True)
    if not len(widths):
        return FeatureSet.of([], np.empty((0, 0), dtype=np.float32))
    width = int(widths[counts.argmax()])
    usable = lengths == width
    flat = vectors.filter(pa.array(usable)).flatten().to_numpy(zero_copy_only=False)
    matrix = np.asarray(flat, dtype=np.float32).reshape(-1, width)
    finite = np.isfinite(matrix).all(axis=1)
    ids = np.asarray(rows["example_id"].to_pylist(), dtype=object)[usable][finite]
    return FeatureSet.of(ids.tolist(), matrix if finite.all() else matrix[finite])


def write_features(features: FeatureSet, path: Path) -> None:
    """Write a set as Parquet (`example_id`, `features`), durably; a reader sees the whole file or none."""
    order = sorted(features.places, key=features.places.__getitem__)
    values = pa.array(np.ascontiguousarray(features.rows(order)).reshape(-1), pa.float32())
    width = features.matrix.shape[1]
    offsets = pa.array(np.arange(len(order) + 1, dtype=np.int32) * width)
    table = pa.table({"example_id": pa.array(order, pa.string()), "features": pa.ListArray.from_arrays(offsets, values)})
    # Random numbers do not shrink, and trying takes longer than writing them.
    write_table(table, path, compression="none", use_dictionary=["example_id"])


def read_features(path: Path) -> FeatureSet:
    """Return what `write_features` wrote. Raises `RunFailedError` when the file is missing or damaged."""
    try:
        with pq.ParquetFile(path) as file:
            return from_column(file.read(use_threads=False), "features")
    except (OSError, KeyError, pa.ArrowException) as error:
        message = f"the stored features in {path} cannot be read ({error}). The run fails; the next one computes them anew"
        raise RunFailedError(message) from error

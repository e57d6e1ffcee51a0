"""Features of rows: what one encoder made of their texts, by example id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from config.errors import RunFailedError
from consumers.text import ngrams
from trainers.parquet import write_table

Features = npt.NDArray[np.float32]
_STORED = np.dtype("<f4")

_CHECKED_TEXTS = 200
"""Texts on which stored features are checked against the encoder before they are used."""
_LEAST_COSINE = 0.999
"""Below it two vectors of one text are not from one encoder; bf16 and the order of sums stay above 0.9999."""


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

    def columns(self, first: int, last: int | None) -> FeatureSet:
        """Return the same examples with some of the numbers alone, `last` not among them; None: up to the end."""
        return FeatureSet(self.matrix[:, first:last], self.places)


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
    finite = _finite(matrix)
    ids = np.asarray(rows["example_id"].to_pylist(), dtype=object)[usable][finite]
    return FeatureSet.of(ids.tolist(), matrix if finite.all() else matrix[finite])


def of_one_encoder(rows: pa.Table) -> FeatureSet:
    """Return the embeddings in a training set's rows that its most frequent encoder made; vectors of letters are nobody's.

    Sets that earlier releases froze do not say what made them: then all are returned.
    """
    maker = usual_maker(rows)
    return from_column(rows if maker is None else rows.filter(pc.equal(rows["encoder_id"], maker)), "embedding")


def usual_maker(rows: pa.Table) -> str | None:
    """Return the encoder that made most of the embeddings of rows (`encoder_id`); None where none says so."""
    makers = Counter(maker for maker in rows["encoder_id"].to_pylist() if maker is not None and maker != ngrams.ENCODER_ID)
    return makers.most_common(1)[0][0] if makers else None


def spread_by_length(places: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Return up to 200 of `places`, spread evenly from the longest text, which is among them, to the shortest."""
    order = sorted(places, key=lambda at: lengths[at], reverse=True)
    return order[:: -(-len(order) // _CHECKED_TEXTS)] if order else []


def alike(first: Features, second: Features) -> bool:
    """Return whether two matrices hold what one encoder makes of the same texts, row by row."""
    if first.shape != second.shape:
        return False
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return bool(((first * second).sum(axis=1) >= _LEAST_COSINE * lengths).all())


def write_features(features: FeatureSet, path: Path) -> None:
    """Write a set as Parquet (`example_id`, `features`), durably; a reader sees the whole file or none.

    A vector is one value of bytes, float32 in little endian: lists of numbers take ten times as long to read.
    """
    order = sorted(features.places, key=features.places.__getitem__)
    matrix = np.ascontiguousarray(features.rows(order), dtype=_STORED)
    vectors = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(_STORED.itemsize * matrix.shape[1]), len(order), [None, pa.py_buffer(matrix)]
    )
    table = pa.table({"example_id": pa.array(order, pa.string()), "features": vectors})
    # Random numbers do not shrink, and trying takes longer than writing them.
    write_table(table, path, compression="none", use_dictionary=False)


def read_features(path: Path) -> FeatureSet:
    """Return what `write_features` wrote, without vectors that are not finite.

    Raises `RunFailedError` when the file is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
        if not pa.types.is_fixed_size_binary(table["features"].type):
            # An earlier version wrote lists.
            return from_column(table, "features")
        vectors = table["features"].combine_chunks()
        ids = table["example_id"].to_pylist()
        numbers = np.frombuffer(vectors.buffers()[1], dtype=_STORED)
        matrix = numbers.reshape(-1, vectors.type.byte_width // _STORED.itemsize)[vectors.offset :][: len(ids)]
    except (OSError, KeyError, ValueError, AttributeError, pa.ArrowException) as error:
        message = f"the stored features in {path} cannot be read ({error}). The run fails; the next one computes them anew"
        raise RunFailedError(message) from error
    finite = _finite(matrix)
    if finite.all():
        return FeatureSet.of(ids, matrix)
    return FeatureSet.of([name for name, usable in zip(ids, finite, strict=True) if usable], matrix[finite])


def _finite(matrix: Features) -> npt.NDArray[np.bool_]:
    """Return which rows hold finite numbers only."""
    # A sum is finite only where all numbers are, and one pass; where it is not it may also be too large.
    finite: npt.NDArray[np.bool_] = np.isfinite(matrix @ np.ones(matrix.shape[1], dtype=np.float32))
    suspects = np.flatnonzero(~finite)
    finite[suspects] = np.isfinite(matrix[suspects]).all(axis=1)
    return finite

"""Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from config.errors import UserError
from consumers.formats.open import COMPRESSIONS, ImportFile
from consumers.formats.rows import Row

_ROWS_PER_READ = 1_000


def read(file: ImportFile) -> Iterator[Row]:
    """Yield one row per record, numbered from 1. Raises `UserError` when the file is not Parquet."""
    # Parquet is read from its end: what is packed once more must be unpacked whole first.
    packed = file.path.suffix.lower() in COMPRESSIONS
    try:
        table = pq.ParquetFile(io.BytesIO(file.binary.read()) if packed else file.binary)
        number = 0
        for batch in table.iter_batches(batch_size=_ROWS_PER_READ):
            for values in batch.to_pylist():
                number += 1
                yield Row(number, values)
    except pa.ArrowException as error:
        message = f"{file.path} cannot be read as Parquet ({error}); check the file or give --format"
        raise UserError(message) from None

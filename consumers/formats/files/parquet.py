"""Parquet. Values are converted one column at a time, so that an odd value costs its row only where the column is used."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from config.errors import UserError
from consumers.formats.files.open import COMPRESSIONS, ImportFile
from consumers.formats.rows import Row, Unreadable

_ROWS_PER_READ = 1_000
_EXACT_BELOW = 2**24


def read(file: ImportFile) -> Iterator[Row]:
    """Yield one row per record, numbered from 1. Raises `UserError` when the file is not Parquet.

    Bytes are taken as UTF-8, times are cut to microseconds, and a column whose class names the file tells (as Hugging Face's
    does) holds those names.
    """
    # Parquet is read from its end: what is packed once more must be unpacked whole first.
    packed = file.path.suffix.lower() in COMPRESSIONS
    try:
        # INT96 holds nanoseconds over a range that 64 bits of nanoseconds do not.
        table = pq.ParquetFile(io.BytesIO(file.binary.read()) if packed else file.binary, coerce_int96_timestamp_unit="us")
        _refuse_doubled(file, table.schema_arrow.names)
        names = _class_names(table.schema_arrow.metadata or {})
        number = 0
        for batch in table.iter_batches(batch_size=_ROWS_PER_READ):
            columns = {
                column: _named(_values(batch.column(index)), names.get(column)) for index, column in enumerate(batch.schema.names)
            }
            for position in range(batch.num_rows):
                number += 1
                yield Row(number, {column: values[position] for column, values in columns.items()})
    except (pa.ArrowException, OSError) as error:
        message = f"{file.path} cannot be read as Parquet ({error}); check the file or give --format"
        raise UserError(message) from None


def _refuse_doubled(file: ImportFile, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f"{file.path} has more than one column {', '.join(map(repr, twice))}; rename one of them"
        raise UserError(message)


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = pc.cast(column, pa.timestamp("us", tz=column.type.tz), safe=False)
    if pa.types.is_float32(column.type):
        return [_exact(value) for value in column.to_pylist()]
    # Bytes may also stand in lists, objects and dictionaries.
    binary = "binary" in str(column.type)
    if not binary:
        try:
            return list(column.to_pylist())
        except (ValueError, OverflowError, pa.ArrowException):
            # One value that Python cannot hold: each by itself.
            pass
    return [_value(column[position], binary=binary) for position in range(len(column))]


def _exact(value: float | None) -> object:
    """Return a number of 32 bits, which from 2^24 on may stand for several whole ones."""
    if value is None or not math.isfinite(value) or abs(value) < _EXACT_BELOW:
        return value
    return Unreadable(f"it is {value:.0f} in 32 bits, so large that several whole numbers look alike; write the column as text")


def _value(scalar: pa.Scalar, *, binary: bool) -> object:
    try:
        value = scalar.as_py()
        return _decoded(value) if binary else value
    except UnicodeDecodeError:
        return Unreadable("its bytes are not UTF-8; write the column as text")
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return Unreadable(f"it cannot be read from Parquet ({str(error)[:100]})")


def _decoded(value: Any) -> object:  # noqa: ANN401 - whatever the file holds
    """Return a value with bytes as text, those inside it too."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list | tuple):
        return [_decoded(one) for one in value]
    return {name: _decoded(one) for name, one in value.items()} if isinstance(value, dict) else value


def _named(values: list[Any], names: list[str] | None) -> list[Any]:
    return values if names is None else [_name(value, names) for value in values]


def _name(value: object, names: list[str]) -> object:
    if isinstance(value, list):
        return [_name(one, names) for one in value]
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    # -1 is Hugging Face's own for "no label".
    return names[value] if 0 <= value < len(names) else None


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return column -> names of its classes, from what `datasets` writes beside the schema."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        found = {column: _names_of(feature) for column, feature in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {column: names for column, names in found.items() if names}


def _names_of(feature: Any) -> list[str] | None:  # noqa: ANN401 - whatever the file holds
    if isinstance(feature, list) and len(feature) == 1:
        [feature] = feature
    if not isinstance(feature, dict):
        return None
    names = feature.get("names")
    if feature.get("_type") == "ClassLabel" and isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    return _names_of(feature.get("feature"))

"""Parquet: one file, or a folder as the Hugging Face Hub and its `datasets` read it, with files of each side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from config.tasks import TaskSpec
from consumers.formats.written.columns import schema_of, values_of
from consumers.training_set.labelled import LabelledRow

DATA = "data"
_ROWS_PER_GROUP = 2_000
ROWS_PER_FILE = 100_000


def write(path: Path, task: TaskSpec, rows: Iterable[LabelledRow]) -> None:
    """Write the rows to a new file. Raises OSError and Arrow's errors."""
    schema = schema_of(task)
    with _Rows(path, schema) as file:
        for row in rows:
            file.add(values_of(row, schema))


def write_folder(folder: Path, task: TaskSpec, rows: Iterable[LabelledRow], labels: Sequence[str]) -> None:
    """Write `data/SIDE-00000-of-0000N.parquet` into a folder. Raises OSError and Arrow's errors.

    A column with one label a text holds numbers, with their names beside the schema as `datasets` writes them: `labels` in order.
    """
    schema = schema_of(task)
    names = list(labels) if "label" in schema.names else []
    stored = _numbered(schema, names) if names else schema
    number = {name: at for at, name in enumerate(names)}
    data = folder / DATA
    data.mkdir()
    open_files: dict[str, _Rows] = {}
    files: dict[str, list[Path]] = {}
    rows_of: Counter[str] = Counter()
    with ExitStack() as stack:
        for row in rows:
            if rows_of[row.side] % ROWS_PER_FILE == 0:
                if row.side in open_files:
                    open_files[row.side].close()
                path = data / f"{row.side}-{len(files.setdefault(row.side, [])):05d}.part"
                files[row.side].append(path)
                open_files[row.side] = stack.enter_context(_Rows(path, stored))
            rows_of[row.side] += 1
            said = values_of(row, schema)
            open_files[row.side].add(said | {"label": number[said["label"]]} if names else said)
    for side, written in files.items():
        for at, path in enumerate(written):
            path.rename(data / f"{side}-{at:05d}-of-{len(written):05d}.parquet")


class _Rows:
    """One file, a group of rows in memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[dict[str, object]] = []
        self._closed = False

    def add(self, row: dict[str, object]) -> None:
        self._waiting.append(row)
        if len(self._waiting) == _ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None:
            self.close()
        elif not self._closed:
            # What was written is thrown away; closing it may fail once more on a full disk.
            self._closed = True
            with suppress(OSError, pa.ArrowException):
                self._writer.close()


def _numbered(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Return a schema whose labels are numbers that `datasets` knows by name."""
    fields = [pa.field("label", pa.int64()) if field.name == "label" else field for field in schema]
    features = {"label": {"names": list(names), "_type": "ClassLabel"}}
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)})


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files of such a folder, by name."""
    yield from sorted((folder / DATA).glob("*.parquet"))

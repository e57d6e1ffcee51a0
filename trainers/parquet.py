"""Parquet files that a reader sees whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from config.files.durable import sync_file, sync_folder


def write_table(table: pa.Table, path: Path, **options: Any) -> None:  # noqa: ANN401 - handed on to the library
    """Write a table durably; `options` are those of `pyarrow.parquet.write_table`."""
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, **options)
    sync_file(temporary)
    temporary.replace(path)
    sync_folder(path.parent)

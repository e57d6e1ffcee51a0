"""Reads a buffer's tables as any program would: what is stored, without asking the code that stored it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lancedb
import pyarrow as pa


def rows_of(folder: Path, table: str, columns: Sequence[str]) -> pa.Table:
    """Return these columns of all rows, in no particular order."""
    return lancedb.connect(folder).open_table(table).to_arrow().select(list(columns))

"""Which rows left training after they were enriched, and before which other row was known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

_FILE = "leaving.parquet"
_SCHEMA = pa.schema([("number", pa.int64()), ("row_id", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True, slots=True)
class Leaving:
    """Rows in the order in which they left."""

    numbers: npt.NDArray[np.int64]
    """Each left before the row with this number was stored."""
    row_ids: Sequence[str]
    reasons: Sequence[str]
    unknown: int
    """Rows of which it is not on record when: they are left out from the beginning."""

    def write(self, folder: Path) -> None:
        """Keep it beside the tables of a past."""
        rows = pa.table([self.numbers, list(self.row_ids), list(self.reasons)], schema=_SCHEMA)
        pq.write_table(rows.replace_schema_metadata({"unknown": str(self.unknown)}), folder / _FILE)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return what `write` has kept."""
        rows = pq.read_table(folder / _FILE)
        unknown = int((rows.schema.metadata or {}).get(b"unknown", 0))
        return cls(rows["number"].to_numpy(), rows["row_id"].to_pylist(), rows["reason"].to_pylist(), unknown)

    @classmethod
    def of(cls, found: Sequence[tuple[int, str, str]], unknown: int) -> Self:
        """Return it of numbers, row ids and reasons in any order."""
        ordered = sorted(found)
        numbers = np.array([number for number, _row, _why in ordered], np.int64)
        return cls(numbers, [row for _number, row, _why in ordered], [why for _number, _row, why in ordered], unknown)

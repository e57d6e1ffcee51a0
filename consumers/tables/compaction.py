"""Few fragments without rewriting a table for every few rows.

LanceDB's `optimize` merges all fragments of fewer than a million rows at once, and what it replaces must stay for an hour,
because other processes may be reading it. A table of 150 MB that is written twice a second and compacted every twenty writes
would leave 54 GB of copies an hour. So small fragments are merged with others of their size, and `optimize`, which is also
what removes old versions, runs once per `keep` period.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Fragments merge with others of their size class, four at a time; classes grow by the same factor.
_WIDTH = 4
# A fragment this large costs a read little, and much to rewrite.
_LARGE_ROWS = _WIDTH**7
FRAGMENT_BITS = 32
"""A `_rowid` is the number of its fragment, followed by this many bits for the row's place in it."""


def to_merge(sizes: Mapping[int, int]) -> list[int]:
    """Return which fragments (rows by fragment id) should become one: every size class up to the highest that is full."""
    classes: dict[int, list[int]] = defaultdict(list)
    for fragment, rows in sizes.items():
        if rows < _LARGE_ROWS:
            classes[(max(rows, 1).bit_length() - 1) // 2].append(fragment)
    full = [size for size, fragments in classes.items() if len(fragments) >= _WIDTH]
    return sorted(fragment for size in classes if full and size <= max(full) for fragment in classes[size])


def row_ids_of(table: Any, fragment: int | None = None) -> npt.NDArray[np.uint64]:  # noqa: ANN401 - LanceDB ships no types
    """Return the `_rowid`s of one fragment, or of all, in order."""
    query = table.search().select(["_rowid"]).limit(None)
    if fragment is not None:
        query = query.where(_within(fragment))
    # `to_batches` with large batches: `to_arrow` takes three times as long.
    row_ids: npt.NDArray[np.uint64] = np.sort(query.to_batches(1 << 16).read_all()["_rowid"].to_numpy())
    return row_ids


def merge_small_fragments(table: Any, key: str) -> None:  # noqa: ANN401 - LanceDB ships no types
    """Merge small fragments into one, in one step that readers see whole or not at all."""
    fragments, rows = np.unique(row_ids_of(table) >> FRAGMENT_BITS, return_counts=True)
    chosen = to_merge(dict(zip(fragments.tolist(), rows.tolist(), strict=True)))
    if chosen:
        # Each row replaces itself: LanceDB writes them as one new fragment and lets go of the emptied ones. By their places, for
        # a merge by their keys reads those of the whole table.
        table.update(where=" OR ".join(map(_within, chosen)), values_sql={key: key})


def _within(fragment: int) -> str:
    return f"(_rowid >= {fragment << FRAGMENT_BITS} AND _rowid < {(fragment + 1) << FRAGMENT_BITS})"


def is_due_for_cleanup(table_folder: Path, keep: timedelta) -> bool:
    """Return whether the oldest version is older than twice what is kept."""
    written = [manifest.stat().st_mtime for manifest in (table_folder / "_versions").glob("*.manifest")]
    return bool(written) and min(written) < time.time() - 2 * keep.total_seconds()


def give_memory_back() -> None:
    """Hand freed memory back to the system, where the C library can (glibc); elsewhere do nothing.

    glibc keeps much of what merges of fragments took: ingest held 858 MiB after a million events without this, 520 to 591 with.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)

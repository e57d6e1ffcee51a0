"""Handles on the LanceDB tables: scan, append, replace, compact. Knows tables and rows, not what they mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consumers.tables import compaction
from consumers.tables.columns import KEYS, SCHEMAS, is_one_of
from consumers.tables.library import lancedb
from consumers.tables.pace import portions

# A longer IN list makes one filter slow to plan.
_IDS_PER_FILTER = 1_000
_ROWS_PER_BATCH = 1 << 16


class Snapshot:
    """Some tables at one version each, whatever is written meanwhile."""

    def __init__(self, handles: Mapping[str, Any]) -> None:
        self._handles = handles
        self._held: dict[str, set[str]] = {}
        """The columns that each table holds; LanceDB reads them anew at every question."""

    @property
    def versions(self) -> dict[str, int]:
        """The pinned version of each table."""
        return {name: int(handle.version) for name, handle in self._handles.items()}

    def scan(self, name: str, columns: Sequence[str], where: str | None = None, *, row_ids: bool = False) -> pa.Table:
        """Return the columns of all rows that fulfil the SQL filter, in no particular order; with `row_ids` also `_rowid`."""
        handle = self._handles[name]
        # A reader may come before the writer has added the columns of this version.
        if name not in self._held:
            self._held[name] = set(handle.schema.names)
        held = self._held[name]
        return _scanned(handle, name, columns, where, held, row_ids=row_ids)

    def count(self, name: str, where: str | None = None) -> int:
        """Return how many rows fulfil the filter."""
        return int(self._handles[name].count_rows(where))

    def lookup(self, name: str, column: str, values: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Return the columns of the rows whose `column` is one of `values`."""
        parts = [self.scan(name, columns, is_one_of(column, some)) for some in portions(values, _IDS_PER_FILTER)]
        return pa.concat_tables(parts) if parts else SCHEMAS[name].empty_table().select(list(columns))

    def take(self, name: str, row_ids: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows with these `_rowid`s, in no particular order."""
        return self._handles[name].take_row_ids(list(row_ids)).select(list(columns)).to_arrow()

    def columns(self, name: str) -> list[str]:
        """Return the columns that a table has; one last written by an earlier version lacks those that were added since."""
        return list(self._handles[name].schema.names)

    def row_ids(self, name: str) -> npt.NDArray[np.uint64]:
        """Return the `_rowid`s of all rows, in order."""
        return compaction.row_ids_of(self._handles[name])

    def batches(self, name: str, columns: Sequence[str], where: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yield what `scan` returns piece by piece, for columns too large to hold at once."""
        yield from _query(self._handles[name], columns, where).to_batches()


class Tables:
    """All tables of one buffer folder. One thread at a time; the buffer's lock sees to that."""

    def __init__(self, folder: Path, *, writer: bool, before_write: Callable[[], None] = lambda: None) -> None:
        """`before_write` is called before each write, and raises where this process may write no longer."""
        self.folder = folder
        self.before_write = before_write
        self._writer = writer
        # The writer's handles are always fresh; a reader asks at every read, or it would see its first version for ever.
        self._database = lancedb.connect(folder, read_consistency_interval=None if writer else timedelta(0))
        self._present = set(self._database.list_tables(limit=len(SCHEMAS) + 100).tables)
        if writer:
            for name in SCHEMAS.keys() - self._present:
                self._database.create_table(name, schema=SCHEMAS[name])
            self._present |= SCHEMAS.keys()
        self._handles = {name: self._open(name) for name in SCHEMAS}
        for name, handle in self._handles.items() if writer else ():
            held = set(handle.schema.names)  # asked once: LanceDB reads it anew at every question
            if added := [field for field in SCHEMAS[name] if field.name not in held]:
                # Last written by a version without these columns; rows from then have no value there.
                handle.add_columns(added)
        self.writes = 0
        """How often a write was begun through these handles."""
        self._since_compacted = dict.fromkeys(SCHEMAS, 0)

    def scan(self, name: str, columns: Sequence[str], where: str | None = None, *, row_ids: bool = False) -> pa.Table:
        """Return the columns of all rows that fulfil the SQL filter, in no particular order.

        With `row_ids` a column `_rowid` is added, by which `take` finds the rows until the next write.
        """
        handle = self._handles[name]
        held = set(SCHEMAS[name].names if self._writer else handle.schema.names)
        return _scanned(handle, name, columns, where, held, row_ids=row_ids)

    def batches(self, name: str, columns: Sequence[str], where: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yield columns of the rows that fulfil the filter piece by piece, for columns too large to hold at once."""
        yield from _query(self._handles[name], columns, where).to_batches()

    def take(self, name: str, row_ids: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows with these `_rowid`s, in no particular order."""
        return self._handles[name].take_row_ids(list(row_ids)).select(list(columns)).to_arrow()

    def lookup(self, name: str, column: str, values: Sequence[str], columns: Sequence[str], where: str = "true") -> pa.Table:
        """Return the columns of the rows whose `column` is one of `values` and that fulfil the filter."""
        parts = [self.scan(name, columns, f"{is_one_of(column, some)} AND {where}") for some in portions(values, _IDS_PER_FILTER)]
        return pa.concat_tables(parts) if parts else SCHEMAS[name].empty_table().select(list(columns))

    def rows_per_s(self, name: str, over_s: float) -> float | None:
        """Return how many rows a second the table has gained in its last `over_s` seconds; None when it has gained none."""
        since = time.time() - over_s
        recent = [entry for entry in self._handles[name].list_versions() if entry["timestamp"].timestamp() >= since]
        gained = int(recent[-1]["metadata"]["total_rows"]) - int(recent[0]["metadata"]["total_rows"]) if recent else 0
        return gained / (time.time() - recent[0]["timestamp"].timestamp()) if gained > 0 else None

    def count(self, name: str, where: str | None = None) -> int:
        """Return how many rows fulfil the filter."""
        return int(self._handles[name].count_rows(where))

    def append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows in one step: all of them or, after a failure, none."""
        if rows:
            self._will_write(name)
            self._handles[name].add(pa.Table.from_pylist(list(rows), schema=SCHEMAS[name]))

    def extend(self, name: str, rows: pa.Table) -> None:
        """Add rows of another such table in one step; columns that it lacks are empty."""
        if rows.num_rows:
            self._will_write(name)
            whole = [
                rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
                for field in SCHEMAS[name]
            ]
            self._handles[name].add(pa.table(whole, schema=SCHEMAS[name]))

    def replace(self, name: str, rows: pa.Table) -> None:
        """Put whole rows in the place of those with the same key, in one step.

        Whole, because LanceDB 0.40 reads all of a table to merge some of its columns: 64 rows of 60,000 took 0.7 s, and
        0.07 s when every column was given.
        """
        if rows.num_rows:
            self._will_write(name)
            self._handles[name].merge_insert(KEYS[name]).when_matched_update_all().execute(rows.cast(SCHEMAS[name]))

    def upsert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put whole rows in the place of those with the same key, and add the others, in one step."""
        if rows:
            self._will_write(name)
            merge = self._handles[name].merge_insert(KEYS[name]).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(pa.Table.from_pylist(list(rows), schema=SCHEMAS[name]))

    def delete(self, name: str, where: str) -> int:
        """Remove the rows that fulfil the filter; return how many there were."""
        found = self.count(name, where)
        if found:
            self._will_write(name)
            self._handles[name].delete(where)
        return found

    def delete_rows(self, name: str, row_ids: Sequence[int]) -> None:
        """Remove the rows with these `_rowid`s."""
        # Apart from `delete`: LanceDB 0.40 deletes by `_rowid` but fails to count by it.
        self._will_write(name)
        self._handles[name].delete(f"_rowid IN ({', '.join(map(str, row_ids))})")

    def oldest_versions(self) -> dict[str, int]:
        """Return the oldest version of each table that is still on disk."""
        return {name: min(entry["version"] for entry in handle.list_versions()) for name, handle in self._handles.items()}

    def pin(self, names: Sequence[str]) -> Snapshot:
        """Return these tables as they are now."""
        handles = {}
        for name in names:
            handles[name] = self._open(name)
            handles[name].checkout(self._handles[name].version)
        return Snapshot(handles)

    def versions(self, names: Iterable[str] = tuple(SCHEMAS)) -> dict[str, int]:
        """Return the tables' versions."""
        return {name: int(self._handles[name].version) for name in names}

    def due_for_compaction(self, every: int) -> list[str]:
        """Return the tables that had `every` writes since they were last named here."""
        due = [name for name, writes in self._since_compacted.items() if writes >= every]
        self._since_compacted |= dict.fromkeys(due, 0)
        return due

    def were_compacted(self, names: Sequence[str]) -> None:
        """Count from here on the writes after which these tables are due again."""
        self._since_compacted |= dict.fromkeys(names, 0)

    def open_again(self, name: str) -> Any:  # noqa: ANN401 - LanceDB ships no types
        """Return a separate handle on a table."""
        return self._open(name)

    def go_on_from(self, name: str, *, wrote: bool) -> None:
        """See what another handle has done to a table."""
        if wrote:
            self._count_write(name)
        self._handles[name].checkout_latest()

    def _open(self, name: str) -> Any:  # noqa: ANN401 - LanceDB ships no types
        if name in self._present:
            return self._database.open_table(name)
        # Last written by a version without this table; only the writer makes what is missing.
        return lancedb.connect("memory://").create_table(name, schema=SCHEMAS[name])

    def _will_write(self, name: str) -> None:
        self.before_write()
        # Counted before: a write that fails may have reached the table all the same.
        self._count_write(name)

    def _count_write(self, name: str) -> None:
        self.writes += 1
        self._since_compacted[name] += 1


def _scanned(
    handle: Any,  # noqa: ANN401 - LanceDB ships no types
    name: str,
    columns: Sequence[str],
    where: str | None,
    held: set[str],
    *,
    row_ids: bool,
) -> pa.Table:
    """Return columns of the rows that fulfil the filter; those that the table does not hold yet have no value."""
    unknown = set(SCHEMAS[name].names) - held
    rows = _read(_query(handle, [column for column in columns if column not in unknown], where).with_row_id(row_ids))
    for place, column in enumerate(columns):
        if column in unknown:
            field = SCHEMAS[name].field(column)
            rows = rows.add_column(place, field, pa.nulls(rows.num_rows, field.type))
    return rows


def _query(handle: Any, columns: Sequence[str], where: str | None) -> Any:  # noqa: ANN401 - LanceDB ships no types
    query = handle.search().select(list(columns)).limit(None)
    return query.where(where) if where else query


def _read(query: Any) -> pa.Table:  # noqa: ANN401 - LanceDB ships no types
    # Not `to_arrow`: with its small batches 60,000 rows of seven narrow columns took three times as long (58 against 19 ms).
    return query.to_batches(_ROWS_PER_BATCH).read_all()

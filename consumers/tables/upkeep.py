"""Work on the tables while ingest continues: removes, rewrites and merges rows in portions, without the lock that ingest takes.

Every table has a second handle here, and a lock for whatever moves or removes rows that are there. Appending needs none: LanceDB
rebases an append on whatever was committed meanwhile, and a removal on appends (measured: see decision 0020). Two that move rows
would make one of them start over, so they take turns, table by table. The order of locks is always: readers of old versions, a
table's turn, the buffer's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from config.files import durable
from consumers.tables import compaction
from consumers.tables.columns import KEYS, SCHEMAS
from consumers.tables.lance import Snapshot, Tables
from consumers.tables.pace import Pace, portions

_ROWS_PER_DELETE = 5_000
_ROWS_PER_REWRITE = 5_000
# Fragments are merged and nothing is removed: no version is as old as this.
_FOR_EVER = timedelta(days=3_650)


class Upkeep:
    """Moves and removes rows of one buffer folder. Thread-safe; `lock` is the buffer's, held for moments only."""

    def __init__(self, tables: Tables, lock: AbstractContextManager[bool]) -> None:
        self._tables = tables
        self._lock = lock
        self._handles: dict[str, Any] = {}
        self._turns = {name: threading.RLock() for name in SCHEMAS}
        self._reading = 0
        self._readers = threading.Condition()

    @property
    def folder(self) -> Path:
        """Where the tables lie."""
        return self._tables.folder

    @contextmanager
    def changing(self, *names: str) -> Iterator[None]:
        """Hold the turn to move or remove rows of these tables. Taken before the buffer's lock, never within it."""
        with ExitStack() as stack:
            for name in sorted(names):
                stack.enter_context(self._turns[name])
            yield

    @contextmanager
    def pinned(self, names: Sequence[str] = tuple(SCHEMAS)) -> Iterator[Snapshot]:
        """These tables at one version each; its files stay while the block lasts."""
        with self._readers:
            self._reading += 1
        try:
            with self._lock:
                snapshot = self._tables.pin(names)
            yield snapshot
        finally:
            with self._readers:
                self._reading -= 1
                self._readers.notify_all()

    def delete(self, name: str, row_ids: Sequence[int]) -> None:
        """Remove the rows with these `_rowid`s, a portion at a time; one that was moved since is passed over."""
        pace = Pace()
        for portion in portions(row_ids, _ROWS_PER_DELETE):
            with self._write(name) as handle:
                handle.delete(f"_rowid IN ({', '.join(map(str, portion))})")
            pace.breathe()

    def rewrite(self, name: str, fragment: int) -> bool:
        """Move some rows out of a fragment, each replaced by itself; return whether none is left, so that its file can go.

        Not `optimize`: LanceDB 0.40 leaves a fragment as it is while fewer than a tenth of its rows are removed. And not
        `merge_insert`, which reads the keys of the whole table: 2,000 of a million rows took 0.9 s, and 0.05 s by their places.
        """
        pace = Pace()
        with self._write(name) as handle:
            row_ids = compaction.row_ids_of(handle, fragment)
            some = row_ids[:_ROWS_PER_REWRITE]
            if len(some):
                handle.update(where=f"_rowid IN ({', '.join(map(str, some))})", values_sql={KEYS[name]: KEYS[name]})
        pace.breathe()
        return len(row_ids) <= _ROWS_PER_REWRITE

    def compact(self, names: Sequence[str], keep: timedelta) -> tuple[str, ...]:
        """Merge small fragments of these tables; remove versions older than `keep` now and then. Returns what was written."""
        written = []
        for name in names:
            if compaction.is_due_for_cleanup(self.folder / f"{name}.lance", keep):
                with self._no_reader(wait=False) as alone:
                    if alone:
                        self._clean(name, lambda handle: handle.optimize(cleanup_older_than=keep))
                        written.append(name)
                        continue
            with self._write(name) as handle:
                before = handle.version
                compaction.merge_small_fragments(handle, KEYS[name])
                if handle.version != before:
                    written.append(name)
        if written:
            compaction.give_memory_back()
            with self._lock:
                self._tables.were_compacted(written)
        return tuple(written)

    def purge(self, keep: timedelta) -> None:
        """Remove every version older than `keep`, and every file that no version knows: a killed write left it."""
        for name in SCHEMAS:
            with self._no_reader(wait=True):
                self._clean(name, lambda handle: self._remove_unknown(handle, keep))
                # Half written under a name that LanceDB 0.40 does not look for.
                with self._lock:
                    for left_over in (self.folder / f"{name}.lance").glob("*/.tmp*"):
                        left_over.unlink()

    def _clean(self, name: str, remove: Callable[[Any], None]) -> None:
        # In two steps: where fragments are merged, which may take long, the version that ingest goes by is no longer the newest;
        # it must have gone on to the new one before old ones are removed.
        with self.changing(name):
            with self._write(name) as handle:
                handle.optimize(cleanup_older_than=_FOR_EVER)
            with self._write(name) as handle:
                remove(handle)

    def _remove_unknown(self, handle: Any, keep: timedelta) -> None:  # noqa: ANN401 - LanceDB ships no types
        # Nobody writes now: what an append has written and not committed yet is known to no version either.
        with self._lock:
            self._tables.before_write()
            handle.checkout_latest()
            handle.optimize(cleanup_older_than=keep, delete_unverified=True)

    @contextmanager
    def _write(self, name: str) -> Iterator[Any]:
        """The table's handle at the newest version; what it wrote is durable, and seen by the buffer, after the block."""
        with self.changing(name):
            handle = self._handles[name] = self._handles.get(name) or self._tables.open_again(name)
            handle.checkout_latest()
            before = handle.version
            self._tables.before_write()
            try:
                yield handle
            finally:
                # Also after a failure: a write that fails may have reached the table all the same.
                with self._lock:
                    self._tables.go_on_from(name, wrote=handle.version != before)
            if handle.version != before:
                durable.sync_filesystem(self.folder)

    @contextmanager
    def _no_reader(self, *, wait: bool) -> Iterator[bool]:
        """Keep new readers of old versions out for the block; yield False where there are some and it must not wait for them."""
        with self._readers:
            if wait:
                self._readers.wait_for(lambda: self._reading == 0)
            yield self._reading == 0

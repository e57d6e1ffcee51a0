"""Records the texts that a step works on: a text that crashes the process is found at the next start.

Some faults raise no exception: memory runs out, native code crashes, a step hangs until the watchdog stops the daemon. From the
next start on the texts in progress at that moment are processed one by one, and one that was alone at each crash is set aside.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

FILE = "in_hand.json"
MOST_ENDS = 2
"""A text is set aside after it was alone in progress at this many crashes; one may be a kill by hand."""


class InProgress:
    """The record of one writer of the buffer. Not synced: it must survive a crash of the process, not of the machine."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._ends: dict[str, int] = self._read()
        """How often the process ended with nothing in progress but this row; rows that were in progress with others have 0."""

    def suspects(self, row_ids: Sequence[str]) -> list[str]:
        """Return those that are to be set aside."""
        return [row_id for row_id in row_ids if self._ends.get(row_id, 0) >= MOST_ENDS]

    def portions(self, row_ids: Sequence[str]) -> list[list[str]]:
        """Split rows, in their order, so that each that was in progress at a crash comes alone."""
        alone = enumerate(row_ids)
        groups = groupby(alone, key=lambda entry: entry[0] if entry[1] in self._ends else None)
        return [[row_id for _, row_id in group] for _, group in groups]

    @contextlib.contextmanager
    def holding(self, row_ids: Sequence[str]) -> Iterator[None]:
        """Record that these are in progress. An exception ends that like success: whoever catches it knows the rows."""
        self._write(row_ids)
        try:
            yield
        finally:
            for row_id in row_ids:
                self._ends.pop(row_id, None)
            self._write(())

    def nothing_waits(self) -> None:
        """Clear all suspicion: every row has been processed or removed."""
        if self._ends:
            self._ends.clear()
            self._write(())

    def _read(self) -> dict[str, int]:
        try:
            content = json.loads(self._path.read_bytes())
            ends = {str(row_id): int(count) for row_id, count in content["ends"].items()}
            held = [str(row_id) for row_id in content["held"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # never written, or cut short by the end of the machine
        alone = len(held) == 1
        return ends | {row_id: ends.get(row_id, 0) + alone for row_id in held}

    def _write(self, held: Sequence[str]) -> None:
        if not held and not self._ends:
            self._path.unlink(missing_ok=True)
            return
        self._path.write_text(json.dumps({"held": list(held), "ends": self._ends}), encoding="utf-8", errors="surrogatepass")

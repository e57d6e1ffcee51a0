"""Which revision of an article was in force when: publishers edit articles, and take edits back."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from consumers.log.protocols import Position
from consumers.tables.lance import Tables


@dataclass(frozen=True, slots=True, order=True)
class Revision:
    """One stored revision, in the order in which revisions come into force."""

    event_time: datetime
    stored_seq: int
    row_id: str = field(compare=False)
    text_sha256: str = field(compare=False)
    position: Position = field(compare=False)
    """Of its event in the log."""


class Revisions:
    """The revisions of some articles, without their texts."""

    def __init__(self, tables: Tables, article_ids: Sequence[str]) -> None:
        self._of: dict[str, list[Revision]] = defaultdict(list)
        self._row_ids: dict[str, set[str]] = defaultdict(set)
        columns = ["article_id", "event_time", "stored_seq", "row_id", "text_sha256", "topic", "partition", "offset"]
        for row in tables.lookup("articles", "article_id", article_ids, columns).to_pylist():
            position = Position(row["topic"], row["partition"], row["offset"])
            one = Revision(row["event_time"], row["stored_seq"], row["row_id"], row["text_sha256"], position)
            self._of[row["article_id"]].append(one)
            self._row_ids[row["article_id"]].add(one.row_id)
        for revisions in self._of.values():
            revisions.sort()

    def add(self, article_id: str, revision: Revision) -> None:
        """Note a revision that is about to be stored."""
        insort(self._of[article_id], revision)
        self._row_ids[article_id].add(revision.row_id)

    def has(self, article_id: str, row_id: str) -> bool:
        """Return whether a revision bears this id."""
        return row_id in self._row_ids.get(article_id, ())

    def in_force(self, article_id: str, moment: datetime) -> Revision | None:
        """Return the newest revision of or before `moment`, None where all are later."""
        return next(self._backwards(article_id, moment), None)

    def earliest(self, article_id: str) -> Revision | None:
        """Return the first revision, None where there is none."""
        return next(iter(self._of.get(article_id, ())), None)

    def known_before(self, article_id: str, moment: datetime, position: Position) -> Revision | None:
        """Return the revision that was in force at `moment` for one who has read the log up to `position`.

        Where all are later than `moment`, the earliest counts. What came later in the log must not change a judgement that is
        made again, when an event is redelivered.
        """
        before = next((one for one in self._backwards(article_id, moment) if _is_before(one.position, position)), None)
        return before or next((one for one in self._of.get(article_id, ()) if _is_before(one.position, position)), None)

    def holds(self, article_id: str, moment: datetime, text_sha256: str) -> bool:
        """Return whether a revision of exactly this moment has this text."""
        return any(one.event_time == moment and one.text_sha256 == text_sha256 for one in self._of.get(article_id, ()))

    def _backwards(self, article_id: str, moment: datetime) -> Iterator[Revision]:
        revisions = self._of.get(article_id, [])
        for place in range(bisect_right(revisions, moment, key=lambda one: one.event_time) - 1, -1, -1):
            yield revisions[place]


def _is_before(there: Position, here: Position) -> bool:
    return there[:2] != here[:2] or there.offset <= here.offset

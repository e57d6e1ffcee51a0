"""What people decided about answers of users: events that stay in the buffer, so that a decision outlives every restart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumers.defence.standings import Decision
from consumers.rows.arriving.event_rows import Row
from consumers.tables.columns import is_one_of, quoted


@dataclass(frozen=True, slots=True)
class Review:
    """One decision, about answers by id, about a user's or about those that an alarm holds."""

    stored_seq: int
    decision: Decision
    event_ids: tuple[str, ...] = ()
    user_id: str | None = None
    task: str | None = None
    alarm: str | None = None

    @property
    def where(self) -> str:
        """The filter that finds the judged answers it speaks of."""
        if self.event_ids:
            return is_one_of("row_id", self.event_ids)
        before = f"arrived_seq < {self.stored_seq}"
        if self.user_id is not None:
            return f"user_id = {quoted(self.user_id)} AND {before}"
        return f"task = {quoted(self.task or '')} AND alarm = {quoted(self.alarm or '')} AND {before}"


def review_of(stored_seq: int, body: Mapping[str, Any]) -> Review:
    """Return the decision in the body of a stored `feedback_review` event."""
    return Review(
        stored_seq, body["decision"], tuple(body.get("event_ids", ())), body.get("user_id"), body.get("task"), body.get("alarm")
    )


class Reviews:
    """All decisions so far; the last one about an answer counts."""

    def __init__(self) -> None:
        self._of_id: dict[str, Review] = {}
        self._of_user: dict[str, list[Review]] = defaultdict(list)
        self._of_alarm: dict[tuple[str, str], list[Review]] = defaultdict(list)

    def add(self, one: Review) -> None:
        """Take in a decision; the oldest comes first."""
        self._of_id |= dict.fromkeys(one.event_ids, one)
        if one.user_id is not None:
            self._of_user[one.user_id].append(one)
        if one.task is not None and one.alarm is not None:
            self._of_alarm[one.task, one.alarm].append(one)

    def about(self, row: Row) -> Review | None:
        """Return the decision in force about an answer, None where nobody has decided.

        One about a user or an alarm speaks only of what had arrived before it.
        """
        found = [one for one in self._of_user.get(row["user_id"], ()) if one.stored_seq > row["arrived_seq"]]
        found += [one for one in self._of_alarm.get((row["task"], row["alarm"]), ()) if one.stored_seq > row["arrived_seq"]]
        if row["row_id"] in self._of_id:
            found.append(self._of_id[row["row_id"]])
        return max(found, key=lambda one: one.stored_seq, default=None)

"""How much of what users say may count: seats a day for a user and for a source, and in all for an article. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from config.sections import FeedbackSettings


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who said something of which text, and on which day it came in.

    The day of arrival, never that of the event: who sends events chooses their times.
    """

    contributor: str
    """The user, as the application that posted it knows them."""
    source: str
    arrived_day: str
    """ISO date, UTC."""
    task: str
    text_sha256: str
    story_id: str
    """Stands for the article: its revisions and near copies are one story."""


class Seats:
    """Seats that are taken; each arrival is judged after all that were given before.

    A user who speaks of the same text again keeps the seat: the newer answer replaces the older one.
    """

    def __init__(self, settings: FeedbackSettings) -> None:
        self._settings = settings
        self._of_user: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        self._of_source: dict[tuple[str, str], set[tuple[str, str, str]]] = defaultdict(set)
        self._of_article: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)

    def take(self, one: Arrival) -> None:
        """Count an arrival that was let in before."""
        self._of_user[one.contributor, one.arrived_day].add((one.task, one.text_sha256))
        self._of_source[one.source, one.arrived_day].add((one.contributor, one.task, one.text_sha256))
        self._of_article[one.task, one.story_id].add((one.contributor, one.text_sha256))

    def ask(self, one: Arrival) -> str | None:
        """Let an arrival in, or return the cap it is over, in words."""
        settings = self._settings
        of_user = self._of_user[one.contributor, one.arrived_day]
        if _is_full(of_user, (one.task, one.text_sha256), settings.max_per_user_day):
            return f"its user had already judged {len(of_user)} texts on {one.arrived_day} (feedback.max_per_user_day)"
        of_source = self._of_source[one.source, one.arrived_day]
        if _is_full(of_source, (one.contributor, one.task, one.text_sha256), settings.max_per_source_day):
            return f"its source had already sent {len(of_source)} answers on {one.arrived_day} (feedback.max_per_source_day)"
        of_article = self._of_article[one.task, one.story_id]
        if _is_full(of_article, (one.contributor, one.text_sha256), settings.max_per_article):
            return f"{len(of_article)} user answers about its article and near copies already count (feedback.max_per_article)"
        self.take(one)
        return None


def _is_full(taken: AbstractSet[object], seat: object, limit: int) -> bool:
    return limit > 0 and seat not in taken and len(taken) >= limit

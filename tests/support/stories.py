"""Texts whose vectors lie on a half circle, and what buffer and enricher keep of them for an index of stories."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from consumers.enrichment.stories import Member, NewText, Split, StoryIndex, StoryRow
from consumers.rows.documents import DocumentSides

START = datetime(2024, 1, 1, tzinfo=UTC)
WINDOW = timedelta(days=30)
ANGLES = 12
"""Neighbours are 15 degrees (0.97) apart, so that stories touch and are bridged."""
TEST_FRACTION = 0.4


def vector(angle: int) -> np.ndarray:
    radians = np.pi * angle / ANGLES
    return np.array([np.cos(radians), np.sin(radians)], dtype=np.float32)


class Store:
    """What buffer and enricher do for the index: keep each placement and each drop, and read both back."""

    def __init__(self) -> None:
        self.texts: dict[str, NewText] = {}
        self.members: dict[str, Member] = {}
        self.history: dict[str, list[Split]] = {}
        """Every split that a row ever had."""
        self.index = self.fresh()

    def fresh(self) -> StoryIndex:
        sides = DocumentSides()
        for row_id, member in self.members.items():
            text = self.texts[row_id]
            if text.document is not None and text.takes_out and member.split != "dropped":
                sides.put(text.document, member.split)
        return StoryIndex(
            similarity=0.9, window=WINDOW, test_fraction=TEST_FRACTION, dimensions=2, load=self.load, documents=sides,
            rows_of_stories=self.rows_of_stories, rows_of_document=self.rows_of_document,
        )  # fmt: skip

    def load(self, start: datetime, end: datetime) -> list[Member]:
        return [member for member in self.members.values() if start <= member.event_time < end]

    def rows_of_stories(self, story_ids: Sequence[str]) -> list[StoryRow]:
        rows = [member for member in self.members.values() if member.story_id in story_ids]
        return [StoryRow(one.row_id, one.story_id, one.split, one.counts) for one in rows]

    def rows_of_document(self, document: str) -> list[tuple[str, str]]:
        rows = [member for row_id, member in self.members.items() if self.texts[row_id].document == document]
        return [(member.row_id, member.story_id) for member in rows if member.split == "train"]

    def add(self, texts: list[NewText]) -> None:
        keys = {text.text_key for text in texts}
        equal = {member.text_key: member.story_id for member in self.members.values() if member.text_key in keys}
        placements = self.index.place(texts, equal)
        for text, placed in zip(texts, placements, strict=True):
            self.texts[text.row_id] = text
            counts = text.takes_out or placed.split != "dropped"
            self._write(Member(text.row_id, text.text_key, text.event_time, text.vector, placed.story_id, placed.split, counts))
        for row_id in (row_id for placed in placements for row_id in placed.dropped):
            old = self.members[row_id]
            assert old.split in ("train", "dropped"), "only what trains can leave training"
            self._write(Member(old.row_id, old.text_key, old.event_time, old.vector, old.story_id, "dropped"))

    def _write(self, member: Member) -> None:
        self.members[member.row_id] = member
        self.history.setdefault(member.row_id, []).append(member.split)

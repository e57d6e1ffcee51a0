"""A buffer in which people earn trust and correct answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.sections import FeedbackSettings
from consumers.buffer.writer import BufferWriter
from consumers.defence.answering import Correction
from consumers.events.schemas import content_sha256
from tests.support.buffers import FEEDBACK, TOPICS, always_train, feedback, finding, judge, label, prediction, stored

TEXT = "Rates rise again"


class Buffer:
    """A buffer in which events are stored, enriched and judged at once."""

    def __init__(self, buffer: BufferWriter) -> None:
        self.writer = buffer
        self._offset = 0
        self.settings = FEEDBACK

    def take(self, *events: Any, split: str = "train", quality: float = 0.9) -> None:
        self.writer.insert(stored(*events, offset=self._offset))
        self._offset += len(events)
        while rows := self.writer.unenriched("examples", 100):
            found = [finding(row, "test" if split == "test" else always_train(row), quality) for row in rows]
            self.writer.apply_enrichment("examples", found)
        judge(self.writer, self.settings)

    def earn(self, user: str = "u-1", times: int = 3, **more: Any) -> None:
        """Let a user correct answers that were wrong by a label."""
        for n in range(times):
            text = f"{user} is right of text {n}"
            self.take(prediction(f"p-{user}-{n}", text), label(f"g-{user}-{n}", text))
            self.take(feedback(f"right-{user}-{n}", text, user_id=user, prediction_id=f"p-{user}-{n}", **more))

    def corrections(self, *sources: str, task: str = TOPICS.name, **changes: Any) -> Mapping[str, Correction]:
        """Return those about texts without a label, by text."""
        settings: FeedbackSettings = self.settings.model_copy(update=changes)
        found = self.writer.answering(settings, sources).get(task)
        of_labels = {content_sha256(f"u-{user} is right of text {n}") for user in range(1, 5) for n in range(9)}
        return {one.text_sha256: one for one in found.corrections if one.text_sha256 not in of_labels} if found else {}

    def answers(self, *sources: str, **changes: Any) -> str | None:
        """Return the label that a correction gives `TEXT`."""
        one = self.corrections(*sources, **changes).get(content_sha256(TEXT))
        return None if one is None else str(one.target["label"])
